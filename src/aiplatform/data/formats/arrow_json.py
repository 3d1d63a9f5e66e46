"""The fast path for JSON objects: Arrow's parser, where it reads exactly what the slow path would.

:mod:`~aiplatform.data.formats.objects` makes Python objects of a block and Arrow arrays of those.
Once the columns are known, Arrow's own parser does both at once, three times as fast. It is asked
only for columns whose type it keeps exactly, and its answer is taken only when nothing in the block
is out of the ordinary; otherwise the slow path reads the block, and reports what is wrong with it.
"""

import numpy as np
import pyarrow as pa
import pyarrow.json as arrow_json

from aiplatform.data.conversations import is_clean
from aiplatform.data.limits import EXACT_INT

LINE_END, RETURN, OPENING, CLOSING = b"\n\r{}"

MARGIN = 64
"""Arrow wants a block size larger than the block, and not a tiny one."""


def is_one_per_line(data: bytes) -> bool:
    """Whether no line end but the last stands anywhere else than between two objects.

    Arrow reads objects wherever they stand: two in a line, or one over many. But ``}``, line end,
    ``{`` can stand only between two objects. If all line ends are of that kind and there are as
    many rows as lines, each line is exactly one object.
    """
    if not data.startswith(b"{"):
        return False
    held = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(held[:-1] == LINE_END)
    before = held[ends - 1]
    odd = before != CLOSING
    if odd.any():
        # An index below zero would be of a line end right after the first byte, which is odd.
        odd &= (before != RETURN) | (held[ends - 2] != CLOSING)
    return not odd.any() and bool((held[ends + 1] == OPENING).all())


def parse(data: bytes, rows: int, schema: pa.Schema) -> pa.RecordBatch | None:
    """The block as a record batch, or None when the slow path must look at it.

    Args:
        data: concatenated JSON objects.
        rows: how many there must be.
        schema: the columns as found so far; see ``Plan.hint``.
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
        table.validate(full=True)  # the parser does not check UTF-8, this does
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows:
        return None
    batch = table.combine_chunks().to_batches()[0]
    return batch if all(_exact(column) for column in batch.columns) else None


def _exact(column: pa.Array) -> bool:
    if pa.types.is_floating(column.type):
        # Beyond 2^53 an integer would be rounded; NaN compares as false.
        values = column.drop_null().to_numpy()
        return not len(values) or bool(np.abs(values).max() < EXACT_INT)
    if pa.types.is_list(column.type):
        return is_clean(column)
    return True
