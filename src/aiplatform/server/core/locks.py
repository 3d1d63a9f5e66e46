"""Keys of all advisory locks, collected in one place so that no two uses share a key."""

from enum import IntEnum


class AdvisoryLock(IntEnum):
    """A lock on the whole database, described by the operations that it keeps apart."""

    MIGRATION = 0x41495031
    """Two migrations."""
    ACCOUNTS = 0x41495032
    """Creation of the first administrator by API processes that start together."""
    REAPER = 0x41495033
    """Reapers of two workers. A worker holds the lock for as long as it runs."""
    EXTERNAL_RUNS = 0x4149503A
    """Two requests that start the same external run. Combined with a hash of the run's name."""
    KEYS = 0x41495034
    """Two commands that change the key file."""
    BIN = 0x41495039
    """Two deletions that create the bin's project."""
    AUDIT_SEAL = 0x41495036
    """Two processes that seal the audit trail. Held for one seal."""
    AUDIT_ARCHIVE = 0x41495037
    """Two workers that archive sealed audit rows. Held for one archive."""
