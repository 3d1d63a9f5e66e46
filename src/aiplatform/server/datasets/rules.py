"""Pure rules of datasets: version labels, file names, limits, and the quality gate."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import DatasetStatus, TaskStatus
from aiplatform.protocol.fixes import OURS, TOKEN_FINDINGS, tokens_counted
from aiplatform.protocol.gates import Gate

MAX_ROWS = 2**31 - 1
"""Largest number of rows that ``dataset_versions.row_count``, an INTEGER, can hold."""

MAX_FILENAME_BYTES = 200
ROWS_PATH = "data.parquet"
UPLOAD_FOLDER = "upload/"
QUARANTINE_PATH = "quarantine.jsonl"

FILE_EXTENSIONS = {
    "csv": "csv",
    "jsonl": "jsonl",
    "parquet": "parquet",
    "quarantine": "quarantine.jsonl",
}
MEDIA_TYPES = {
    "parquet": "application/vnd.apache.parquet",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "quarantine": "application/x-ndjson",
    # Uploads are served as binary data whatever their name is, so that no browser displays them.
    "original": "application/octet-stream",
}


LEAKAGE = ("leakage_exact", "leakage_question", "leakage_near")
ROLES_ZH = {"evaluation": "评估", "benchmark": "基准测试"}

LABEL_PATTERN = re.compile(r"v[1-9][0-9]{0,8}")
TAG_PATTERN = r"^[a-z][a-z0-9._-]{0,48}[a-z0-9]$"


def is_label(name: str) -> bool:
    """Return True if a name is a version label such as ``v3``, which tags can't have."""
    return LABEL_PATTERN.fullmatch(name) is not None


def version_label(number: int) -> str:
    """Return the label of a version number, such as ``v1``."""
    return f"v{number}"


def safe_filename(name: str) -> str:
    """Return the last part of a client's file name, without unsafe characters.

    Path separators of any system, control and format characters (some reverse the reading
    direction), leading dots, and trailing dots or spaces are removed. A name that is too long is
    cut before its extension.
    """
    last = re.split(r"[/\\]", clean_text(name))[-1]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C")
    kept = re.sub(r'[<>:"|?*]', "_", kept).lstrip(". ").rstrip(". ")
    if not kept:
        return "upload"
    ending = "".join(PurePosixPath(kept).suffixes[-2:])
    if len(ending.encode()) > 32:
        ending = ""
    stem = kept.removesuffix(ending) or "upload"
    room = MAX_FILENAME_BYTES - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + ending


def status_after_report(
    ended: TaskStatus, *, reported: bool, others_waiting: bool
) -> DatasetStatus:
    """Return the status of a dataset after a quality task of its current version has ended.

    A version that has a report remains usable if making another one fails.
    """
    if reported:
        return DatasetStatus.READY
    if others_waiting:
        return DatasetStatus.PROCESSING
    return DatasetStatus.FAILED if ended is TaskStatus.FAILED else DatasetStatus.UPLOADED


@dataclass(frozen=True, slots=True)
class GateFailure:
    """A rule that a report breaks, described in English and Chinese."""

    rule: str
    text: str
    text_zh: str


@dataclass(frozen=True, slots=True)
class RequiredComparison:
    """A version with which a quality report must have compared the rows.

    ``version`` is a label or tag; None accepts any version of the dataset.
    """

    dataset: UUID
    version: str | None
    role: str
    label: str


def gate_failures(
    gate: Gate,
    report: Mapping[str, Any] | None,
    *,
    dataset: UUID | None = None,
    held_out: RequiredComparison | None = None,
) -> list[GateFailure]:
    """Return the rules of the gate that a report breaks.

    A missing report breaks every gate that has rules.

    Args:
        gate: the project's quality gate.
        report: the quality report of the version, or None.
        dataset: the dataset of the version.
        held_out: the evaluation data of the training task that is about to start.
    """
    if gate == Gate():
        return []
    named = {ref.dataset for ref in (*gate.evaluation, *gate.benchmarks)}
    if dataset in named:
        return [
            GateFailure(
                "evaluation", "the gate names it as evaluation data", "门禁将其指定为评估数据"
            )
        ]
    if report is None:
        return [GateFailure("report", "there is no quality report yet", "尚无质量报告")]
    failures = []
    score = _number(report.get("score"), 0)
    if gate.min_score is not None and score < gate.min_score:
        failures.append(
            GateFailure(
                "min_score",
                f"its score is {score}, at least {gate.min_score} is asked for",
                f"得分为 {score}，要求至少 {gate.min_score}",
            )
        )
    for finding in report.get("findings") or ():
        # Reports may come from outside the server, so a missing value counts as a failure.
        code, share = str(finding.get("code")), _number(finding.get("share"), 1)
        allowed = [limit.max_share for limit in gate.limits if _matches(limit.finding, code)]
        if allowed and share > min(allowed):
            failures.append(
                GateFailure(
                    code,
                    f"{code}: {share:.2%} of the rows, at most {min(allowed):.2%} may be",
                    f"{code}：占 {share:.2%}，上限为 {min(allowed):.2%}",
                )
            )
        elif gate.forbid_errors and finding.get("severity", "error") == "error":
            failures.append(GateFailure(code, f"{code} is an error", f"{code} 属于错误"))
    return failures + _not_checked(gate, report) + _not_compared(gate, report, held_out)


