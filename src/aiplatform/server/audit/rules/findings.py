"""Findings and the verdict of a verification."""

from dataclasses import dataclass, field
from enum import StrEnum

from aiplatform.server.audit.rules.chain import Head

MAX_FINDINGS = 20
"""Maximum number of findings that are listed; any further ones are only counted."""


class Kind(StrEnum):
    """The kind of difference between the audit trail and its seals."""

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
    """A difference between the trail and its seals, with the row and seal that it concerns."""

    kind: Kind
    text: str
    row: int | None = None
    seal: int | None = None


@dataclass(slots=True)
class Verdict:
    """The result of a verification: counts of checked rows and seals, and the findings in order."""

    seals: int = 0
    rows: int = 0
    unsealed: int = 0
    archived: int = 0
    head: Head | None = None
    signed_through: int | None = None
    findings: list[Finding] = field(default_factory=list)
    more: int = 0
    filters: dict[str, str] | None = None
    """The filters named in an exported selection. Rows that don't match them were not checked."""

    @property
    def is_intact(self) -> bool:
        """True if there are no findings."""
        return not self.findings

    def add(
        self, kind: Kind, text: str, *, row: int | None = None, seal: int | None = None
    ) -> None:
        """Add a finding. Beyond :data:`MAX_FINDINGS`, findings are only counted."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(kind, text, row, seal))
        else:
            self.more += 1
