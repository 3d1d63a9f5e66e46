"""Check for imbalanced labels in classification datasets."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.canonical import iter_batches
from aiplatform.data.errors import Words
from aiplatform.data.quality.check import MAX_EXAMPLES, Check, Context, Example, Finding, Severity
from aiplatform.protocol.enums import DataShape

IMBALANCED = 10
"""Ratio of row counts beyond which a label is scarce, compared with the most frequent one."""
MOST_LABELS = 1000
"""Number of different labels beyond which the column does not contain classes."""
LEAST_ROWS = 20
"""Number of rows that a label needs to count as the scarcest when rows are dropped.

Otherwise, a label with a single row would leave ten rows of each other label.
"""
SEED = 0


class Labels(Check):
    """A check of how rows are distributed over the labels of a classification dataset."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._labelled = context.shape is DataShape.CLASSIFICATION
        self._counts: Counter[object] = Counter()
        self._first: dict[object, int] = {}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        if not self._labelled or len(self._counts) > MOST_LABELS:
            return
        labels = batch.column("label")
        for item in pc.value_counts(labels.drop_null()).to_pylist():
            self._counts[item["values"]] += item["counts"]
            if item["values"] not in self._first:
                index = pc.index(labels, pa.scalar(item["values"], labels.type)).as_py()
                self._first[item["values"]] = first_row + index

    def summary(self) -> list[dict[str, object]] | None:
        """Return the most frequent labels with their row counts; None if there are no classes."""
        if not 1 <= len(self._counts) <= MOST_LABELS:
            return None
        return [{"label": str(name), "rows": n} for name, n in self._counts.most_common(50)]

    def findings(self) -> list[Finding]:
        if not 1 < len(self._counts) <= MOST_LABELS:
            return []
        most, largest = self._counts.most_common(1)[0]
        scarce = [name for name, count in self._counts.items() if count * IMBALANCED < largest]
        if not scarce:
            return []
        scarce.sort(key=lambda label: (self._counts[label], str(label)))
        listed = ", ".join(f"{label} ({self._counts[label]})" for label in scarce[:MAX_EXAMPLES])
        return [
            Finding(
                "label_imbalance",
                Severity.WARNING,
                sum(self._counts[label] for label in scarce),
                Words(
                    f"{len(scarce)} of {len(self._counts)} labels have less than a tenth of the "
                    f"rows of “{most}” ({largest}): {listed}",
                    f"{len(self._counts)} 个标签中有 {len(scarce)} 个的数据不到"
                    f"“{most}”（{largest} 条）的十分之一：{listed}",
                ),
                Words(
                    "The model hardly learns these labels, and its overall accuracy hides this.",
                    "模型很难学会这些标签，而总体准确率会掩盖这一点。",
                ),
                column="label",
                examples=[
                    Example(self._first[label], str(label)[:100]) for label in scarce[:MAX_EXAMPLES]
                ],
            )
        ]


def surplus_rows(path: Path, seed: int = SEED) -> np.ndarray:
    """Choose rows to drop, so that no label has over ten times the rows of the scarcest one.

    The rows are drawn at random, but the same seed gives the same rows. A label with fewer than
    :data:`LEAST_ROWS` rows does not count as the scarcest, unless all have fewer.

    Returns:
        The numbers of the rows to drop (int64), ascending.
    """
    labels = pa.chunked_array(
        [batch.column("label") for batch in iter_batches(path, ["label"])] or [pa.array([])]
    )
    codes = labels.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
    counts = np.bincount(codes[codes >= 0])
    if not len(counts):
        return np.zeros(0, np.int64)
    asked = counts[counts >= LEAST_ROWS]
    most = IMBALANCED * int((asked if len(asked) else counts).min())
    order = np.random.default_rng(seed).permutation(len(codes))
    gone = [order[codes[order] == label][most:] for label in np.flatnonzero(counts > most).tolist()]
    return np.sort(np.concatenate([*gone, np.zeros(0, np.int64)]))
