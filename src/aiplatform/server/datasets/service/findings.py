"""Rows affected by a finding of a quality report; a child process builds an index of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from anyio import to_thread

from aiplatform.data.finding_rows_file import read_positions
from aiplatform.data.row_access import Found
from aiplatform.protocol.fixes import OURS, TOKEN_FINDINGS, fixes_of
from aiplatform.protocol.rows import Condition
from aiplatform.protocol.specs import FixAction
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import FindingWithoutRows, NoSuchFinding
from aiplatform.server.datasets.rules import LEAKAGE, suggestion
from aiplatform.server.datasets.service import content
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.indexes import get_or_build_index
from aiplatform.server.datasets.service.ingest import never_disconnected
from aiplatform.server.projects.access import ProjectContext

LAYOUT = "2"
"""Version of the index layout; increase it when the same rows would give a different index."""

NEAR_DUPLICATES = "near_duplicates"

COMPARISON_FINDINGS = frozenset({*LEAKAGE, "contamination"})
"""Findings that can only be detected by comparing with other data."""


async def get_or_build(rows: StoredFile, finding: str) -> Path:
    """Return the path of the index of a version's findings; see :func:`get_or_build_index`.

    The child continues if the client disconnects, so that the next request finds the index.

    Raises:
        InsufficientStorage, IngestFailed: see :func:`get_or_build_index`.
    """

    def make_input() -> dict[str, Any]:
        return {"rows": str(local_rows(rows)), "near_duplicates": finding == NEAR_DUPLICATES}

    kind = "near" if finding == NEAR_DUPLICATES else "all"
    name = f"findings-{LAYOUT}-{kind}-{rows.sha256}.parquet"
    return await get_or_build_index(
        name, "aiplatform.data.list_finding_rows", make_input, never_disconnected
    )


def reported_count(
    context: ProjectContext, dataset: UUID, version: str, finding: str
) -> int | None:
    """Return the number of rows that the newest report counts for a finding; None without a report.

    Raises:
        NotFound: when there is no such dataset or version.
        NoSuchFinding: the code is neither one of the platform's nor in the report.
        FindingWithoutRows: finding the rows would require a tokenizer or other data.
    """
    with transaction() as session:
        head = queries.get_dataset(session, context, dataset)
        found = queries.get_version(session, head, version)
        report = queries.report_of(session, found.id)
        made = None if report is None else report.report
    if finding in TOKEN_FINDINGS:
        raise _without_rows(finding, "it takes a tokenizer to see them", "需要分词器才能识别")
    if finding in COMPARISON_FINDINGS:
        raise _without_rows(
            finding,
            "it takes the data that the report compared with to see them",
            "需要质量报告所比较的数据才能识别",
        )
    if made is None:
        return None
    counts = [each.get("count") for each in made.get("findings") or () if each["code"] == finding]
    if not counts and finding not in OURS:
        raise _unknown_finding(finding)
    return sum(count for count in counts if isinstance(count, int))


def require_rows(index: Path, finding: str, counted: int | None) -> None:
    """Raise an error if the index has no rows for a finding although it should.

    Raises:
        FindingWithoutRows: the report counts rows, but the check does not record which.
        NoSuchFinding: there is no report, and no check that ran knows the code.
    """
    if len(read_positions(index, finding)):
        return
    if counted:
        raise _without_rows(finding, "the check only counts them", "该检查只统计数量")
    if counted is None and finding not in OURS:
        raise _unknown_finding(finding)


def _without_rows(finding: str, why: str, why_zh: str) -> FindingWithoutRows:
    does, does_zh = "The report has examples", "质量报告中有示例"
    if "drop" in fixes_of(finding):
        fix = f"aiplatform datasets fix DATASET {finding}=drop"
        does += f"; `{fix}` takes them all away, and `aiplatform datasets diff` shows which"
        does_zh += f"；`{fix}` 会删除所有这些数据，之后可用 `aiplatform datasets diff` 查看"
    else:
        does += "; `aiplatform datasets rows DATASET --search TEXT` finds rows like them"
        does_zh += "；可用 `aiplatform datasets rows DATASET --search TEXT` 查找类似的数据"
    return FindingWithoutRows(
        finding=finding, reason=f"{why}. {does}.", reason_zh=f"{why_zh}。{does_zh}。"
    )


def _unknown_finding(finding: str) -> NoSuchFinding:
    known, known_zh = suggestion(finding)
    return NoSuchFinding(finding=finding, known=known, known_zh=known_zh)


def sample(index: Path, file: StoredFile, finding: str, count: int, seed: int) -> Found:
    """Return random rows of a finding, as :func:`content.draw_rows` does."""
    among = read_positions(index, finding)
    return content.draw_rows(file, len(among), count, seed, among=among)


def page(
    index: Path,
    file: StoredFile,
    finding: str,
    offset: int,
    limit: int,
    *,
    text: str | None,
    where: Sequence[Condition | str],
) -> Found:
    """Return rows of a finding from position ``offset`` on, as :func:`content.find_rows` does."""
    among = read_positions(index, finding)
    return content.find_rows(file, offset, limit, text=text, where=where, among=among)


async def preview_fix(
    index: Path, rows: StoredFile, finding: str, action: FixAction, limit: int
) -> tuple[int, list[dict[str, Any]]]:
    """Return the number of a finding's rows, and the first of them before and after a fix.

    Raises:
        MalformedFile: the finding has no such fix.
        InsufficientStorage, IngestFailed: see :func:`get_or_build_index`.
    """
    positions = await to_thread.run_sync(read_positions, index, finding)

    def make_input() -> dict[str, Any]:
        chosen = positions[:limit].tolist()
        return {
            "rows": str(local_rows(rows)), "finding": finding, "action": action,
            "positions": chosen,
        }  # fmt: skip

    name = f"preview-{LAYOUT}-{finding}-{action}-{limit}-{rows.sha256}.json"
    path = await get_or_build_index(
        name, "aiplatform.data.preview_fix", make_input, never_disconnected
    )
    items: list[dict[str, Any]] = json.loads(await to_thread.run_sync(path.read_bytes))
    return len(positions), items
