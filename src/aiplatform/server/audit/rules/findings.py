"""What a verification finds."""

from dataclasses import dataclass, field
from enum import StrEnum

from aiplatform.server.audit.rules.chain import Head

MOST = 20
"""Findings that are listed; one is enough to know, and a million tell no more."""


class Kind(StrEnum):
    """How the trail differs from what was sealed."""

    ALTERED = "altered"
    ARCHIVE_UNREADABLE = "archive unreadable"
    CUT_OFF = "cut off"
    INSERTED = "inserted"
    MISSING = "missing"
    NOT_A_TRAIL = "not a trail"
    REPLACED = "replaced"
    SEAL_ALTERED = "seal altered"
    SEAL_MISSING = "seal missing"
    SIGNATURE_WRONG = "signature wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference, with the row and the seal that it is about, where it is about one."""

    kind: Kind
    text: str
    row: int | None = None
    seal: int | None = None


@dataclass(slots=True)
class Verdict:
    """What was looked at, and what was found, the first difference first."""

    seals: int = 0
    rows: int = 0
    unsealed: int = 0
    archived: int = 0
    head: Head | None = None
    signed_through: int | None = None
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    filters: dict[str, str] | None = None
    """What a selection says that it was asked for; of everything else it says nothing."""

    @property
    def is_intact(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def add(
        self, kind: Kind, text: str, *, row: int | None = None, seal: int | None = None
    ) -> None:
        """Note a difference."""
        if len(self.findings) < MOST:
            self.findings.append(Finding(kind, text, row, seal))
        else:
            self.more += 1
