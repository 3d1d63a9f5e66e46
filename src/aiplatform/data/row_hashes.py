"""A number for each row that its content decides, cheap and the same for ever.

It chooses where row groups end. It looks at a few bytes of each text, so rows that differ may have
the same number; nobody is to conclude from it that rows are equal.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes: TypeAlias = "npt.NDArray[np.uint64]"
Sizes: TypeAlias = "npt.NDArray[np.int64]"

LOOKS = 5
"""Bytes of a text that are looked at, evenly spread."""

PRIME = np.uint64(0x9E3779B97F4A7C15)
"""The golden ratio in 64 bits: multiplying by it spreads small differences to the high bits."""


def row_hashes(batch: pa.RecordBatch) -> Hashes:
    """One number below 2^32 for each row."""
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
    offsets = column.offsets.to_numpy()
    values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    each = np.zeros(len(values), np.uint64)
    for part in values.flatten():
        each = each * PRIME + _texts(part)
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(each, dtype=np.uint64)])
    bounds: Hashes = running[offsets - offsets[0]]
    return bounds[1:] - bounds[:-1]


def _texts(column: pa.Array) -> Hashes:
    _, offset_buffer, data_buffer = column.buffers()
    offsets: Any = np.frombuffer(offset_buffer, np.int32)
    offsets = offsets[column.offset : column.offset + len(column) + 1].astype(np.int64)
    starts, lengths = offsets[:-1], np.diff(offsets)
    if column.null_count:
        lengths = np.where(column.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
    total: Hashes = lengths.astype(np.uint64) * PRIME
    if data_buffer is None or data_buffer.size == 0:
        return total
    data = np.frombuffer(data_buffer, np.uint8)
    some = np.flatnonzero(lengths)
    starts, lengths = starts[some], lengths[some]
    seen = total[some]
    for look in range(LOOKS):
        at = starts + (lengths - 1) * look // (LOOKS - 1)
        seen = (seen ^ (seen >> np.uint64(31))) * PRIME + data[at].astype(np.uint64)
    total[some] = seen
    return total
