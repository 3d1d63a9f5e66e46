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
    RUNS = 0x4149503A
    """Two requests that begin one run elsewhere; with a hash of what names it."""
    KEYS = 0x41495034
    """Two commands that change the key file."""
    BIN = 0x41495039
    """Two deletions that make the project that the bin is."""
    AUDIT_SEAL = 0x41495036
    """Two sealers of the audit trail; held for one seal."""
    AUDIT_ARCHIVE = 0x41495037
    """Two workers that archive sealed audit rows; held for one archive."""
