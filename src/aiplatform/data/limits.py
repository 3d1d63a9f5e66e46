"""How large things may be before a reader refuses them.

A reader's memory is bounded by these, whatever the file says of itself.
"""

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

MEMORY_BYTES = 4 * 1024 * MIB
"""Address space of an ingest process: the last resort against files that lie about their sizes."""

EXACT_INT = 2**53
"""Integers up to this size survive as double precision numbers."""
