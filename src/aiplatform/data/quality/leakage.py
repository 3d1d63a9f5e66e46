"""Check for rows that are also in the evaluation data.

Rows match in one of three ways; the first that applies counts:

- the whole rows are equal, word for word
- the questions are equal, but the answers differ
- the rows are similar: found by MinHash and verified as in
  :mod:`~aiplatform.data.quality.near_duplicates`

Case, punctuation and white space are ignored.
"""

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import (
    Check,
    Context,
    Finding,
    Severity,
    row_preview,
)
from aiplatform.data.quality.clusters import similarity
from aiplatform.data.quality.near_duplicates import (
    BANDS,
    COMPARED,
    LEAST_SHINGLES,
    THRESHOLD,
    band_keys,
)
from aiplatform.data.quality.references import (
    STEP,
    Reference,
    SortedKeys,
    all_tokens,
    asked_tokens,
    fingerprints,
    map_file,
    unnamed_file,
)
from aiplatform.data.quality.shingles import shingles_of_tokens, tokens_of

LEAST_ASKED = 5
"""Minimum number of tokens of a question; shorter ones (“Who are you?”) are in all datasets."""

KINDS = ("exact", "question", "near")

Side = tuple[np.ndarray, np.ndarray]


class Leakage(Check):
    """A check that compares the rows with each reference that has the role ``evaluation``."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._indexes = [EvaluationIndex(r) for r in context.references if r.role == "evaluation"]
        self._tallies = {kind: context.new_tally() for kind in KINDS}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        if not self._indexes:
            return
        rows = RowFeatures(batch, self.context.content)
        strongest = np.full(batch.num_rows, len(KINDS))
        shown = [""] * batch.num_rows
        for index in self._indexes:
            for kind, found in enumerate(index.matches(rows)):
                for row in np.flatnonzero((found >= 0) & (kind < strongest)).tolist():
                    strongest[row] = kind
                    shown[row] = f"= {index.reference.label} {int(found[row])}"
        for row in np.flatnonzero(strongest < len(KINDS)).tolist():
            tally = self._tallies[KINDS[strongest[row]]]
            wanted = len(tally.examples) < 5
            text = f"{shown[row]}: {row_preview(batch, row)}" if wanted else ""
            tally.add(first_row + row, text)

    def findings(self) -> list[Finding]:
        labels = ", ".join(index.reference.label for index in self._indexes)
        return [
            Finding(
                f"leakage_{kind}",
                Severity.ERROR if kind == "exact" else Severity.WARNING,
                tally.count,
                Words(f"{WHAT[kind].en} {labels}", f"{WHAT[kind].zh} {labels}"),
                EFFECT,
                examples=tally.examples,
                rows=tally.rows,
            )
            for kind, tally in self._tallies.items()
            if tally.count
        ]

    def summary(self) -> list[dict[str, Any]]:
        """Return the number of leaked rows of each reference, by kind of match."""
        return [index.summary() for index in self._indexes]


WHAT = {
    "exact": Words("the row is also in the evaluation data", "该数据同时出现在评估数据中："),
    "question": Words(
        "the question is also in the evaluation data, with another answer:",
        "该问题同时出现在评估数据中（回答不同）：",
    ),
    "near": Words(
        "almost the same row is in the evaluation data", "几乎相同的数据出现在评估数据中："
    ),
}
EFFECT = Words(
    "The model is trained on its own evaluation data, so its results look better than they are.",
    "模型在训练中见过评估数据，评估结果会虚高。",
)


class RowFeatures:
    """The features of the rows in a batch, computed once and compared with all references.

    Attributes:
        whole: Fingerprints of whole rows; 0 for a row without content.
        asked_by_all: Fingerprints of the questions; 0 for a row without a question.
        asked_counts: Token counts of the questions.
        asked: Fingerprints of the questions that are long enough; 0 for others.
    """

    def __init__(self, batch: pa.RecordBatch, names: list[str]) -> None:
        count = batch.num_rows
        tokens, rows = all_tokens(batch, names)
        self._tokens, self._rows, self._count = tokens, rows, count
        self.whole = whole_fingerprints(batch, names, tokens, rows)
        asked, askers = asked_tokens(batch, names)
        self.asked_by_all = fingerprints(asked, askers, count)
        self.asked_counts = np.bincount(askers, minlength=count)
        self.asked = np.where(self.asked_counts < LEAST_ASKED, np.uint64(0), self.asked_by_all)

    @cached_property
    def _shingled(self) -> Side:
        return shingles_of_tokens(self._tokens, self._rows, self._count)

    @property
    def shingles(self) -> np.ndarray:
        """The shingles of all rows, one after another."""
        return self._shingled[0]

    @property
    def bounds(self) -> np.ndarray:
        """The index of the first shingle of each row, and the end of the last row."""
        return self._shingled[1]

    @cached_property
    def keys(self) -> list[np.ndarray]:
        """The MinHash keys of all rows, one array for each band."""
        return list(band_keys(self.shingles, self.bounds))


def whole_fingerprints(
    batch: pa.RecordBatch, names: list[str], tokens: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Return a fingerprint of each row, computed from its words, numbers and booleans.

    Args:
        batch: The rows.
        names: The columns to include.
        tokens: The tokens of the texts in these columns.
        rows: The row of each token, ascending.
    """
    found = fingerprints(tokens, rows, batch.num_rows)
    for name in names:
        column = batch.column(name)
        if not pa.types.is_primitive(column.type):
            continue
        texts = column.cast(pa.string())
        positions = pa.array(range(batch.num_rows), pa.int64())
        values = fingerprints(*tokens_of([(texts, positions)]), batch.num_rows)
        mixed = (found ^ (values * STEP)) * STEP | np.uint64(1)
        found = np.where(values == 0, found, mixed)
    return found


