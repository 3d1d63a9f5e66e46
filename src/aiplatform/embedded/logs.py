"""Log files: one per process, appended to, and set aside when they have grown large."""

from pathlib import Path
from typing import IO

MAX_BYTES = 10 * 1024 * 1024
"""A log that is larger when its process is started becomes ``NAME.log.1``."""


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending, after setting an overgrown one aside.

    Raises:
        OSError: when it can't be opened.
    """
    if path.exists() and path.stat().st_size > MAX_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab", buffering=0)


def size_of(path: Path) -> int:
    """Where the next output will begin."""
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, *, since: int = 0, lines: int = 15, limit: int = 64 * 1024) -> str:
    """The last lines of a log, of what was written after position ``since``."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(since if since <= end else 0, end - limit))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
