"""Log files: one per process, renamed when they are large."""

from pathlib import Path
from typing import IO

MAX_BYTES = 10 * 1024 * 1024
"""Bytes above which a log is renamed to ``NAME.log.1`` when its process starts."""


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; if it is larger than ``MAX_BYTES``, rename it first.

    Raises:
        OSError: If it can't be opened.
    """
    if path.exists() and path.stat().st_size > MAX_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab", buffering=0)


def size_of(path: Path) -> int:
    """Return the size of a log in bytes; 0 if it doesn't exist."""
    return path.stat().st_size if path.exists() else 0


def tail(path: Path, *, since: int = 0, lines: int = 15, limit: int = 64 * 1024) -> str:
    """Return the last lines of a log.

    Args:
        path: The log; the result is empty if it can't be read.
        since: Position in bytes; earlier output is ignored.
        lines: Maximum number of lines.
        limit: Maximum number of bytes to read.
    """
    try:
        with path.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(since if since <= end else 0, end - limit))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
