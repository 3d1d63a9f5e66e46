"""Check for white space around texts, and for many consecutive empty lines."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import Check, Context, Finding, Severity
from aiplatform.data.quality.texts import blank, fixable_texts, rows_where

HEAP = r"(?:[ \t]*\n){4,}"
"""Pattern of three or more empty lines."""


class Whitespace(Check):
    """A check for texts with white space around them, or with three consecutive empty lines."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._tally = context.new_tally()

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        mask = pa.repeat(False, batch.num_rows)
        for texts, rows, _ in fixable_texts(batch, self.context.content):
            bare = pc.binary_length(pc.utf8_trim_whitespace(texts))
            around = pc.not_equal(bare, pc.binary_length(texts))
            heaps = pc.match_substring_regex(texts, HEAP)
            # Empty texts are a separate finding.
            found = pc.and_(pc.or_(around, heaps), pc.invert(blank(texts))).fill_null(False)
            mask = pc.or_(mask, rows_where(found, rows, batch.num_rows))
        self._tally.add_where(mask, batch, first_row)

    def findings(self) -> list[Finding]:
        if not self._tally.count:
            return []
        return [
            Finding(
                "whitespace",
                Severity.INFO,
                self._tally.count,
                Words(
                    "white space around a text, or three empty lines in a row",
                    "文本首尾有空白字符，或连续三个以上空行",
                ),
                Words(
                    "The model learns to write it, and it wastes tokens.",
                    "模型会学会输出这些空白，并浪费 token。",
                ),
                examples=self._tally.examples,
                rows=self._tally.rows,
            )
        ]


def tidy_white_space(text: str) -> str:
    """Remove white space around ``text``, and replace three or more empty lines with one."""
    return re.sub(HEAP, "\n\n", text.strip())
