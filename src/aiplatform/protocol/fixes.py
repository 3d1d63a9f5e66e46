"""What can be done about each finding of a quality report, by its code."""

from collections.abc import Mapping
from typing import Any

from aiplatform.protocol.specs import FixAction

DROPPED = frozenset(
    "contamination damaged_text duplicates empty empty_message label_errors "  # noqa: SIM905
    "language_switches leakage_exact leakage_near leakage_question message_without_text missing "
    "mixed_languages near_duplicates no_answer over_length rare_languages refusals "
    "repeated_answers role_order same_sides template_refuses unanswered".split()
)
"""Findings whose rows can be dropped: those that name every row they are about."""

UNFIXABLE = frozenset({"boilerplate", "missing_other", "mixed_types", "not_trainable"})
"""Findings that take a person."""

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
"""Findings that only a base model's tokenizer shows."""

PERSONAL = frozenset(
    f"personal_{kind}"
    for kind in ("bank_card", "china_id", "email", "ip_address", "phone", "secret")
)

OURS = DROPPED | GENTLE.keys() | PERSONAL | UNFIXABLE
"""Codes of the platform; any other is of a check that another distribution brings."""

CHECKS_GROUP = "aiplatform.quality_checks"
"""The group of entry points by which other distributions bring checks."""


def tokens_counted(report: Mapping[str, Any]) -> bool:
    """Whether a quality report was made with a tokenizer. Where the chat template refuses every
    row, there are findings but no figures.
    """
    codes = {str(finding.get("code")) for finding in report.get("findings") or ()}
    return report.get("tokens") is not None or bool(TOKEN_FINDINGS & codes)


def fixes_of(code: str) -> tuple[FixAction, ...]:
    """What can be done about a finding, the gentlest first."""
    if code in PERSONAL:
        return ("mask", "drop")
    fixes: list[FixAction] = [GENTLE[code]] if code in GENTLE else []
    if code in DROPPED or code == "markup":
        fixes.append("drop")
    return tuple(fixes)
