"""One answer to many questions."""

import hashlib

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
    shorten,
)
from aiplatform.data.quality.duplicates import row_digests
from aiplatform.data.quality.texts import answers_of

LEAST = 10
LEAST_SHARE = 0.001
"""An answer is reported when this many rows, and this share of all, give it."""


class RepeatedAnswers(Check):
    """The last answers of rows that differ elsewhere, where many are the same.

    Eight bytes a row are kept for the answer and eight for the whole row: copies of a row are
    another finding's business.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._rows = bytearray()
        self._answers = bytearray()
        self._texts: dict[bytes, str] = {}

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:  # noqa: ARG002
        last: dict[int, str] = {}
        for answers, rows in answers_of(batch, self.context.content):
            last.update(zip(rows.to_pylist(), answers.to_pylist(), strict=True))
        whole = row_digests(batch, self.context.content)
        for row in range(batch.num_rows):
            text = " ".join((last.get(row) or "").split()).casefold()
            digest = hashlib.blake2b(text.encode(), digest_size=8).digest() if text else bytes(8)
            self._answers += digest
            self._rows += whole[16 * row : 16 * row + 8]

    def findings(self) -> list[Finding]:
        answers = np.frombuffer(bytes(self._answers), dtype="<u8")
        rows = np.frombuffer(bytes(self._rows), dtype="<u8")
        pairs = np.stack([answers, rows], axis=1)
        _, kept = np.unique(pairs, axis=0, return_index=True)
        kept = kept[answers[kept] != 0]
        values, firsts, counts = np.unique(
            answers[np.sort(kept)], return_index=True, return_counts=True
        )
        often = counts >= max(LEAST, LEAST_SHARE * self.context.rows)
        if not often.any():
            return []
        found = np.flatnonzero(np.isin(answers, values[often]))
        order = np.argsort(-counts[often], kind="stable")[:MAX_EXAMPLES]
        positions = np.sort(kept)[firsts[often][order]]
        examples = [
            Example(int(row), shorten(f"{count} rows give this answer"))
            for row, count in zip(positions, counts[often][order], strict=True)
        ]
        return [
            Finding(
                "repeated_answers",
                Severity.INFO,
                len(found),
                Words(
                    "many different questions get the very same answer",
                    "许多不同的问题得到完全相同的回答",
                ),
                Words(
                    "The model learns to give this answer to anything.",
                    "模型会学会对任何问题都给出这一回答。",
                ),
                examples=examples,
                rows=row_numbers(found),
            )
        ]
