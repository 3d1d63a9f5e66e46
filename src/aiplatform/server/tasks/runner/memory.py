"""The memory that a new process may use, limited by the machine and its container."""

from collections.abc import Iterator
from pathlib import Path

import psutil

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")


def available_mb(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """Return the memory in MiB that can be used without swapping or reaching a limit."""
    found = float(psutil.virtual_memory().available)
    return min([found, *(_left(group) for group in _groups(cgroups, own))]) / MIB


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """Yield this process's control group and its parents, on Linux with cgroups version 2."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            group = cgroups / line.removeprefix("0::/")
            yield group
            yield from (around for around in group.parents if around.is_relative_to(cgroups))


def _left(group: Path) -> float:
    """Return the bytes below the group's limit, infinity without one. File caches count as free."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or "max"
        return float("inf")
    return float(limit - used + int(statistics.get("inactive_file", 0)))
