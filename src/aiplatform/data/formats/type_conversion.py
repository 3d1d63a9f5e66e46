"""Convert columns of typed formats to the types of the platform.

Integers become 64 bits wide, fractions double precision. Dates, times and decimals become text,
because JSON has none of them and text is exact. Nested values become Python values, which the
platform stores as conversations or JSON text. Binary columns that contain text, which some writers
produce, become text; other binary data is refused.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.conversations import is_clean
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.decoded_sizes import batch_sizes
from aiplatform.data.formats.source_file import Meter
from aiplatform.data.limits import BLOCK_BYTES, MAX_CELLS, MAX_PART_BYTES, MAX_ROW_BYTES
from aiplatform.data.quarantine import Quarantine
from aiplatform.protocol.encoding import dumps

BATCH_ROWS = 1024
SMALL_BATCH_ROWS = 64


def batch_rows(bytes_a_row: int, columns: int) -> int:
    """Return the number of rows to convert at once; it is smaller for large rows."""
    by_size = BLOCK_BYTES // max(bytes_a_row, 1)
    return max(SMALL_BATCH_ROWS, min(BATCH_ROWS, by_size, MAX_CELLS // max(columns, 1)))


def chunks_of(
    batch: pa.RecordBatch, first: int, quarantine: Quarantine | None, meter: Meter
) -> Iterator[Chunk]:
    """Yield the rows of a batch as chunks of limited decoded size.

    Args:
        batch: Rows that Arrow has validated.
        first: The number of the batch's first row in the file, from 1.
        quarantine: Receives rows that can't be read; if None, they are errors.
        meter: Counts the decoded bytes before they are allocated.

    Raises:
        MalformedData: a value or a type is not supported, or there is too much decoded data.
    """
    sizes = batch_sizes(batch)
    running = np.cumsum(sizes)
    start = taken = 0
    while start < batch.num_rows:
        if sizes[start] > MAX_ROW_BYTES:
            raise MalformedData("line_too_long", row=first + start, limit=MAX_ROW_BYTES)
        end = max(start + 1, int(np.searchsorted(running, taken + MAX_PART_BYTES, side="right")))
        meter.add(int(running[end - 1]) - taken, row=first + start)
        yield from _chunks_of(batch.slice(start, end - start), first + start, quarantine)
        start, taken = end, int(running[end - 1])


def _chunks_of(batch: pa.RecordBatch, first: int, quarantine: Quarantine | None) -> Iterator[Chunk]:
    positions = range(first, first + batch.num_rows)
    try:
        whole = _plain(batch, positions)
    except MalformedData as error:
        if quarantine is None or not error.concerns_one_row:
            raise
    else:
        yield whole
        return
    for row in range(batch.num_rows):
        one = batch.slice(row, 1)
        try:
            yield _plain(one, positions[row : row + 1])
        except MalformedData as error:
            quarantine.add(error, _raw_of(one)(0))


def _raw_of(batch: pa.RecordBatch) -> Callable[[int], str]:
    def raw(row: int) -> str:
        values = batch.slice(row, 1).to_pylist()[0]
        return dumps({n: repr(v) if isinstance(v, bytes) else v for n, v in values.items()})

    return raw


def _plain(batch: pa.RecordBatch, positions: range) -> Chunk:
    columns: dict[str, Values] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns[name] = _plain_column(column)
        except MalformedData:  # A ValueError, which the last clause would catch.
            raise
        except (pa.ArrowInvalid, UnicodeDecodeError):
            # Only the conversion of bytes to text can fail because of a value.
            row = positions[_first_not_text(column)]
            raise MalformedData("binary_value", row=row, column=name) from None
        except (pa.ArrowNotImplementedError, ValueError):
            raise MalformedData("type_unknown", column=name, found=str(column.type)) from None
    return Chunk(columns, batch.num_rows, positions, unit="row", raw=_raw_of(batch))


def _plain_column(column: pa.Array) -> Values:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain_column(column.dictionary_decode())
    if pa.types.is_uint64(kind):
        return column.to_pylist()  # Values may not fit into signed 64 bits.
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind):
        return column.cast(pa.float64())
    if pa.types.is_boolean(kind):
        return column
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if pa.types.is_nested(kind):
        return column if is_clean(column) else column.to_pylist()
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        # In UTC, because this machine may not know the time zone of the file.
        text = column.cast(pa.timestamp(kind.unit)).cast(pa.string())
        return pc.binary_join_element_wise(text, "Z", "")
    text = column.cast(pa.string())
    text.validate(full=True)
    return text


def _first_not_text(column: pa.Array) -> int:
    for index, value in enumerate(column):
        try:
            plain = value.as_py()
            if isinstance(plain, bytes):
                plain.decode()
        except UnicodeDecodeError:
            return index
    return 0
