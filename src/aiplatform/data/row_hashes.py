"""Fast, stable hashes of rows, which decide where row groups end.

A hash uses only a few bytes of each text, so different rows may have the same hash. Do not use it
to find out whether rows are equal.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes: TypeAlias = "npt.NDArray[np.uint64]"
Sizes: TypeAlias = "npt.NDArray[np.int64]"

LOOKS = 5
"""Number of bytes of a text that the hash uses, evenly spread over the text."""

PRIME = np.uint64(0x9E3779B97F4A7C15)
"""Golden ratio in 64 bits: multiplication by it spreads small differences to the high bits."""


def row_hashes(batch: pa.RecordBatch) -> Hashes:
    """Return one hash below 2^32 for each row."""
    total: Hashes = np.zeros(batch.num_rows, np.uint64)
    for column in batch.columns:
        total = (total ^ (total >> np.uint64(29))) * PRIME + _column(column)
    mixed: Hashes = (total ^ (total >> np.uint64(29))) * PRIME
    return mixed >> np.uint64(32)


def _column(column: pa.Array) -> Hashes:
    if pa.types.is_string(column.type):
        return _texts(column)
    if pa.types.is_list(column.type):
        return _lists(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    plain: Hashes = np.ascontiguousarray(column.fill_null(0).to_numpy()).view(np.uint64)
    return plain * PRIME


def _lists(column: pa.Array) -> Hashes:
    offsets, values = list_bounds(column)
    each = np.zeros(len(values), np.uint64)
    for part in values.flatten():
        each = each * PRIME + _texts(part)
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(each, dtype=np.uint64)])
    bounds: Hashes = running[offsets]
    return bounds[1:] - bounds[:-1]


def _texts(column: pa.Array) -> Hashes:
    lengths = text_lengths(column)
    total: Hashes = lengths.astype(np.uint64) * PRIME
    data_buffer = column.buffers()[2]
    if data_buffer is None or data_buffer.size == 0:
        return total
    data = np.frombuffer(data_buffer, np.uint8)
    some = np.flatnonzero(lengths)
    starts, lengths = _offsets(column)[some].astype(np.int64), lengths[some]
    seen = total[some]
    for look in range(LOOKS):
        at = starts + (lengths - 1) * look // (LOOKS - 1)
        seen = (seen ^ (seen >> np.uint64(31))) * PRIME + data[at].astype(np.uint64)
    total[some] = seen
    return total


def text_lengths(column: pa.Array) -> Sizes:
    """Return the length in bytes of each text in a column; 0 for a missing one."""
    lengths: Sizes = np.diff(_offsets(column)).astype(np.int64)
    if column.null_count:
        lengths[~column.is_valid().to_numpy(zero_copy_only=False)] = 0
    return lengths


def list_bounds(column: pa.Array) -> tuple[Sizes, pa.Array]:
    """Return the offsets of a column's lists, and the values of all lists, one after another.

    The offsets end with the end of the last list.
    """
    offsets: Sizes = column.offsets.to_numpy().astype(np.int64)
    values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    return offsets - offsets[0], values


def _offsets(column: pa.Array) -> "npt.NDArray[np.int32]":
    offsets = np.frombuffer(column.buffers()[1], np.int32)
    return offsets[column.offset : column.offset + len(column) + 1]