class EvaluationIndex:
    """An index of the rows of one reference, by their fingerprints and band keys."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        whole, asked, kept = unnamed_file(), unnamed_file(), unnamed_file()
        bands = [unnamed_file() for _ in range(BANDS)]
        ends = [np.zeros(1, np.int64)]
        written = 0
        for batch, names in reference.batches():
            rows = RowFeatures(batch, names)
            whole.write(rows.whole.tobytes())
            asked.write(rows.asked.tobytes())
            kept.write(rows.shingles.tobytes())
            ends.append(written + rows.bounds[1:])
            written += len(rows.shingles)
            few = np.diff(rows.bounds) < LEAST_SHINGLES
            for file, keys in zip(bands, rows.keys, strict=True):
                file.write(np.where(few, np.uint64(0), keys).tobytes())
        self._whole = SortedKeys(map_file(whole, np.uint64))
        self._asked = SortedKeys(map_file(asked, np.uint64))
        self._bands = [SortedKeys(map_file(file, np.uint64)) for file in bands]
        self._shingles = map_file(kept, np.uint32)
        self._ends = np.concatenate(ends)
        self._leaked = {kind: np.zeros(len(self._ends) - 1, bool) for kind in KINDS}
        for file in (whole, asked, *bands):
            file.close()

    def matches(self, rows: RowFeatures) -> list[np.ndarray]:
        """Return the reference row that each row matches, or -1 if there is none.

        The list has one such array for each kind of match in :data:`KINDS`.
        """
        whole = self._whole.first_rows(rows.whole)
        asked = self._asked.first_rows(rows.asked)
        near = self._near(rows, (whole < 0) & (asked < 0))
        found = [whole, asked, near]
        for kind, matched in zip(KINDS, found, strict=True):
            self._leaked[kind][matched[matched >= 0]] = True
        return found

    def _near(self, rows: RowFeatures, wanted: np.ndarray) -> np.ndarray:
        found = np.full(len(wanted), -1, np.int64)
        wanted = wanted & (np.diff(rows.bounds) >= LEAST_SHINGLES)
        for band, keys in zip(self._bands, rows.keys, strict=True):
            positions = band.positions(keys)
            for row in np.flatnonzero((positions >= 0) & wanted & (found < 0)).tolist():
                mine = rows.shingles[rows.bounds[row] : rows.bounds[row + 1]]
                at = int(positions[row])
                same = band.keys[at : at + COMPARED] == keys[row]
                for other in band.rows[at : at + COMPARED][same].tolist():
                    theirs = self._shingles[self._ends[other] : self._ends[other + 1]]
                    if similarity(mine, theirs) >= THRESHOLD:
                        found[row] = other
                        break
        return found

    def summary(self) -> dict[str, Any]:
        """Return the summary for the report; its numbers count rows of the reference."""
        exact, question, near = (self._leaked[kind] for kind in KINDS)
        return {
            "label": self.reference.label,
            "dataset": self.reference.dataset,
            "role": "evaluation",
            "rows": len(exact),
            "exact": int(exact.sum()),
            "question": int((question & ~exact).sum()),
            "near": int((near & ~exact & ~question).sum()),
            "method": (
                "whole rows and questions word for word; near rows by MinHash, "
                f"verified: Jaccard similarity of token pairs at least {THRESHOLD}"
            ),
            "method_zh": (
                "整条数据和问题逐词比较；近似数据由 MinHash 找出并验证："
                f"相邻词对的 Jaccard 相似度至少为 {THRESHOLD}"
            ),
        }
