"""Fast path for JSON objects: Arrow's parser, used where its result equals that of the slow path.

:mod:`~aiplatform.data.formats.objects` parses a block to Python objects, and converts these to
Arrow arrays. Once the columns are known, Arrow's own parser does both in one step, three times as
fast. It is used only for columns whose type it keeps exactly, and its result is used only if the
block contains nothing unusual. Otherwise, the slow path reads the block and reports its errors.
"""

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from aiplatform.data.conversations import is_clean
from aiplatform.data.limits import EXACT_INT

LINE_END, RETURN, OPENING, CLOSING = b"\n\r{}"

MARGIN = 64
"""Number of bytes by which Arrow's block size exceeds the data, so that it is never tiny."""


def is_one_per_line(data: bytes) -> bool:
    """Return True if all line ends except the last are between two objects.

    Arrow also accepts several objects in a line, or one over many lines. But the sequence ``}``,
    line end, ``{`` occurs only between two objects. If all line ends are of that kind and there are
    as many rows as lines, each line is exactly one object.
    """
    if not data.startswith(b"{"):
        return False
    codes = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(codes[:-1] == LINE_END)
    before = codes[ends - 1]
    odd = before != CLOSING
    if odd.any():
        # If the second byte is a line end, the index is negative and wraps around. Such a line end
        # is still counted as odd, because the byte before it is the opening bracket.
        odd &= (before != RETURN) | (codes[ends - 2] != CLOSING)
    return not odd.any() and bool((codes[ends + 1] == OPENING).all())


def parse(data: bytes, rows: int, schema: pa.Schema) -> pa.RecordBatch | None:
    """Parse a block into a record batch; return None if the slow path must read it.

    Args:
        data: Concatenated JSON objects.
        rows: The expected number of objects.
        schema: The columns found so far; see ``Plan.hint``.
    """
    try:
        table = arrow_json.read_json(
            pa.BufferReader(data),
            arrow_json.ReadOptions(use_threads=False, block_size=len(data) + MARGIN),
            arrow_json.ParseOptions(
                explicit_schema=schema,
                newlines_in_values=False,
                unexpected_field_behavior="error",
            ),
        )
        table.validate(full=True)  # Checks UTF-8, which the parser does not.
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows:
        return None
    batch = table.combine_chunks().to_batches()[0]
    return batch if all(_exact(column) for column in batch.columns) else None


def _exact(column: pa.Array) -> bool:
    if pa.types.is_floating(column.type):
        # Beyond 2^53 an integer would be rounded. NaN compares as False.
        values = column.drop_null().to_numpy()
        return not len(values) or bool(np.abs(values).max() < EXACT_INT)
    if pa.types.is_list(column.type):
        return is_clean(column)
    return True
