"""Columns of typed formats, made plain.

Integers become 64 bits wide, fractions double precision; dates, times and decimals become text,
since JSON has none of them and text is exact. Nested values become Python values, which the
platform keeps as conversations or JSON text. Binary columns that hold text (as some writers leave
them) are text; other binary data is refused.
"""

from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.conversations import is_clean
from aiplatform.data.errors import MalformedData
from aiplatform.data.limits import BLOCK_BYTES, MAX_CELLS, MIB
from aiplatform.data.quarantine import Quarantine
from aiplatform.protocol.encoding import dumps

BATCH_ROWS = 1024
SMALL_BATCH_ROWS = 64

BOMB_RATIO = 1000
"""A column of one repeated value is honest, and packs a thousandfold."""

MAX_BATCH_BYTES = 256 * MIB
"""What one batch may be once its dictionary is spelt out."""


def batch_rows(bytes_a_row: int, columns: int) -> int:
    """How many rows to take at once: few where rows are large."""
    by_size = BLOCK_BYTES // max(bytes_a_row, 1)
    return max(SMALL_BATCH_ROWS, min(BATCH_ROWS, by_size, MAX_CELLS // max(columns, 1)))


def chunks_of(batch: pa.RecordBatch, first: int, aside: Quarantine | None) -> Iterator[Chunk]:
    """A batch whose first row is the ``first``-th of the file, as chunks.

    Raises:
        MalformedData: a value or a type that no row can hold; values go to ``aside`` if there is
            one.
    """
    places = range(first, first + batch.num_rows)
    try:
        whole = _plain(batch, places)
    except MalformedData as fault:
        if aside is None or not fault.is_placed:
            raise
    else:
        yield whole
        return
    for row in range(batch.num_rows):
        one = batch.slice(row, 1)
        try:
            yield _plain(one, places[row : row + 1])
        except MalformedData as fault:
            aside.add(fault, _raw_of(one)(0))


def _raw_of(batch: pa.RecordBatch) -> Callable[[int], str]:
    def raw(row: int) -> str:
        values = batch.slice(row, 1).to_pylist()[0]
        return dumps({n: repr(v) if isinstance(v, bytes) else v for n, v in values.items()})

    return raw


def _plain(batch: pa.RecordBatch, places: range) -> Chunk:
    columns: dict[str, Values] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            columns[name] = _plain_column(column)
        except MalformedData:  # a ValueError, like those below
            raise
        except (pa.ArrowInvalid, UnicodeDecodeError):
            # Nothing but making text of bytes judges values.
            row = places[_first_not_text(column)]
            raise MalformedData("binary_value", row=row, column=name) from None
        except (pa.ArrowNotImplementedError, ValueError):
            raise MalformedData("type_unknown", column=name, found=str(column.type)) from None
    return Chunk(columns, batch.num_rows, places, unit="row", raw=_raw_of(batch))


def _plain_column(column: pa.Array) -> Values:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain_column(_decoded(column))
    if pa.types.is_uint64(kind):
        return column.to_pylist()  # perhaps beyond 64 signed bits
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
        # In UTC: the file's own zone may be unknown to this machine.
        text = column.cast(pa.timestamp(kind.unit)).cast(pa.string())
        return pc.binary_join_element_wise(text, "Z", "")
    text = column.cast(pa.string())
    text.validate(full=True)
    return text


def _decoded(column: pa.DictionaryArray) -> pa.Array:
    values = column.dictionary
    if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        # A dictionary of one huge value makes a bomb of a few bytes.
        size = pc.sum(pc.binary_length(values).cast(pa.int64()).take(column.indices)).as_py()
        if (size or 0) > MAX_BATCH_BYTES:
            raise MalformedData("bomb", ratio=BOMB_RATIO)
    return column.dictionary_decode()


def _first_not_text(column: pa.Array) -> int:
    for index, value in enumerate(column):
        try:
            plain = value.as_py()
            if isinstance(plain, bytes):
                plain.decode()
        except UnicodeDecodeError:
            return index
    return 0