def _not_checked(gate: Gate, report: Mapping[str, Any]) -> list[GateFailure]:
    """Return a failure for each limit whose finding the report did not check.

    A check that did not run has found nothing, which must not count as passed.
    """
    reasons = [_reason_not_checked(limit.finding, report) for limit in gate.limits]
    return [
        GateFailure("not_checked", f"not checked: {reason[0]}", f"未检查：{reason[1]}")
        for reason in dict.fromkeys(reasons)
        if reason is not None
    ]


def _reason_not_checked(pattern: str, report: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why a report can't contain a finding, in English and Chinese, or None if it can."""
    found = {str(finding.get("code")) for finding in report.get("findings") or ()}
    if any(_matches(pattern, code) for code in TOKEN_FINDINGS) and not tokens_counted(report):
        do = "`aiplatform datasets check DATASET@VERSION -m MODEL`"
        return (
            f"{pattern} takes a tokenizer; check the version with a base model: {do}",
            f"{pattern} 需要分词器，请指定基础模型重新检查：{do}",
        )
    if is_platform_finding(pattern) or pattern in found:
        return None
    others = report.get("outside_checks") or ()
    if not others:
        why = "is not a finding of the platform, and no other check ran"
        why_zh = "不是平台自带的问题，且没有运行其他检查"
        return (
            f"{pattern} {why}; correct the gate, or install the check and make the report again",
            f"{pattern} {why_zh}；请修正门禁，或安装该检查后重新生成报告",
        )
    failed = [each for each in others if each.get("error")]
    if not failed:
        return None
    names = ", ".join(f"{each.get('name')} ({each['error']})" for each in failed)
    return (
        f"{pattern} may be of a check that failed: {names}; repair it and make the report again",
        f"{pattern} 可能属于执行失败的检查：{names}；请修复后重新生成报告",
    )


def is_platform_finding(pattern: str) -> bool:
    """Return True if a limit names a finding of the platform's own checks."""
    return any(_matches(pattern, code) for code in OURS)


def nearest_codes(pattern: str, min_similarity: float = 0.5) -> list[str]:
    """Return up to three of the platform's finding codes that resemble a limit, best match first.

    Args:
        pattern: the finding that the limit names, perhaps with a final ``*``.
        min_similarity: required similarity, from 0 (accept anything) to 1 (only the same code).
    """
    return get_close_matches(pattern.removesuffix("*"), sorted(OURS), n=3, cutoff=min_similarity)


def suggestion(finding: str) -> tuple[str, str]:
    """Return a hint, in English and Chinese, about what to write instead of an unknown code."""
    near = ", ".join(nearest_codes(finding))
    if near:
        return f"Did you mean {near}?", f"您是指 {near} 吗？"
    known = ", ".join(sorted(OURS))
    return f"The platform's checks report {known}.", f"平台的检查会报告：{known}。"


def _not_compared(
    gate: Gate, report: Mapping[str, Any], held_out: RequiredComparison | None
) -> list[GateFailure]:
    wanted = [
        *(
            RequiredComparison(r.dataset, r.version, "evaluation", str(r.dataset))
            for r in gate.evaluation
        ),
        *(
            RequiredComparison(r.dataset, r.version, "benchmark", str(r.dataset))
            for r in gate.benchmarks
        ),
    ]
    checks_leakage = gate.forbid_errors or any(
        _matches(limit.finding, code) for limit in gate.limits for code in LEAKAGE
    )
    if held_out is not None and (checks_leakage or gate.evaluation):
        wanted.append(held_out)
    return [
        GateFailure(
            "not_compared",
            f"the report has not compared it with the {each.role} data {each.label}; make it again",
            f"质量报告尚未与{ROLES_ZH[each.role]}数据 {each.label} 比较，请重新生成",
        )
        for each in wanted
        if not is_compared(report, each)
    ]


def is_compared(report: Mapping[str, Any], wanted: RequiredComparison) -> bool:
    """Return True if a report compared the rows with the given version.

    If a tag was given, a comparison with any version of the dataset counts, because the report does
    not record which version the tag refers to.
    """
    version = wanted.version if wanted.version and is_label(wanted.version) else None
    return any(
        each.get("dataset") == str(wanted.dataset)
        and each.get("role") == wanted.role
        and (version is None or str(each.get("label")).endswith(f"@{version}"))
        for each in report.get("compared_with") or ()
    )


def _number(value: object, otherwise: float) -> float:
    return value if isinstance(value, int | float) else otherwise


def _matches(pattern: str, code: str) -> bool:
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern
