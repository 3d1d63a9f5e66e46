"""Counts for the access matrix, across all processes of a test run."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """Counts of a test run; a leak is a response that the user should not have received."""

    routes: set[str] = field(default_factory=set)
    roles: set[str] = field(default_factory=set)
    cases: int = 0
    leaks: int = 0

    def __str__(self) -> str:
        routes, roles = len(self.routes), len(self.roles)
        return f"routes {routes}, roles {roles}, cases {self.cases}, leaks {self.leaks}"

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as a dictionary, which a process can send to its parent."""
        return {
            "routes": sorted(self.routes),
            "roles": sorted(self.roles),
            "cases": self.cases,
            "leaks": self.leaks,
        }

    def add(self, counts: dict[str, Any]) -> None:
        """Add the counts of another process."""
        self.routes.update(counts["routes"])
        self.roles.update(counts["roles"])
        self.cases += counts["cases"]
        self.leaks += counts["leaks"]


TALLY = Tally()
