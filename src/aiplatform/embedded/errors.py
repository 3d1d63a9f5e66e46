"""Errors of embedded mode, each with a remedy and an exit code.

Exit codes of ``up``, ``down``, ``status`` and ``doctor``: 0 success, 1 failure, 2 wrong usage,
3 not running, 4 already running, 5 port not available, 6 home not usable (read-only, full, someone
else's), 7 data of another PostgreSQL version, 130 interrupted before it was ready.
"""

import errno
import os
from pathlib import Path

from aiplatform.language import tr

INTERRUPTED = 130
"""Exit code of an ``up`` that a signal stopped before it was ready; shells use the same number."""


class EmbeddedError(Exception):
    """A failure, with a message for the user that says what happened, and a remedy."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class MissingPartError(EmbeddedError):
    """A program or package that embedded mode needs is not installed."""


class StartFailedError(EmbeddedError):
    """A process that ``up`` started did not become ready."""


class InterruptedStartError(EmbeddedError):
    """The platform was stopped before it was ready."""

    exit_code = INTERRUPTED


class StopFailedError(EmbeddedError):
    """The platform did not stop in time after ``down``."""


class NotRunningError(EmbeddedError):
    """There is no running platform to show or stop."""

    exit_code = 3


class AlreadyRunningError(EmbeddedError):
    """Another supervisor is using the home."""

    exit_code = 4


class PortUnavailableError(EmbeddedError):
    """The API can't listen on the requested address."""

    exit_code = 5


class HomeUnusableError(EmbeddedError):
    """The home can't be written, is full, or belongs to someone else."""

    exit_code = 6


class WrongDataVersionError(EmbeddedError):
    """The data directory was made by another major version of PostgreSQL."""

    exit_code = 7


def from_os_error(error: OSError, path: Path) -> EmbeddedError:
    """Return the error to show for a failed file operation inside the home."""
    where = Path(os.fsdecode(error.filename)) if error.filename else path
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return disk_full(path)
        case errno.EROFS:
            return HomeUnusableError(
                tr("{where} is on a read-only file system.", where=where),
                tr("Choose another home with --home or AIPLATFORM_HOME, or mount it writable."),
            )
        case errno.EACCES | errno.EPERM:
            return HomeUnusableError(
                tr("{where} can't be written by this user.", where=where),
                tr(
                    "Run as the user who owns it, or choose another home with --home or "
                    "AIPLATFORM_HOME."
                ),
            )
        case errno.ENOTDIR | errno.EEXIST:
            return HomeUnusableError(
                tr("{where} is not a directory, but must be one.", where=where),
                tr("Move that file, or choose another home with --home or AIPLATFORM_HOME."),
            )
    return HomeUnusableError(
        tr("{where}: {reason}.", where=where, reason=error.strerror or error),
        tr("Choose another home with --home or AIPLATFORM_HOME."),
    )


def disk_full(path: Path) -> HomeUnusableError:
    """Return the error to show when the file system of ``path`` is full."""
    return HomeUnusableError(
        tr("The disk that holds {path} is full.", path=path),
        tr("Free some space there, then run `aiplatform up` again; nothing committed is lost."),
    )
