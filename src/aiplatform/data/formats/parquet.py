"""Parquet: typed columns, made plain.

Integers become 64 bits wide, fractions double precision; dates, times and decimals become text,
since JSON has none of them and text is exact. Nested values become Python values, which the
platform keeps as conversations or JSON text. Binary columns that hold text (as some writers leave
them) are text; other binary data is refused.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aiplatform.data.chunk import Chunk, Values, check_names
from aiplatform.data.conversations import is_clean
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.source import Meter
from aiplatform.data.limits import BLOCK_BYTES, MAX_CELLS, MIB

BATCH_ROWS = 1024
SMALL_BATCH_ROWS = 64

PARQUET_BOMB_RATIO = 1000
"""A column of one repeated value is honest, and packs a thousandfold."""

MAX_BATCH_BYTES = 256 * MIB
"""What one batch may be once its dictionary is spelt out."""


class Parquet:
    """Reads a Parquet file.

    Raises:
        MalformedData: it is none, or has columns that no table should have.
    """

    hint = None

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
            self.schema = self.file.schema_arrow
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, OSError) as error:
            raise _invalid(error) from error
        check_names(self.schema.names)

    def __iter__(self) -> Iterator[Chunk]:
        meter = Meter(self.path.stat().st_size, PARQUET_BOMB_RATIO)
        first = 1
        batches = self.file.iter_batches(batch_size=self._batch_rows(), use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except pa.ArrowMemoryError:
                raise
            except (pa.ArrowException, OSError) as error:
                raise _invalid(error) from error
            if batch is None:
                return
            if batch.num_rows == 0:
                continue
            meter.add(batch.nbytes)
            places = range(first, first + batch.num_rows)
            yield _plain(batch, places)
            first += batch.num_rows

    def _batch_rows(self) -> int:
        """Rows to decode at once: few where rows are large, by the file's own account."""
        meta = self.file.metadata
        rows = max(meta.num_rows, 1)
        packed = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
        by_size = BLOCK_BYTES // max(packed // rows, 1)
        by_cells = MAX_CELLS // len(self.schema.names)
        return int(max(SMALL_BATCH_ROWS, min(BATCH_ROWS, by_size, by_cells)))


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
    return Chunk(columns, batch.num_rows, places, unit="row")


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
            raise MalformedData("bomb", ratio=PARQUET_BOMB_RATIO)
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


def _invalid(error: Exception) -> MalformedData:
    return MalformedData("parquet_invalid", detail=str(error).splitlines()[0][:200])
