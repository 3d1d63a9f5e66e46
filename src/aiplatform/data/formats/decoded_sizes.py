"""Compute the decoded size of rows of Arrow arrays without decoding them.

Dictionaries, runs, views and unions may refer to one value many times, so a few bytes can decode to
gigabytes. These functions follow the references and add up the lengths.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import MalformedData
from aiplatform.data.limits import MAX_NESTED_VALUES

Sizes = npt.NDArray[np.int64]

AS_TEXT_BYTES = 32
"""Approximate length of a date, time, decimal or other value that is converted to text."""

LEAST_BYTES = 4
"""Bytes that every value counts for, even a missing one, because decoding takes time."""

VIEW_BYTES = 16
"""Size of a string view in bytes; the first four contain the length."""


def batch_sizes(batch: pa.RecordBatch) -> Sizes:
    """Return the decoded bytes of each row, at least one for each value.

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
