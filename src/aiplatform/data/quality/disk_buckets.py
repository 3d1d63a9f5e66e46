"""Storage on disk for the per-row data of checks, so that memory does not grow with the rows.

Records are put into buckets by the high bits of a key, so that equal keys are in the same bucket
and each bucket fits into memory. Only :class:`RowSet` grows with the dataset, by one bit per row.
"""

import mmap
import os
from collections.abc import Iterator
from typing import IO

import numpy as np

from aiplatform.data.limits import MIB
from aiplatform.data.quality.references import unnamed_file

BUCKET_RECORDS = 1 << 18
MOST_RECORDS = 2 * BUCKET_RECORDS
"""Number of records after which a bucket is returned in parts.

Keys that are not evenly distributed may overfill a bucket.
"""
FLUSHED_RECORDS = 1 << 16
KEPT_IN_MEMORY_BYTES = 64 * MIB
"""Largest mapped file that may stay in memory."""


class Buckets:
    """Records in buckets by the high bits of their first field, ``key`` (uint64).

    The keys must be evenly distributed, such as hashes.

    Args:
        expected: The largest number of records.
        fields: Names and types of the fields of a record.
    """

    def __init__(self, expected: int, fields: list[tuple[str, str]]) -> None:
        self.kind = np.dtype(fields)
        self._bits = max(0, (expected // BUCKET_RECORDS).bit_length())
        self._file = unnamed_file()
        self._starts: list[np.ndarray] = []
        self._written = 0
        self._pending: list[np.ndarray] = []
        self._held = 0

    def records(self, **columns: np.ndarray) -> np.ndarray:
        """Return columns as an array of records."""
        made = np.empty(len(next(iter(columns.values()))), self.kind)
        for name, values in columns.items():
            made[name] = values
        return made

    def add(self, records: np.ndarray) -> None:
        """Add records."""
        self._pending.append(records)
        self._held += len(records)
        if self._held >= FLUSHED_RECORDS:
            self.flush()

    def flush(self) -> None:
        """Write the pending records to the file, bucket by bucket."""
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
        """Yield each bucket as an iterator of parts, with records in the order of addition.

        Only a bucket that is too large has several parts.
        """
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
        """Yield the buckets, each as one array."""
        for parts in self:
            yield np.concatenate([np.zeros(0, self.kind), *parts])

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


class RowSet:
    """A set of rows, with one bit for each row of the dataset."""

    def __init__(self, rows: int) -> None:
        self._bits = np.zeros(rows // 8 + 1, np.uint8)

    def add(self, rows: np.ndarray) -> None:
        """Add rows to the set."""
        np.bitwise_or.at(self._bits, rows >> 3, np.uint8(1) << (rows & 7).astype(np.uint8))

    def has(self, rows: np.ndarray) -> np.ndarray:
        """Return one boolean per row: True if the row is in the set."""
        found: np.ndarray = (self._bits[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 != 0
        return found

    def __len__(self) -> int:
        return int(np.bitwise_count(self._bits).sum(dtype=np.int64))

    def rows(self) -> np.ndarray:
        """Return all rows in the set, ascending."""
        return np.flatnonzero(np.unpackbits(self._bits, bitorder="little"))


class MappedArray:
    """A file mapped as an array, whose memory can be released from time to time.

    The pages of a mapped file count as memory of the process as long as they are mapped, even if
    the kernel could reclaim them.

    Attributes:
        size: The size of the file in bytes.
        array: The content of the file.
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

    def release(self) -> None:
        """Release the memory of a large file; data that was written stays in the file."""
        if (
            self._map is not None
            and self.size > KEPT_IN_MEMORY_BYTES
            and hasattr(mmap, "MADV_DONTNEED")
        ):
            self._map.madvise(mmap.MADV_DONTNEED)
