"""What checks remember of each row, on disk: however many rows there are, memory stays the same.

Records are put into buckets by the high bits of a key, so that equal keys meet in one bucket and
each bucket fits into memory. A set of rows takes a bit for each; that alone grows with the rows.
"""

import mmap
import os
from collections.abc import Iterator
from typing import IO

import numpy as np

from aiplatform.data.limits import MIB
from aiplatform.data.quality.references import spill

BUCKET_RECORDS = 1 << 18
MOST_RECORDS = 2 * BUCKET_RECORDS
"""Keys that are not as good as random may overfill one."""
FLUSHED_RECORDS = 1 << 16
LITTLE = 64 * MIB
"""Mapped files up to this size may stay in memory."""


class Buckets:
    """Records by the high bits of their first field, ``key`` (uint64, as good as random).

    Args:
        expected: how many there will be at most.
        fields: of a record, names and types.
    """

    def __init__(self, expected: int, fields: list[tuple[str, str]]) -> None:
        self.kind = np.dtype(fields)
        self._bits = max(0, (expected // BUCKET_RECORDS).bit_length())
        self._file = spill()
        self._starts: list[np.ndarray] = []
        self._written = 0
        self._pending: list[np.ndarray] = []
        self._held = 0

    def records(self, **columns: np.ndarray) -> np.ndarray:
        """Columns as records."""
        made = np.empty(len(next(iter(columns.values()))), self.kind)
        for name, values in columns.items():
            made[name] = values
        return made

    def add(self, records: np.ndarray) -> None:
        """Keep records."""
        self._pending.append(records)
        self._held += len(records)
        if self._held >= FLUSHED_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending, bucket by bucket."""
        if not self._held:
            return
        records = np.concatenate(self._pending)
        self._pending, self._held = [], 0
        counts = np.array([len(records)])
        if self._bits:
            bucket = (records["key"] >> np.uint64(64 - self._bits)).astype(np.int64)
            records = records[np.argsort(bucket, kind="stable")]
            counts = np.bincount(bucket, minlength=1 << self._bits)
        self._starts.append(self._written + np.concatenate(([0], np.cumsum(counts))))
        self._written += len(records)
        self._file.write(records.data)

    def __iter__(self) -> Iterator[Iterator[np.ndarray]]:
        """The buckets, each in the order of adding; a bucket that is too large comes in parts."""
        self.flush()
        self._file.flush()
        for bucket in range(1 << self._bits):
            yield self._parts(bucket)

    def _parts(self, bucket: int) -> Iterator[np.ndarray]:
        size = self.kind.itemsize
        parts: list[bytes] = []
        held = 0
        for starts in self._starts:
            first, last = int(starts[bucket]), int(starts[bucket + 1])
            if first < last:
                parts.append(os.pread(self._file.fileno(), (last - first) * size, first * size))
                held += last - first
            if held > MOST_RECORDS:
                yield np.frombuffer(b"".join(parts), self.kind)
                parts, held = [], 0
        if held:
            yield np.frombuffer(b"".join(parts), self.kind)

    def whole(self) -> Iterator[np.ndarray]:
        """The buckets, each at once."""
        for parts in self:
            yield np.concatenate([np.zeros(0, self.kind), *parts])

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()


class RowSet:
    """Some of the rows, a bit for each."""

    def __init__(self, rows: int) -> None:
        self._bits = np.zeros(rows // 8 + 1, np.uint8)

    def add(self, rows: np.ndarray) -> None:
        """Put rows in."""
        np.bitwise_or.at(self._bits, rows >> 3, np.uint8(1) << (rows & 7).astype(np.uint8))

    def has(self, rows: np.ndarray) -> np.ndarray:
        """Which of the rows are in it."""
        found: np.ndarray = (self._bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 != 0
        return found

    def __len__(self) -> int:
        return int(np.bitwise_count(self._bits).sum(dtype=np.int64))

    def rows(self) -> np.ndarray:
        """All that are in it, ascending."""
        return np.flatnonzero(np.unpackbits(self._bits, bitorder="little"))


class Mapped:
    """A file as an array whose pages are given back again and again.

    Pages of a mapped file count as memory of the process while they are mapped, whether or not
    anything else wants that memory.

    Attributes:
        array: what the file holds.
    """

    def __init__(self, file: IO[bytes], kind: str, *, writable: bool = False) -> None:
        file.flush()
        self.size = os.fstat(file.fileno()).st_size
        self.array = np.zeros(0, kind)
        self._map: mmap.mmap | None = None
        if self.size:
            access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
            self._map = mmap.mmap(file.fileno(), self.size, access=access)
            self.array = np.frombuffer(self._map, kind)

    def forget(self) -> None:
        """Give back the pages; what was written stays in the file."""
        if self._map is not None and self.size > LITTLE and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)
