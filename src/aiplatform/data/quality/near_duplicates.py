"""Rows that say almost what another row says.

MinHash (Broder 1997) with banding (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, chapter
3), and every candidate is verified against the exact Jaccard similarity of the two rows' shingles.

A shingle is a pair of neighbouring tokens; a token is a word, or one character of a script that
puts no spaces between words. Pairs suit both: an edited word touches two of them, where five
characters or words in a row would lose most of what a lightly edited text keeps.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import (
    MAX_EXAMPLES,
    Check,
    Context,
    Example,
    Finding,
    Severity,
    row_numbers,
)
from aiplatform.data.quality.duplicates import repeated, row_digests
from aiplatform.data.quality.references import spill
from aiplatform.data.quality.shingles import shingles_of

BANDS = 20
ROWS_PER_BAND = 4
"""Pairs of similarity 0.65 meet in some band with probability 0.98, of 0.4 with 0.4."""
THRESHOLD = 0.55
"""Least Jaccard similarity of two rows; ten words edited in a hundred leave about 0.68."""
LEAST_SHINGLES = 8
"""Shorter rows are alike by chance."""
MAX_GROUPS, MAX_GROUP_ROWS = 10, 10
"""Groups that the report shows, the largest first, and rows of each."""
COMPARED = 8
"""Rows of a bucket that each row is compared with: its nearest predecessors."""


class NearDuplicates(Check):
    """Clusters of rows that differ in a few words.

    Shingles and bands are spilled to unnamed files; in memory is one band at a time, and some 60
    bytes a row at the most.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._shingles = spill()
        self._bands = [spill() for _ in range(BANDS)]
        self._digests = bytearray()
        self._ends: list[np.ndarray] = []
        self._written = 0

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:  # noqa: ARG002
        shingles, bounds = shingles_of(batch, self.context.content)
        self._digests += row_digests(batch, self.context.content)
        self._shingles.write(shingles.tobytes())
        self._ends.append(self._written + bounds[1:])
        self._written += len(shingles)
        for file, keys in zip(self._bands, band_keys(shingles, bounds), strict=True):
            file.write(keys.tobytes())

    def findings(self) -> list[Finding]:
        ends = np.concatenate([np.zeros(1, np.int64), *self._ends])
        clusters = Clusters(len(ends) - 1)
        if self._written:
            self._shingles.flush()
            # Slices of a memmap are made anew as such, which costs more than to compare them.
            shingles = np.asarray(np.memmap(self._shingles, np.uint32, mode="r"))
            self._cluster(clusters, ends, shingles)
        for file in (self._shingles, *self._bands):
            file.close()
        roots = clusters.roots()
        others = np.flatnonzero(roots != np.arange(len(roots)))
        if not len(others):
            return []
        examples = [Example(int(row), f"≈ {int(roots[row])}") for row in others[:MAX_EXAMPLES]]
        firsts, sizes = np.unique(roots[others], return_counts=True)
        groups = len(firsts)
        largest = firsts[np.argsort(-sizes, kind="stable")[:MAX_GROUPS]]
        return [
            Finding(
                "near_duplicates",
                Severity.WARNING,
                len(others),
                Words(
                    f"almost the same as an earlier row, in {groups} groups",
                    f"与前面的数据几乎相同，共 {groups} 组",
                ),
                Words(
                    "What is repeated counts more than it should, and held-out results look better "
                    "than they are when such rows fall on both sides of a split.",
                    "重复的内容权重过高；若落入训练集和验证集两侧，评估结果会虚高。",
                ),
                examples=examples,
                rows=row_numbers(others),
                groups=[
                    np.flatnonzero(roots == first)[:MAX_GROUP_ROWS].tolist()
                    for first in largest.tolist()
                ],
            )
        ]

    def _cluster(self, clusters: "Clusters", ends: np.ndarray, shingles: np.ndarray) -> None:
        """Join what meets in a bucket and is alike."""
        asked = np.diff(ends) >= LEAST_SHINGLES
        # Exact copies are another finding's business, and would fill the buckets.
        asked[repeated(bytes(self._digests))[0]] = False
        rows = np.flatnonzero(asked)
        for file in self._bands:
            file.seek(0)
            keys = np.frombuffer(file.read(), dtype="<u8")[rows]
            order = np.argsort(keys, kind="stable")
            keys, met = keys[order], rows[order]
            for distance in range(1, COMPARED + 1):
                same = np.flatnonzero(keys[distance:] == keys[:-distance])
                roots = clusters.roots()
                lefts, rights = met[same], met[same + distance]
                new = roots[lefts] != roots[rights]
                for left, right in zip(lefts[new].tolist(), rights[new].tolist(), strict=True):
                    first = shingles[ends[left] : ends[left + 1]]
                    second = shingles[ends[right] : ends[right + 1]]
                    if similarity(first, second) >= THRESHOLD:
                        clusters.join(left, right)


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Jaccard's of two sorted sets without repeats, 0 to 1."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared / (len(first) + len(second) - shared)


class Clusters:
    """Disjoint sets of rows; the root of a cluster is its first row."""

    def __init__(self, rows: int) -> None:
        self._parents = np.arange(rows)

    def root(self, row: int) -> int:
        """The first row of the row's cluster."""
        parents = self._parents
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = int(parents[row])
        return row

    def join(self, left: int, right: int) -> None:
        """Make one cluster of two."""
        first, second = sorted((self.root(left), self.root(right)))
        self._parents[second] = first

    def roots(self) -> np.ndarray:
        """The root of every row."""
        parents = self._parents
        while (parents != parents[parents]).any():
            parents = parents[parents]
        return parents


_random = np.random.default_rng(20261124)
_FACTORS = _random.integers(0, 1 << 32, BANDS * ROWS_PER_BAND, dtype=np.uint32) | np.uint32(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def band_keys(shingles: np.ndarray, bounds: np.ndarray) -> Iterator[np.ndarray]:
    """For each band, a key of 64 bits for every row: what its minima in that band come to.

    Args:
        shingles: hashes, uint32, of all rows one after another.
        bounds: where each row begins, and where the last one ends.
    """
    empty = bounds[1:] == bounds[:-1]
    starts = np.minimum(bounds[:-1], max(len(shingles) - 1, 0))
    minima = np.zeros(len(starts), np.uint32)
    for band in range(BANDS):
        key = np.full(len(starts), band + 1, np.uint64)
        for number in range(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND):
            if len(shingles):
                # Multiplying alone keeps the order of low bits; the shift brings high ones down.
                product = shingles * _FACTORS[number]
                minima = np.minimum.reduceat(product ^ (product >> np.uint32(15)), starts)
            key = (key ^ minima.astype(np.uint64)) * _MIX
            key ^= key >> np.uint64(29)
        key[empty] = 0
        yield key
