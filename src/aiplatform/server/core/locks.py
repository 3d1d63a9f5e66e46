"""The keys of all advisory locks, in one place, so that no two uses share one."""

from enum import IntEnum


class AdvisoryLock(IntEnum):
    """A database-wide lock and what it keeps apart."""

    MIGRATION = 0x41495031
    """Two processes that migrate."""
    ACCOUNTS = 0x41495032
    """API processes that start together make one administrator together."""
    SWEEP = 0x41495033
    """Two workers that sweep; held for as long as a worker does."""
