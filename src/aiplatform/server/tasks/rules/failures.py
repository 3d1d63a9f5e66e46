"""Failures that trying again can cure, and how long to wait before."""

import errno

LONGEST_WAIT_SECONDS = 3600.0

PASSING = frozenset(
    {
        errno.EAGAIN, errno.ECONNREFUSED, errno.ECONNRESET, errno.EDQUOT, errno.EHOSTUNREACH,
        errno.EINTR, errno.EIO, errno.EMFILE, errno.ENETUNREACH, errno.ENFILE, errno.ENOMEM,
        errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT,
    }
)  # fmt: skip
"""Troubles of a machine or a network at a moment; another moment or worker may not have them."""


def curable(error: OSError) -> bool:
    """Whether trying again may help. A file that is missing stays missing."""
    return isinstance(error, ConnectionError | TimeoutError) or error.errno in PASSING


def wait_before_retry(retry_seconds: float, failures: int) -> float:
    """Seconds until the next attempt after ``failures`` (from 1): doubled each time, to an hour."""
    return float(min(retry_seconds * 2.0 ** min(failures - 1, 30), LONGEST_WAIT_SECONDS))
