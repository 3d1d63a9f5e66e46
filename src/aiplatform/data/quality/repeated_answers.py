"""Check for many different questions with the same answer."""

import hashlib
from array import array
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
    shorten,
)
from aiplatform.data.quality.disk_buckets import BUCKET_RECORDS, Buckets
from aiplatform.data.quality.duplicates import halves_of, row_digests
from aiplatform.data.quality.references import unnamed_file
from aiplatform.data.quality.texts import answers_of

LEAST = 10
"""Number of rows that must have the same answer before it is reported."""
LEAST_SHARE = 0.001
"""Share of all rows that must have the same answer before it is reported."""
CELLS = 1 << 20
"""Number of counters for a first, rough count; the second count separates answers in one cell."""
ODD = np.uint64(0x9E3779B97F4A7C15)


class RepeatedAnswers(Check):
    """A check for final answers that are the same in many rows with different questions.

    An answer counts once for each distinct row, because another check finds copies of a row.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._answers = unnamed_file()
        self._pairs = Buckets(context.rows, [("key", "<u8"), ("answer", "<u8"), ("row", "<u4")])

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        last: dict[int, str] = {}
        for texts, rows in answers_of(batch, self.context.content):
            last.update(zip(rows.to_pylist(), texts.to_pylist(), strict=True))
        answers = np.zeros(batch.num_rows, np.uint64)
        for row, text in last.items():
            if text and (plain := plain_of(text)):
                digest = hashlib.blake2b(plain.encode(), digest_size=8).digest()
                answers[row] = int.from_bytes(digest, "little")
        self._answers.write(answers.tobytes())
        whole = halves_of(row_digests(batch, self.context.content))[:, 0]
        # Both are digests, so the mixed key can be used like a digest of the pair.
        keys, firsts = np.unique(whole ^ (answers * ODD), return_index=True)
        kept = answers[firsts] != 0
        firsts = firsts[kept]
        self._pairs.add(
            self._pairs.records(key=keys[kept], answer=answers[firsts], row=firsts + first_row)
        )

    def findings(self) -> list[Finding]:
        often = self._often(max(LEAST, LEAST_SHARE * self.context.rows))
        self._pairs.close()
        if not often:
            return []
        often.sort()
        count, found = self._rows_of(np.array([answer for _, answer, _ in often], np.uint64))
        examples = [
            Example(row, shorten(f"{-fewer} rows give this answer"))
            for fewer, _, row in often[:MAX_EXAMPLES]
        ]
        return [
            Finding(
                "repeated_answers",
                Severity.INFO,
                count,
                Words(
                    "many different questions have exactly the same answer",
                    "许多不同的问题得到完全相同的回答",
                ),
                Words(
                    "The model learns to give this answer to any question.",
                    "模型会学会对任何问题都给出这一回答。",
                ),
                examples=examples,
                rows=found,
            )
        ]

    def _often(self, least: float) -> list[tuple[int, int, int]]:
        """Return the answers that occur in at least ``least`` different rows.

        Returns:
            For each: the negative number of rows, the digest of the answer, and the first row.
        """
        # Count roughly first: there may be as many answers as rows, but only a few are frequent.
        rough = np.zeros(CELLS, np.uint32)
        for pairs in self._distinct():
            np.add.at(rough, pairs["answer"] % np.uint64(CELLS), np.uint32(1))
        found: dict[int, tuple[int, int]] = {}
        for pairs in self._distinct():
            pairs = pairs[rough[pairs["answer"] % np.uint64(CELLS)] >= least]  # noqa: PLW2901
            answers, counts = np.unique(pairs["answer"], return_counts=True)
            positions = np.searchsorted(answers, pairs["answer"])
            first = np.full(len(answers), self.context.rows, np.int64)
            np.minimum.at(first, positions, pairs["row"].astype(np.int64))
            for answer, count, row in zip(
                answers.tolist(), counts.tolist(), first.tolist(), strict=True
            ):
                before, earlier = found.get(answer, (0, row))
                found[answer] = (before + count, min(earlier, row))
        return [(-count, answer, row) for answer, (count, row) in found.items() if count >= least]

    def _distinct(self) -> Iterator[np.ndarray]:
        for pairs in self._pairs.whole():
            yield pairs[np.unique(pairs["key"], return_index=True)[1]]

    def _rows_of(self, wanted: np.ndarray) -> tuple[int, "array[int]"]:
        """Return the number of rows with one of the answers, and the rows if they are kept.

        Unlike in :meth:`_often`, copies of rows are counted.
        """
        count, rows = 0, array("I")
        self._answers.seek(0)
        first = 0
        while data := self._answers.read(8 * BUCKET_RECORDS):
            answers = np.frombuffer(data, "<u8")
            found = np.flatnonzero(np.isin(answers, wanted))
            count += len(found)
            if self.context.keeps_rows:
                rows.extend((found + first).tolist())
            first += len(answers)
        self._answers.close()
        return count, rows


def plain_of(text: str) -> str:
    """Return ``text`` in lower case, trimmed, and with one space for each run of white space."""
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip().lower()  # The same result, in a tenth of the time.
    return " ".join(text.split()).casefold()
