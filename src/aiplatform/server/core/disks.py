"""Checks that this process's directories accept more data."""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from shutil import disk_usage

PROBE_BYTES = 1 << 16
"""Size of the test file in bytes. A few bytes may still fit on a disk that is otherwise full."""
CACHE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class DirectoryStatus:
    """The result of a check of one directory."""

    ok: bool
    detail: str
    detail_zh: str


@dataclass(slots=True)
class DiskChecks:
    """Checks of directories, each repeated at most every :data:`CACHE_SECONDS`.

    Anyone may request the checks without signing in, so they must be cheap, and their results
    contain no paths on the machine.
    """

    _cache: dict[tuple[Path, int], tuple[float, DirectoryStatus]] = field(default_factory=dict)

    def check(self, directory: Path, least_free: int) -> DirectoryStatus:
        """Return the result of :func:`check_directory`, at most :data:`CACHE_SECONDS` old."""
        key, now = (directory, least_free), time.monotonic()
        known = self._cache.get(key)
        if known is None or now - known[0] >= CACHE_SECONDS:
            known = self._cache[key] = (now, check_directory(directory, least_free))
        return known[1]


def check_directory(directory: Path, least_free: int) -> DirectoryStatus:
    """Check that a directory is writable and has ``least_free`` bytes left.

    A temporary file is written as a test. A missing directory is created, as normal use would do.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        free = disk_usage(directory).free
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return DirectoryStatus(
            ok=False, detail=f"can't be written to: {reason}", detail_zh=f"无法写入：{reason}"
        )
    if free < least_free:
        return DirectoryStatus(
            ok=False,
            detail=f"{_mebibytes(free)} free, but AIPLATFORM_MIN_FREE_DISK_BYTES demands "
            f"{_mebibytes(least_free)}: free some space",
            detail_zh=f"剩余 {_mebibytes(free)}，但 AIPLATFORM_MIN_FREE_DISK_BYTES 要求 "
            f"{_mebibytes(least_free)}：请清理空间",
        )
    return DirectoryStatus(
        ok=True,
        detail=f"writable, {_mebibytes(free)} free",
        detail_zh=f"可写，剩余 {_mebibytes(free)}",
    )


def _mebibytes(count: int) -> str:
    return f"{count >> 20:,} MiB"
