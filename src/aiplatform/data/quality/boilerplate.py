"""Check for phrases with which many answers begin or end."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import (
    MAX_EXAMPLES,
    Check,
    Context,
    Example,
    Finding,
    Severity,
    shorten,
)
from aiplatform.data.quality.texts import answers_of

EDGE = 32
"""Number of characters that are compared at the beginning and at the end of an answer."""
LEAST = 20
"""Number of answers that must share a phrase before it is reported."""
LEAST_SHARE = 0.02
"""Share of all answers that must share a phrase before it is reported."""
BUCKETS = 1 << 20
"""Number of counters. Phrases in the same bucket count as one; in 100,000 rows, this is rare."""


class Boilerplate(Check):
    """A check for answers that share their beginning or end.

    Only answers that are longer than the phrase count; the module ``repeated_answers`` checks for
    answers that are equal as a whole. Phrases are counted by their hash in two arrays of fixed
    size, so memory does not depend on the number of rows.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._edges = [Edges(), Edges()]
        self._answers = 0

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        for answers, rows in answers_of(batch, self.context.content):
            long = pc.greater(pc.utf8_length(answers), 2 * EDGE).fill_null(False)
            texts = pl.Series(answers.filter(long))
            owners = rows.filter(long).to_numpy() + first_row
            self._answers += len(texts)
            least = max(LEAST, LEAST_SHARE * self._answers)
            self._edges[0].count(texts.str.slice(0, EDGE), owners, least)
            self._edges[1].count(texts.str.slice(-EDGE), owners, least)

    def findings(self) -> list[Finding]:
        least = max(LEAST, LEAST_SHARE * self._answers)
        often = [
            (number, row, f"{side} of {number} answers: {text}", text)
            for side, edges in zip(("beginning", "end"), self._edges, strict=True)
            for number, row, text in edges.often(least)
        ]
        if not often:
            return []
        often.sort(key=lambda phrase: (-phrase[0], phrase[1], phrase[2]))
        listed = "; ".join(f"“{shorten(text)}” ({number})" for number, _, _, text in often[:3])
        return [
            Finding(
                "boilerplate",
                Severity.INFO,
                often[0][0],
                Words(
                    f"many answers begin or end with the same words: {listed}",
                    f"许多回答以相同的语句开头或结尾：{listed}",
                ),
                Words(
                    "The model learns to use these words in every answer.",
                    "模型会学会在每个回答中都使用这些套话。",
                ),
                examples=[Example(row, shorten(text)) for _, row, text, _ in often[:MAX_EXAMPLES]],
            )
        ]


class Edges:
    """Counters of the beginnings, or of the ends, of answers."""

    def __init__(self) -> None:
        self._counts = np.zeros(BUCKETS, np.uint32)
        self._texts: dict[int, str] = {}
        self._first: dict[int, int] = {}

    def count(self, edges: pl.Series, rows: np.ndarray, least: float) -> None:
        """Count the edges of ``rows``, and keep the text of frequent ones.

        Args:
            edges: The beginnings or ends.
            rows: The row number of each edge.
            least: The number of occurrences from which an edge is frequent.
        """
        if not len(edges):
            return
        buckets = (edges.hash(0).to_numpy() % np.uint64(BUCKETS)).astype(np.int64)
        met, first, counts = np.unique(buckets, return_index=True, return_counts=True)
        self._counts[met] += counts.astype(np.uint32)
        # A phrase that is frequent in the whole dataset reaches the limit at its last occurrence at
        # the latest, so its text is kept.
        for at in np.flatnonzero(self._counts[met] >= least).tolist():
            bucket = int(met[at])
            if bucket not in self._texts:
                self._texts[bucket] = str(edges[int(first[at])])
                self._first[bucket] = int(rows[first[at]])

    def often(self, least: float) -> list[tuple[int, int, str]]:
        """Return the edges that occur in ``least`` or more rows.

        Returns:
            For each: the number of rows, one of the rows, and the text.
        """
        return [
            (int(self._counts[bucket]), self._first[bucket], text)
            for bucket, text in self._texts.items()
            if self._counts[bucket] >= least
        ]
