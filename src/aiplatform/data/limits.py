"""How large things may be before a reader refuses them.

A reader's memory is bounded by these, whatever the file says of itself. :class:`Limits` holds those
that an administrator may change; the program that reads files sets them once, at its start.
"""

from dataclasses import dataclass

MIB = 1024 * 1024

BLOCK_BYTES = 2 * MIB
"""Text is read, parsed and handed on in blocks of about this size."""

MAX_ROW_BYTES = 16 * MIB
"""The longest row: a line of JSONL, an element of a JSON array, a CSV record."""

MAX_COLUMNS = 2000
MAX_COLUMN_NAME = 255

MAX_CELLS = 2_000_000
"""Rows times columns of one chunk: a few wide rows must not widen a million narrow ones."""

MAX_DEPTH = 100
"""Nesting of JSON values. Python's own parser, which reads them back, gives up near 1,000."""

BOMB_RATIO = 250
"""Unpacked over packed size. Text packs 3 to 10 times, very repetitive logs about 50 times."""

BOMB_FREE_BYTES = 256 * MIB
"""The ratio is judged only beyond this much unpacked data: small files may repeat themselves."""

MAX_UNPACKED_BYTES = 1 << 40
"""1 TiB."""

COLUMNAR_BOMB_RATIO = 1000
"""The same for Parquet and Arrow: a column of one repeated value is honest, and packs a
thousandfold."""

MAX_PART_BYTES = 32 * MIB
"""Rows of typed formats are spelt out in parts of at most this many decoded bytes."""

MAX_NESTED_VALUES = 1 << 26
"""Values inside the lists of one batch of rows."""

MEMORY_BYTES = 4 * 1024 * MIB
"""Address space of an ingest process: the last resort against files that lie about their sizes."""

CPU_SECONDS = 600
"""CPU time that reading a file may take, for each :data:`CPU_UNIT_BYTES` of it."""

CPU_UNIT_BYTES = 256 * MIB

EXACT_INT = 2**53
"""Integers up to this size survive as double precision numbers."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one upload may take.

    Attributes:
        memory_bytes: address space of the process.
        cpu_seconds: CPU time for each :data:`CPU_UNIT_BYTES` of the files, at least one of them.
        ratio: decoded over uploaded size; None for the defaults of the formats.
        unpacked_bytes: decoded size, whatever the size of the upload.
    """

    memory_bytes: int = MEMORY_BYTES
    cpu_seconds: int = CPU_SECONDS
    ratio: int | None = None
    unpacked_bytes: int = MAX_UNPACKED_BYTES

    def cpu_seconds_for(self, size: int) -> int:
        """Return the CPU time for files of ``size`` bytes in all."""
        return -(-self.cpu_seconds * max(size, CPU_UNIT_BYTES) // CPU_UNIT_BYTES)


_limits = Limits()


def current_limits() -> Limits:
    """Return the limits of this process."""
    return _limits


def set_limits(limits: Limits) -> None:
    """Replace the limits of this process."""
    global _limits  # noqa: PLW0603  (one program reads one upload)
    _limits = limits
