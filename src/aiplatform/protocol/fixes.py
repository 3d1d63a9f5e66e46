"""The fixes that are possible for each finding of a quality report."""

from collections.abc import Mapping
from typing import Any

from aiplatform.protocol.specs import FixAction

DROPPED = frozenset(
    "contamination damaged_text duplicates empty empty_message label_errors "  # noqa: SIM905
    "language_switches leakage_exact leakage_near leakage_question message_without_text missing "
    "mixed_languages near_duplicates no_answer over_length rare_languages refusals "
    "repeated_answers role_order same_sides template_refuses unanswered".split()
)
"""Codes of findings whose rows can be dropped, because the finding identifies all its rows."""

UNFIXABLE = frozenset({"boilerplate", "missing_other", "mixed_types", "not_trainable", "one_sided"})
"""Codes of findings that can't be fixed automatically."""

GENTLE: dict[str, FixAction] = {
    "damaged_text": "repair",
    "duplicates": "deduplicate",
    "label_imbalance": "rebalance",
    "markup": "strip",
    "near_duplicates": "deduplicate",
    "over_length": "trim",
    "unanswered": "trim",
    "whitespace": "trim",
}


TOKEN_FINDINGS = frozenset({"over_length", "template_refuses"})
"""Findings that need a base model's tokenizer."""

PERSONAL = frozenset(
    f"personal_{kind}"
    for kind in ("bank_card", "china_id", "email", "ip_address", "phone", "secret")
)

OURS = DROPPED | GENTLE.keys() | PERSONAL | UNFIXABLE
"""Codes of the platform's own findings; other codes come from checks in other distributions."""

CHECKS_GROUP = "aiplatform.quality_checks"
"""The entry point group through which other Python distributions add checks."""


def tokens_counted(report: Mapping[str, Any]) -> bool:
    """Return True if a quality report was made with a tokenizer.

    If the chat template refuses every row, the report has findings but no token counts.
    """
    codes = {str(finding.get("code")) for finding in report.get("findings") or ()}
    return report.get("tokens") is not None or bool(TOKEN_FINDINGS & codes)


def fixes_of(code: str) -> tuple[FixAction, ...]:
    """Return the possible fixes of a finding, the least destructive first."""
    if code in PERSONAL:
        return ("mask", "drop")
    fixes: list[FixAction] = [GENTLE[code]] if code in GENTLE else []
    if code in DROPPED or code == "markup":
        fixes.append("drop")
    return tuple(fixes)
