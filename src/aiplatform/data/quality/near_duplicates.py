"""Check for rows that are almost the same as another row.

Candidates are found by MinHash (Broder 1997) with banding (Leskovec, Rajaraman, Ullman: Mining of
Massive Datasets, chapter 3). Every candidate is verified by the exact Jaccard similarity of the two
rows' shingles.

A shingle is a pair of neighbouring tokens. A token is a word, or one character of a writing system
without spaces. Pairs suit both, because an edited word changes only two of them, while shingles of
five characters or words would lose most of the similarity after a few edits.
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
from aiplatform.data.quality.clusters import Clusters, ShingleFile
from aiplatform.data.quality.disk_buckets import Buckets
from aiplatform.data.quality.duplicates import Copies, row_digests
from aiplatform.data.quality.shingles import shingles_of

BANDS = 20
ROWS_PER_BAND = 4
"""Number of hashes per band.

Two rows with similarity 0.65 share some band with probability 0.98; two with similarity 0.4, with
probability 0.4.
"""
THRESHOLD = 0.55
"""Minimum Jaccard similarity of near duplicates; ten edited words in 100 give about 0.68."""
LEAST_SHINGLES = 8
"""Minimum number of shingles of a row; shorter rows are similar by chance."""
MAX_GROUPS, MAX_GROUP_ROWS = 10, 10
"""Largest number of groups in the report (the largest ones), and of rows in each group."""
COMPARED = 8
"""Number of preceding rows in a bucket with which each row is compared."""
PAIRS = 1024
"""Number of pairs that are compared together. Each may load two 64 KiB pieces of a mapped file."""


class NearDuplicates(Check):
    """A check for rows that differ in only a few words.

    Shingles and bands are written to unnamed files, and read back one bucket at a time.
    """

    in_numpy = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._copies = Copies(context.rows)
        self._shingles = ShingleFile()
        self._bands = [
            Buckets(context.rows, [("key", "<u8"), ("row", "<u4")]) for _ in range(BANDS)
        ]

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        shingles, bounds = shingles_of(batch, self.context.content)
        self._copies.add(row_digests(batch, self.context.content), first_row)
        self._shingles.add(shingles, bounds)
        asked = np.flatnonzero(np.diff(bounds) >= LEAST_SHINGLES)
        if not len(asked):
            return
        for band, keys in zip(self._bands, band_keys(shingles, bounds), strict=True):
            band.add(band.records(key=keys[asked], row=asked + first_row))

    def clusters(self) -> Clusters:
        """Cluster all similar rows; call this once, after the last row."""
        # Exact copies are a separate finding, and would fill the buckets.
        self._copies.close()
        clusters = Clusters(self.context.rows)
        self._shingles.open()
        for band in self._bands:
            for parts in band:
                self._cluster(clusters, parts)
            band.close()
        self._shingles.close()
        return clusters

    def findings(self) -> list[Finding]:
        clusters = self.clusters()
        if not clusters.count:
            return []
        groups, largest = clusters.groups(MAX_GROUPS)
        examples: list[Example] = []
        members = {first: [first] for first in largest}
        rows = [np.zeros(0, np.int64)]
        for others, roots in clusters.others():
            wanted = MAX_EXAMPLES - len(examples)
            for row, root in zip(others[:wanted].tolist(), roots[:wanted].tolist(), strict=True):
                examples.append(Example(row, f"≈ {root}"))
            for first, known in members.items():
                wanted = MAX_GROUP_ROWS - len(known)
                known.extend(others[roots == first][:wanted].tolist())
            if self.context.keeps_rows:
                rows.append(others)
        return [
            Finding(
                "near_duplicates",
                Severity.WARNING,
                clusters.count,
                Words(
                    f"almost the same as an earlier row, in {groups} groups",
                    f"与前面的数据几乎相同，共 {groups} 组",
                ),
                Words(
                    "Repeated content gets too much weight. If such rows are in both the training "
                    "data and the held-out data, the results look better than they are.",
                    "重复的内容权重过高；若这类数据同时出现在训练数据和留出数据中，评估结果会虚高。",
                ),
                examples=examples,
                rows=row_numbers(np.concatenate(rows)),
                groups=list(members.values()),
            )
        ]

    def _cluster(self, clusters: Clusters, parts: Iterator[np.ndarray]) -> None:
        """Join the similar rows in a bucket."""
        met = np.zeros(0, self._bands[0].kind)
        for part in parts:
            known = _last_of_each(met)
            met = np.concatenate([known, part[~self._copies.rows.has(part["row"])]])
            order = np.argsort(met["key"], kind="stable")
            met, is_new = met[order], order >= len(known)
            for distance in range(1, COMPARED + 1):
                same = met["key"][distance:] == met["key"][:-distance]
                at = np.flatnonzero(same & is_new[distance:])
                for start in range(0, len(at), PAIRS):
                    some = at[start : start + PAIRS]
                    lefts, rights = met["row"][some], met["row"][some + distance]
                    self._join_alike(clusters, lefts.astype(np.int64), rights.astype(np.int64))

    def _join_alike(self, clusters: Clusters, lefts: np.ndarray, rights: np.ndarray) -> None:
        apart = clusters.roots(lefts) != clusters.roots(rights)
        lefts, rights = lefts[apart], rights[apart]
        alike = self._shingles.similarities(lefts, rights) >= THRESHOLD
        for left, right in zip(lefts[alike].tolist(), rights[alike].tolist(), strict=True):
            clusters.join(left, right)
        clusters.release()


def _last_of_each(records: np.ndarray) -> np.ndarray:
    """Return the last few records of each key, to be compared with later ones; input is sorted."""
    keys = records["key"]
    ends = np.searchsorted(keys, keys, side="right")
    return records[ends - np.arange(len(keys)) <= COMPARED]


_random = np.random.default_rng(20261124)
_FACTORS = _random.integers(0, 1 << 32, BANDS * ROWS_PER_BAND, dtype=np.uint32) | np.uint32(1)
_MIX = np.uint64(0x9E3779B97F4A7C15)


def band_keys(shingles: np.ndarray, bounds: np.ndarray) -> Iterator[np.ndarray]:
    """Yield, for each band, a 64-bit key for every row, made from the row's minima in the band.

    Args:
        shingles: Hashes (uint32) of all rows, one row after another.
        bounds: The first index of each row, and the end of the last one.
    """
    empty = bounds[1:] == bounds[:-1]
    starts = np.minimum(bounds[:-1], max(len(shingles) - 1, 0))
    minima = np.zeros(len(starts), np.uint32)
    for band in range(BANDS):
        key = np.full(len(starts), band + 1, np.uint64)
        for number in range(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND):
            if len(shingles):
                # The low bits of a product depend only on low bits; the shift mixes in high ones.
                product = shingles * _FACTORS[number]
                minima = np.minimum.reduceat(product ^ (product >> np.uint32(15)), starts)
            key = (key ^ minima.astype(np.uint64)) * _MIX
            key ^= key >> np.uint64(29)
        key[empty] = 0
        yield key
