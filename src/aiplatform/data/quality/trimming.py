"""Shorten rows that are too long, by cutting after an answer or after a sentence.

A conversation loses its last turns, so that it ends with an earlier answer. If even the part up to
its first answer does not fit, or if the row has a single text or answer, the text loses its last
sentences. A row whose question alone is too long can't be shortened, and stays unchanged.
"""

import re
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aiplatform.data.canonical import json_columns
from aiplatform.data.json_text import parse_json_text
from aiplatform.data.quality.check import Context
from aiplatform.data.quality.texts import ASSISTANTS
from aiplatform.data.quality.tokens import Tokens
from aiplatform.data.shapes import TEXT_COLUMNS, rejected_messages, to_messages
from aiplatform.protocol.enums import DataShape

CUT: dict[DataShape, tuple[str, ...]] = {
    DataShape.ALPACA: ("output",),
    DataShape.CHAT: ("messages",),
    DataShape.CLASSIFICATION: ("text",),
    DataShape.EMBEDDING_PAIRS: ("anchor", "positive", "negative"),
    DataShape.PREFERENCE: ("chosen", "rejected"),
    DataShape.PROMPT_COMPLETION: ("completion",),
    DataShape.SCORED_PAIRS: ("sentence1", "sentence2"),
    DataShape.SHAREGPT: ("conversations",),
    DataShape.TEXT: ("text",),
    DataShape.UNPAIRED_PREFERENCE: ("completion",),
}
"""Columns that are shortened, by the shape of the rows."""

SENTENCE_END = re.compile(r"[。！？；…][”’」』）]*|[.!?][\"'”’)\]]*(?=\s)|\n")
WORD_END = re.compile(r"(?<=\S)(?=\s)")
WORTH = 0.5
"""Minimum fraction of the longest fitting text that a cut at the end of a sentence must keep.

If less would be kept, the text is cut after a word.
"""

LONGEST_TOKEN = 64
"""Assumed maximum number of characters per token, so that most of a very long text is skipped."""

Row = dict[str, Any]


class Trimmer:
    """A tool that shortens rows to ``max_length`` tokens of the model in ``weights``."""

    def __init__(self, context: Context, weights: Path, max_length: int) -> None:
        self._shape = context.shape
        self._max_length = max_length
        self._columns = [n for n in CUT.get(context.shape, ()) if n in context.schema.names]
        self._json = [name for name in json_columns(context.schema) if name in context.content]
        self._tokens = Tokens(context, weights, max_length)

    def trim(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
        """Shorten the rows of a batch that are too long; also return one boolean per row.

        The boolean is True if the row was shortened.
        """
        touched = np.zeros(batch.num_rows, bool)
        over = np.flatnonzero(self._tokens.counts(batch) > self._max_length)
        if not len(over):
            return batch, touched
        values = {name: batch.column(name).to_pylist() for name in self._columns}
        for position in over.tolist():
            row = batch.slice(position, 1).to_pylist()[0]
            for name in self._columns:
                cut = self._cut(row, name)
                if cut is not None:
                    row[name] = values[name][position] = cut
                    touched[position] = True
        columns = [
            pa.array(values[f.name], f.type) if f.name in values else column
            for f, column in zip(batch.schema, batch.columns, strict=True)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema), touched

    def _cut(self, row: Row, name: str) -> Any:
        """Return a shorter value for a column; None if it fits or can't be shortened enough."""

        def fits(value: Any) -> bool:
            return self._length({**row, name: value}, name) <= self._max_length

        value = row[name]
        if not value or fits(value):
            return None
        if isinstance(value, str):
            return shorter_text(value, self._max_length, fits)
        text = next(key for key in ("content", "value") if key in value[0])
        speaker = "role" if text == "content" else "from"
        ends = [n + 1 for n, message in enumerate(value) if message[speaker] in ASSISTANTS]
        if self._shape is DataShape.UNPAIRED_PREFERENCE:
            # The label says whether the last answer is good, so the last answer must remain.
            ends = [end for end in ends if end == len(value)]
        fitting = bisect_right(ends, 0, key=lambda end: 0 if fits(value[:end]) else 1)
        if fitting:
            return value[: ends[fitting - 1]]
        if not ends:
            return None
        *before, answer = value[: ends[0]]
        cut = shorter_text(
            answer[text] or "", self._max_length, lambda t: fits([*before, {**answer, text: t}])
        )
        return None if cut is None else [*before, {**answer, text: cut}]

    def _length(self, row: Row, name: str) -> int:
        """Return the number of tokens of a row; 0 if the chat template refuses it.

        For a preference pair, the side ``name`` is counted.
        """
        if self._shape in TEXT_COLUMNS:
            return self._tokens.of_text(row[name])
        parsed = {n: parse_json_text(row[n]) for n in self._json if row[n] is not None}
        side = rejected_messages if name == "rejected" else _conversation(self._shape)
        messages = side({**row, **parsed})
        try:
            return self._tokens.of_messages(messages) if messages else 0
        except ValueError:  # The chat template refuses the row, which is a separate finding.
            return 0


def _conversation(shape: DataShape) -> Callable[[Row], Any]:
    return lambda row: to_messages(row, shape)


def shorter_text(text: str, tokens: int, fits: Callable[[str], bool]) -> str | None:
    """Return the longest beginning of ``text`` that fits and ends with a sentence, or a word.

    Args:
        text: The text.
        tokens: The largest number of tokens that could fit, which bounds the search.
        fits: Returns True if a beginning fits.

    Returns:
        The beginning; None if no beginning fits.
    """
    low, high = 0, min(len(text), LONGEST_TOKEN * tokens)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(text[:middle]):
            low = middle
        else:
            high = middle - 1
    for ends in (SENTENCE_END, WORD_END):
        # Include one more character, because the pattern looks at the character after the end.
        cuts = [m.end() for m in ends.finditer(text, 0, low + 1) if m.end() <= low]
        for cut in reversed(cuts):
            kept = text[:cut].rstrip()
            if cut < WORTH * low:
                break
            if kept and fits(kept):
                return kept
    kept = text[:low].rstrip()
    return kept if kept and fits(kept) else None
