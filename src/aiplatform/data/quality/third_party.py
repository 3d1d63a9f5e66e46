"""Checks that other distributions bring: entry points of the group ``aiplatform.quality_checks``.

Each names a subclass of :class:`~aiplatform.data.quality.check.Check`. What goes wrong in one is
said in the report, under its name; the report is made all the same.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pyarrow as pa

from aiplatform.data.quality.check import Check, Context, Finding, Severity
from aiplatform.protocol.fixes import CHECKS_GROUP

CODE = re.compile(r"[a-z][a-z_]{0,98}")
MOST_FINDINGS = 100


@dataclass(slots=True)
class Outside:
    """One check of another distribution, and how it fared."""

    point: EntryPoint
    check: Check | None = None
    error: str | None = None

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Do something with it; after a fault it is left alone."""
        if self.error is None:
            try:
                return action()
            except Exception as error:  # noqa: BLE001  (somebody else's code may do anything)
                said = " ".join(str(error).split())[:300]
                self.error = f"{type(error).__name__}: {said}" if said else type(error).__name__
        return None

    def load(self, context: Context) -> None:
        """Import it and make it for a report."""
        kind = self.point.load()
        if not (isinstance(kind, type) and issubclass(kind, Check)):
            raise TypeError(f"{self.point.value} is no subclass of {Check.__qualname__}")
        self.check = kind(context)

    def findings(self, taken: Iterable[str]) -> list[Finding]:
        """What it found, if it keeps to the rules of findings."""
        assert self.check is not None
        found = list(self.check.findings())[:MOST_FINDINGS]
        for finding in found:
            if not isinstance(finding, Finding) or not isinstance(finding.severity, Severity):
                raise TypeError(f"it returned {finding!r}, which is no finding")
            if CODE.fullmatch(finding.code) is None or finding.code in taken:
                raise ValueError(f"the code {finding.code!r} is not free or not a-z and _")
            finding.count = int(finding.count)
            finding.checked_by = self.point.name
        return found

    def described(self) -> dict[str, Any]:
        """As the report has it."""
        distribution = self.point.dist
        return {
            "name": self.point.name,
            "distribution": None if distribution is None else distribution.name,
            "version": None if distribution is None else distribution.version,
            "error": self.error,
        }


class OutsideChecks:
    """All of them, side by side with the platform's own."""

    def __init__(self, context: Context) -> None:
        points = sorted(entry_points(group=CHECKS_GROUP), key=lambda point: point.name)
        self.all = [Outside(point) for point in points]
        for each in self.all:
            each.attempt(lambda each=each: each.load(context))  # type: ignore[misc]

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Show each a batch."""
        for each in self.all:
            if each.check is not None:
                look = each.check.look
                each.attempt(lambda look=look: look(batch, first_row))  # type: ignore[misc]

    def findings(self, taken: Iterable[str]) -> list[Finding]:
        """What they found, under codes that are not ``taken``."""
        known = set(taken)
        found: list[Finding] = []
        for each in self.all:
            found += each.attempt(lambda each=each: each.findings(known)) or []  # type: ignore[misc]
        return found

    def described(self) -> list[dict[str, Any]]:
        """As the report has them."""
        return [each.described() for each in self.all]
