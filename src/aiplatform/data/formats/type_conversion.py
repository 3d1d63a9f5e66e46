"""Convert columns of typed formats to the types of the platform, and compute their decoded size."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.conversations import is_clean
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.source_file import Meter
from aiplatform.data.limits import (
    BLOCK_BYTES,
    MAX_CELLS,
    MAX_NESTED_VALUES,
    MAX_PART_BYTES,
    MAX_ROW_BYTES,
)
from aiplatform.data.quarantine import Quarantine
from aiplatform.protocol.encoding import dumps

Sizes = npt.NDArray[np.int64]

AS_TEXT_BYTES = 32
"""Approximate length of a date, time, decimal or other value that is converted to text."""

LEAST_BYTES = 4
"""Size counted for every value, even a missing one, because decoding takes time."""

VIEW_BYTES = 16
"""Size of a string view in bytes; the first four contain the length."""


def batch_sizes(batch: pa.RecordBatch) -> Sizes:
    """Return the decoded size of each row in bytes.

    Raises:
        MalformedData: the lists of a column contain too many values.
    """
    total: Sizes = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            total += _sizes(column)
        except _TooManyError:
            raise MalformedData(
                "values_too_many", column=name, rows=batch.num_rows, limit=MAX_NESTED_VALUES
            ) from None
    return total


class _TooManyError(Exception):
    """Lists contain more than MAX_NESTED_VALUES values."""


def _sizes(array: pa.Array) -> Sizes:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if len(array) > MAX_NESTED_VALUES:
        raise _TooManyError
    if not len(array):
        return np.zeros(0, np.int64)
    kind = array.type
    found: Sizes
    if pa.types.is_dictionary(kind):
        return _referred(array.dictionary, array.indices)
    if pa.types.is_run_end_encoded(kind):
        positions = np.arange(array.offset, array.offset + len(array))
        runs = np.searchsorted(array.run_ends.to_numpy(), positions, side="right")
        return _sizes(array.values)[runs]
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return 1 + _view_lengths(array)
    if _has_lengths(kind):
        lengths = pc.fill_null(pc.binary_length(array), 0)
        found = 1 + lengths.to_numpy(zero_copy_only=False).astype(np.int64)
        return found
    if pa.types.is_struct(kind):
        found = np.ones(len(array), np.int64)
        for number in range(kind.num_fields):
            found += _sizes(array.field(number))
        return found
    if pa.types.is_union(kind):
        return _union_sizes(array)
    if pa.types.is_nested(kind):
        return _list_sizes(array)
    return np.full(len(array), _width(kind), np.int64)


def _has_lengths(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _view_lengths(array: pa.Array) -> Sizes:
    views = np.frombuffer(array.buffers()[1], np.int32).reshape(-1, VIEW_BYTES // 4)
    lengths = views[array.offset : array.offset + len(array), 0].astype(np.int64)
    found: Sizes = np.where(array.is_null().to_numpy(zero_copy_only=False), 0, lengths)
    return found


def _referred(values: pa.Array, indices: pa.Array) -> Sizes:
    """Return the sizes of the values at ``indices``, which Arrow has checked."""
    if not len(values):
        return np.ones(len(indices), np.int64)
    sizes = _sizes(values)
    positions = pc.fill_null(indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
    is_null = indices.is_null().to_numpy(zero_copy_only=False)
    found: Sizes = np.where(is_null, 1, sizes[positions])
    return found


def _list_sizes(array: pa.Array) -> Sizes:
    kind = array.type
    if pa.types.is_fixed_size_list(kind):
        length = kind.list_size
        values = array.values.slice(array.offset * length, len(array) * length)
        summed: Sizes = _sizes(values).reshape(len(array), length).sum(axis=1, dtype=np.int64)
        return 1 + summed
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        starts = array.offsets.to_numpy().astype(np.int64)
        ends = starts + array.sizes.to_numpy()
        running = _running(_sizes(array.values))
        # The offsets of a null list view may be arbitrary.
        is_null = array.is_null().to_numpy(zero_copy_only=False)
        starts, ends = np.where(is_null, 0, starts), np.where(is_null, 0, ends)
    else:
        offsets = array.offsets.to_numpy().astype(np.int64)
        first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
        running = _running(_sizes(array.values.slice(first, last - first)))
        starts, ends = offsets[:-1] - first, offsets[1:] - first
    found: Sizes = 1 + running[ends] - running[starts]
    return found


def _running(sizes: Sizes) -> Sizes:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def _union_sizes(array: pa.Array) -> Sizes:
    kind = array.type
    found = np.ones(len(array), np.int64)
    codes = array.type_codes.to_numpy()
    is_dense = kind.mode == "dense"
    offsets = array.offsets.to_numpy() if is_dense else np.arange(len(array))
    for number, code in enumerate(kind.type_codes):
        chosen = codes == code
        if chosen.any():
            found[chosen] += _sizes(array.field(number))[offsets[chosen]]
    return found


def _width(kind: pa.DataType) -> int:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return max(int(kind.byte_width), LEAST_BYTES)
    if pa.types.is_null(kind) or pa.types.is_boolean(kind):
        return LEAST_BYTES
    if pa.types.is_fixed_size_binary(kind):
        return max(int(kind.byte_width), AS_TEXT_BYTES)
    return AS_TEXT_BYTES


BATCH_ROWS = 1024
SMALL_BATCH_ROWS = 64


def batch_rows(bytes_a_row: int, columns: int) -> int:
    """Return the number of rows to convert in one step; it is smaller for large rows."""
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
        return column.to_pylist()  # Some values might not fit into signed 64 bits.
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
