"""Size limits for the readers.

They bound the memory of a reader, whatever sizes the headers of a file state. :class:`Limits`
contains those that an administrator may change; the program that reads files sets them once, when
it starts.
"""

from dataclasses import dataclass

MIB = 1024 * 1024

BLOCK_BYTES = 2 * MIB
"""Approximate size of the blocks in which text is read and parsed."""

MAX_ROW_BYTES = 16 * MIB
"""Largest size of a row: a line of JSONL, an element of a JSON array, a CSV record."""

MAX_COLUMNS = 2000
MAX_COLUMN_NAME = 255

MAX_CELLS = 2_000_000
"""Largest number of cells (rows times columns) in a chunk.

Without this limit, a few rows with many columns would add these columns to a million other rows.
"""

MAX_DEPTH = 100
"""Largest nesting of JSON values. Python's parser, which reads them back, fails near 1,000."""

BOMB_RATIO = 250
"""Largest ratio of unpacked to packed size, to detect decompression bombs.

Compression makes text 3 to 10 times smaller, and very repetitive logs about 50 times.
"""

BOMB_FREE_BYTES = 256 * MIB
"""Unpacked bytes up to which the ratio is not checked, as small files may be very repetitive."""

MAX_UNPACKED_BYTES = 1 << 40
"""Largest unpacked size of an upload: 1 TiB."""

COLUMNAR_BOMB_RATIO = 1000
"""Largest ratio of unpacked to packed size of Parquet and Arrow files.

It is larger than :data:`BOMB_RATIO`, because a column of one repeated value is legitimate there.
"""

MAX_PART_BYTES = 32 * MIB
"""Largest decoded size in bytes of the pieces in which Parquet and Arrow rows are converted."""

MAX_NESTED_VALUES = 1 << 26
"""Largest number of values inside the lists of one batch of rows."""

MEMORY_BYTES = 4 * 1024 * MIB
"""Address space of an ingest process. This limit also holds if a file states false sizes."""

CPU_SECONDS = 600
"""Seconds of CPU time allowed for each :data:`CPU_UNIT_BYTES` of a file."""

CPU_UNIT_BYTES = 256 * MIB

EXACT_INT = 2**53
"""Largest integer up to which double precision numbers are exact."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits for reading one upload.

    Attributes:
        memory_bytes: Address space of the process.
        cpu_seconds: Seconds of CPU time for each :data:`CPU_UNIT_BYTES` of the files;
            smaller files get the time for a whole unit.
        ratio: Largest ratio of decoded to uploaded size; None for the default of each format.
        unpacked_bytes: Largest decoded size, whatever the size of the upload.
    """

    memory_bytes: int = MEMORY_BYTES
    cpu_seconds: int = CPU_SECONDS
    ratio: int | None = None
    unpacked_bytes: int = MAX_UNPACKED_BYTES

    def cpu_seconds_for(self, size: int) -> int:
        """Return the CPU seconds allowed for files of ``size`` bytes in total."""
        return -(-self.cpu_seconds * max(size, CPU_UNIT_BYTES) // CPU_UNIT_BYTES)


_limits = Limits()


def current_limits() -> Limits:
    """Return the limits of this process."""
    return _limits


def set_limits(limits: Limits) -> None:
    """Replace the limits of this process."""
    global _limits  # noqa: PLW0603  (one program reads one upload)
    _limits = limits
