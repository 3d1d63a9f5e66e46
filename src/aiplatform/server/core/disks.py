"""Whether the directories that this process writes to take more data."""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage

PROBE_BYTES = 1 << 16
"""Written to find out whether a disk takes data: a few bytes may fit where no more does."""
KEPT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out about a directory."""

    ok: bool
    detail: str


@dataclass(slots=True)
class DiskChecks:
    """Checks of directories, each repeated at most every :data:`KEPT_SECONDS`.

    Anybody may ask for them, so they must stay cheap and say nothing of the machine's paths.
    """

    _known: dict[tuple[Path, int], tuple[float, Finding]] = field(default_factory=dict)

    def check(self, directory: Path, least_free: int) -> Finding:
        """Return whether a directory can be written to and has ``least_free`` bytes left."""
        key, now = (directory, least_free), time.monotonic()
        known = self._known.get(key)
        if known is None or now - known[0] >= KEPT_SECONDS:
            known = self._known[key] = (now, examine(directory, least_free))
        return known[1]


def examine(directory: Path, least_free: int) -> Finding:
    """Write a temporary file in a directory and look at the space that is left.

    A missing directory is created, as its users do.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        free = disk_usage(directory).free
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        return Finding(
            ok=False, detail=f"can't be written to: {error.strerror or type(error).__name__}"
        )
    if free < least_free:
        return Finding(
            ok=False,
            detail=f"{_mebibytes(free)} free, but AIPLATFORM_MIN_FREE_DISK_BYTES demands "
            f"{_mebibytes(least_free)}: free some space",
        )
    return Finding(ok=True, detail=f"writable, {_mebibytes(free)} free")


def _mebibytes(count: int) -> str:
    return f"{count >> 20:,} MiB"
