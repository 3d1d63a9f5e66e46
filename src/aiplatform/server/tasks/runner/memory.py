"""How much memory a new process may take: what the machine has, or the container it runs in."""

from collections.abc import Iterator
from pathlib import Path

import psutil

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")


def available_mb(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """What can be had without swapping or reaching a limit, in MiB."""
    found = float(psutil.virtual_memory().available)
    return min([found, *(_left(group) for group in _groups(cgroups, own))]) / MIB


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """This process's control group and those around it, where Linux has version 2 of them."""
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
    """Bytes below the group's limit; infinite where it has none. Cached files can be dropped."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or "max"
        return float("inf")
    return float(limit - used + int(statistics.get("inactive_file", 0)))
