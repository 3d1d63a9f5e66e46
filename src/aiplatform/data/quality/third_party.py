"""Checks from third-party packages: entry points of the group ``aiplatform.quality_checks``.

Each entry point names a subclass of :class:`~aiplatform.data.quality.check.Check`. If a check
fails, the report is still made, and contains the error.
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
class ThirdPartyCheck:
    """A check from a third-party package, and its error if it failed.

    Attributes:
        point: The entry point.
        check: The check, once it is loaded.
        error: A description of its first exception; None if there was none.
    """

    point: EntryPoint
    check: Check | None = None
    error: str | None = None

    def attempt(self, action: Callable[[], Any]) -> Any:
        """Call ``action`` and return its result.

        The first exception is recorded in ``error``. From then on, nothing is called, and the
        result is None.
        """
        if self.error is None:
            try:
                return action()
            except Exception as error:  # noqa: BLE001  (third-party code may raise anything)
                text = " ".join(str(error).split())[:300]
                self.error = f"{type(error).__name__}: {text}" if text else type(error).__name__
        return None

    def load(self, context: Context) -> None:
        """Import the check and create its instance for a report."""
        kind = self.point.load()
        if not (isinstance(kind, type) and issubclass(kind, Check)):
            raise TypeError(f"{self.point.value} is not a subclass of {Check.__qualname__}")
        self.check = kind(context)

    def findings(self, taken: Iterable[str]) -> list[Finding]:
        """Return the findings of the check.

        Raises:
            TypeError: a finding has the wrong type.
            ValueError: the code of a finding is invalid or already in use.
        """
        assert self.check is not None
        found = list(self.check.findings())[:MOST_FINDINGS]
        for finding in found:
            if not isinstance(finding, Finding) or not isinstance(finding.severity, Severity):
                raise TypeError(f"it returned {finding!r}, which is not a finding")
            if CODE.fullmatch(finding.code) is None or finding.code in taken:
                raise ValueError(f"the code {finding.code!r} is not free or not a-z and _")
            finding.count = int(finding.count)
            finding.checked_by = self.point.name
        return found

    def describe(self) -> dict[str, Any]:
        """Return the description of the check for the report."""
        distribution = self.point.dist
        return {
            "name": self.point.name,
            "distribution": None if distribution is None else distribution.name,
            "version": None if distribution is None else distribution.version,
            "error": self.error,
        }


class ThirdPartyChecks:
    """All checks from third-party packages."""

    def __init__(self, context: Context) -> None:
        points = sorted(entry_points(group=CHECKS_GROUP), key=lambda point: point.name)
        self.all = [ThirdPartyCheck(point) for point in points]
        for each in self.all:
            each.attempt(lambda each=each: each.load(context))  # type: ignore[misc]

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Pass a batch to each check."""
        for each in self.all:
            if each.check is not None:
                look = each.check.look
                each.attempt(lambda look=look: look(batch, first_row))  # type: ignore[misc]

    def findings(self, taken: Iterable[str]) -> list[Finding]:
        """Return the findings of all checks.

        Args:
            taken: Codes of findings that are already in use. A check that returns one of them
                fails.
        """
        known = set(taken)
        found: list[Finding] = []
        for each in self.all:
            found += each.attempt(lambda each=each: each.findings(known)) or []  # type: ignore[misc]
        return found

    def describe(self) -> list[dict[str, Any]]:
        """Return the descriptions of all checks for the report."""
        return [each.describe() for each in self.all]
