"""Rules for failures that a retry can cure, and for the wait before a retry."""

import errno

LONGEST_WAIT_SECONDS = 3600.0

TRANSIENT = frozenset(
    {
        errno.EAGAIN, errno.ECONNREFUSED, errno.ECONNRESET, errno.EDQUOT, errno.EHOSTUNREACH,
        errno.EINTR, errno.EIO, errno.EMFILE, errno.ENETUNREACH, errno.ENFILE, errno.ENOMEM,
        errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT,
    }
)  # fmt: skip
"""Temporary errors of a machine or network; a later attempt or another worker may not have them."""


def is_transient(error: OSError) -> bool:
    """Return True if a retry may help. It does not for a missing file, for example."""
    return isinstance(error, ConnectionError | TimeoutError) or error.errno in TRANSIENT


def wait_before_retry(retry_seconds: float, failures: int) -> float:
    """Return the seconds before the next attempt: doubled with each failure, at most an hour.

    Args:
        retry_seconds: the wait after the first failure.
        failures: the number of failures so far, at least 1.
    """
    return float(min(retry_seconds * 2.0 ** min(failures - 1, 30), LONGEST_WAIT_SECONDS))
