"""Counts of SDK methods and commands that were called, across all processes of a test run."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class SurfaceTally:
    """SDK methods and commands that were called successfully, and how many there are in all."""

    methods: set[str] = field(default_factory=set)
    commands: set[str] = field(default_factory=set)
    all_methods: int = 0
    all_commands: int = 0

    def __str__(self) -> str:
        methods, commands = len(self.methods), len(self.commands)
        return (
            f"SDK methods {methods} of {self.all_methods}, "
            f"commands {commands} of {self.all_commands}, against the real API"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as a dictionary, which a process can send to its parent."""
        return {
            "methods": sorted(self.methods),
            "commands": sorted(self.commands),
            "all_methods": self.all_methods,
            "all_commands": self.all_commands,
        }

    def add(self, counts: dict[str, Any]) -> None:
        """Add the counts of another process."""
        self.methods.update(counts["methods"])
        self.commands.update(counts["commands"])
        self.all_methods = max(self.all_methods, counts["all_methods"])
        self.all_commands = max(self.all_commands, counts["all_commands"])


SURFACE = SurfaceTally()
