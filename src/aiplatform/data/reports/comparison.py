"""Compare two quality reports."""

from collections.abc import Mapping
from typing import Any

from aiplatform.protocol.fixes import TOKEN_FINDINGS, tokens_counted

ORDER = ("new", "worse", "not_checked", "same", "better", "gone")
NOTABLE = 1e-6
"""Minimum difference between shares that counts as a change; reports round to six digits."""


def compare_reports(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two reports: scores, numbers of rows, and the change of each finding.

    Findings are identified by code and column. A finding is ``new`` or ``gone``; ``worse`` or
    ``better``, depending on its share of the rows; or the ``same``. A finding that needs a
    tokenizer is ``not_checked`` unless both reports were made with one.
    """
    first, second = _by_code(before), _by_code(after)
    findings = [_change(key, first.get(key), second.get(key)) for key in {**first, **second}]
    if not (tokens_counted(before) and tokens_counted(after)):
        for each in findings:
            if each["code"] in TOKEN_FINDINGS:
                each["change"] = "not_checked"
    findings.sort(key=lambda each: (ORDER.index(each["change"]), each["code"]))
    return {
        "score": {"before": before.get("score"), "after": after.get("score")},
        "rows": {"before": before.get("rows"), "after": after.get("rows")},
        "findings": findings,
    }


Key = tuple[str, str | None]


def _by_code(report: Mapping[str, Any]) -> dict[Key, Mapping[str, Any]]:
    return {
        (str(found.get("code")), found.get("column")): found
        for found in report.get("findings") or ()
    }


def _change(
    key: Key, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> dict[str, Any]:
    shown = after or before or {}
    step = _share(after) - _share(before)
    if before is None:
        change = "new"
    elif after is None:
        change = "gone"
    elif abs(step) <= NOTABLE or before.get("count") == after.get("count"):
        change = "same"  # The share also grows when only other rows were removed.
    else:
        change = "worse" if step > 0 else "better"
    return {
        "code": key[0],
        "column": key[1],
        "severity": shown.get("severity"),
        "message": shown.get("message"),
        "message_zh": shown.get("message_zh"),
        "change": change,
        "before": _facts(before),
        "after": _facts(after),
    }


def _facts(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {"count": found.get("count"), "share": found.get("share")}


def _share(found: Mapping[str, Any] | None) -> float:
    share = 0 if found is None else found.get("share")
    return float(share) if isinstance(share, int | float) else 0.0
