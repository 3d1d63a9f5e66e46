"""Keys of all advisory locks, collected in one place so that no two uses share a key."""

from enum import IntEnum


class AdvisoryLock(IntEnum):
    """A PostgreSQL advisory lock, which only one transaction or session can hold at a time."""

    MIGRATION = 0x41495031
    """Lock for running a migration."""
    ACCOUNTS = 0x41495032
    """Lock for creating the first administrator: several API processes may start together."""
    REAPER = 0x41495033
    """Lock for being the reaper. A worker holds it for as long as it runs the reaper."""
    EXTERNAL_RUNS = 0x4149503A
    """Lock for starting an external run; its second key is a hash of the run's name."""
    KEYS = 0x41495034
    """Lock for changing the key file."""
    BIN = 0x41495039
    """Lock for creating the project in which the bin keeps deleted objects."""
    AUDIT_SEAL = 0x41495036
    """Lock for sealing the audit trail, held for one seal."""
    AUDIT_ARCHIVE = 0x41495037
    """Lock for archiving sealed audit rows, held for one archive."""
