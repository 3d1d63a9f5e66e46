"""Clusters of similar rows, and the similarity of row pairs; their data is kept on disk."""

from collections.abc import Iterator

import numpy as np

from aiplatform.data.quality.disk_buckets import BUCKET_RECORDS, MappedArray
from aiplatform.data.quality.references import unnamed_file

FOLLOWED_ROWS = 2048
"""Number of rows whose roots are looked up together. Each may load 64 KiB of a mapped file."""
COMPARED_SHINGLES = 1 << 19
"""Largest number of shingles that are compared together."""


class Clusters:
    """Disjoint sets of rows (union-find); the root of a cluster is its first row.

    Attributes:
        count: The number of rows that are not the first of their cluster.
    """

    def __init__(self, rows: int) -> None:
        self.count = 0
        self._rows = rows
        # Distance from each row back to its parent. At first all are zero, so each row is a root.
        self._back = self._zeros()

    def _zeros(self) -> MappedArray:
        file = unnamed_file()
        file.truncate(4 * self._rows)
        return MappedArray(file, "<u4", writable=True)

    def root(self, row: int) -> int:
        """Return the root of a row's cluster, which is the first row of the cluster."""
        back = self._back.array
        at = row
        while step := int(back[at]):
            at -= step
        if row != at:
            back[row] = row - at
        return at

    def roots(self, rows: np.ndarray) -> np.ndarray:
        """Return the root of each row, as int64."""
        back = self._back.array
        at = rows
        while (steps := back[at]).any():
            at = at - steps
        back[rows] = rows - at
        return at

    def join(self, left: int, right: int) -> None:
        """Merge the clusters of two rows."""
        first, second = sorted((self.root(left), self.root(right)))
        if first != second:
            self._back.array[second] = second - first
            self.count += 1

    def others(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the rows that are not the first of their cluster, ascending, with their roots."""
        for start in range(0, self._rows, BUCKET_RECORDS):
            rows = start + np.flatnonzero(self._back.array[start : start + BUCKET_RECORDS])
            for first in range(0, len(rows), FOLLOWED_ROWS):
                some = rows[first : first + FOLLOWED_ROWS]
                yield some, self.roots(some)
                self.release()

    def groups(self, most: int) -> tuple[int, list[int]]:
        """Return the number of clusters with several rows, and the roots of the largest ones."""
        sizes = self._zeros()
        for _, roots in self.others():
            np.add.at(sizes.array, roots, np.uint32(1))
            sizes.release()
        count = 0
        largest: list[tuple[int, int]] = []
        for start in range(0, self._rows, BUCKET_RECORDS):
            part = sizes.array[start : start + BUCKET_RECORDS].astype(np.int64)
            count += int(np.count_nonzero(part))
            best = np.argsort(-part, kind="stable")[:most]
            largest += [(-int(part[at]), start + int(at)) for at in best.tolist() if part[at]]
            largest = sorted(largest)[:most]
            sizes.release()
        return count, [first for _, first in largest]

    def release(self) -> None:
        """Release the memory of the mapped file."""
        self._back.release()


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Jaccard similarity, 0 to 1, of two sorted sets without repeats."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


class ShingleFile:
    """A file with the shingles of each row (uint32, sorted and distinct)."""

    def __init__(self) -> None:
        self._file, self._ends_file = unnamed_file(), unnamed_file()
        self._ends_file.write(bytes(8))
        self._written = 0

    def add(self, shingles: np.ndarray, bounds: np.ndarray) -> None:
        """Append the shingles of the next rows.

        Args:
            shingles: The shingles of all these rows, one row after another.
            bounds: The first index of each row, and the end of the last one.
        """
        self._file.write(shingles.data)
        self._ends_file.write((self._written + bounds[1:]).astype("<i8").tobytes())
        self._written += len(shingles)

    def open(self) -> None:
        """Map the files for reading; nothing can be added afterwards."""
        self._shingles = MappedArray(self._file, "<u4")
        self._ends = MappedArray(self._ends_file, "<i8")

    def close(self) -> None:
        """Delete the files."""
        del self._shingles, self._ends
        self._file.close()
        self._ends_file.close()

    def similarities(self, lefts: np.ndarray, rights: np.ndarray) -> np.ndarray:
        """Return the Jaccard similarity, 0 to 1, of each pair of rows."""
        ends = self._ends.array
        firsts, seconds = ends[lefts], ends[rights]
        lengths, others = ends[lefts + 1] - firsts, ends[rights + 1] - seconds
        total = lengths + others
        shared = np.zeros(len(lefts), np.int64)
        running = np.cumsum(total)
        start = 0
        while start < len(lefts):
            before = int(running[start - 1]) if start else 0
            end = max(int(np.searchsorted(running, before + COMPARED_SHINGLES)), start + 1)
            some = slice(start, end)
            if running[end - 1] - before > COMPARED_SHINGLES:
                one, other = (
                    self._shingles.array[at : at + length]
                    for at, length in (
                        (firsts[start], lengths[start]),
                        (seconds[start], others[start]),
                    )
                )
                shared[start] = len(np.intersect1d(one, other, assume_unique=True))
                start = end
                continue
            pairs = np.arange(end - start, dtype=np.uint64) << np.uint64(32)
            keyed = np.concatenate(
                [
                    np.repeat(pairs, lengths[some]) | self._of(firsts[some], lengths[some]),
                    np.repeat(pairs, others[some]) | self._of(seconds[some], others[some]),
                ]
            )
            keyed.sort()
            twice = keyed[1:][keyed[1:] == keyed[:-1]] >> np.uint64(32)
            shared[some] = np.bincount(twice.astype(np.int64), minlength=end - start)
            self._shingles.release()
            start = end
        self._ends.release()
        similar: np.ndarray = shared / np.maximum(total - shared, 1)
        return similar

    def _of(self, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Return the shingles of several rows, one row after another."""
        positions = np.arange(int(lengths.sum()))
        positions += np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
        return self._shingles.array[positions]
