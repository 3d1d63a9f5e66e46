"""Count the tokens of rows with the tokenizer of a base model, in the same form as in training.

A conversation is rendered by the model's chat template (or by a plain default, for models without
one) up to its last answer, and ends with the end-of-turn token. A plain text is followed by
this token, too. A preference pair counts as its longer side.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from aiplatform.data.canonical import rows_of
from aiplatform.data.quality.check import Context, row_preview
from aiplatform.data.quality.token_lengths import TokenLengths
from aiplatform.data.shapes import TEXT_COLUMNS, Messages, rejected_messages, to_messages
from aiplatform.protocol.enums import DataShape


class Tokens:
    """A token counter for rows.

    Args:
        context: The properties of the dataset.
        weights: The model's directory with ``tokenizer.json``.
        max_length: Number of tokens at which training truncates a row.

    Attributes:
        lengths: The lengths of all rows passed to :meth:`look`.

    Raises:
        TemplateRefusedError: the model's chat template does not compile.
    """

    def __init__(self, context: Context, weights: Path, max_length: int) -> None:
        # Imported late: only reports with token counts need these, and the server lacks them.
        from tokenizers import Tokenizer  # noqa: PLC0415

        from aiplatform.data.quality.chat_template import ChatTemplate  # noqa: PLC0415
        from aiplatform.data.quality.token_counts import TokenCounts  # noqa: PLC0415

        self.context = context
        tokenizer = Tokenizer.from_file(str(weights / "tokenizer.json"))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._counter = TokenCounts(tokenizer)
        self._template: ChatTemplate = ChatTemplate.of_model(weights)
        self.lengths = TokenLengths(
            max_length,
            own_template=self._template.own,
            over=context.new_tally(),
            refused=context.new_tally(),
        )

    def of_text(self, text: str) -> int:
        """Return the number of tokens that a text has in training."""
        return self._counter.of([text + self._template.eos_token])[0]

    def of_messages(self, messages: Messages) -> int:
        """Return the number of tokens that a conversation has in training.

        Raises:
            TemplateRefusedError: the chat template does not accept the conversation.
        """
        return self._counter.of([self._rendered(messages)])[0]

    def counts(self, batch: pa.RecordBatch, first_row: int = 0) -> np.ndarray:
        """Return the number of tokens of each row; 0 if a row has no text to count."""
        counts = np.zeros(batch.num_rows, dtype=np.int64)
        numbers: list[int] = []
        texts: list[str] = []
        for row, text in self._texts(batch, first_row):
            numbers.append(row)
            texts.append(text)
        for row, count in zip(numbers, self._counter.of(texts), strict=True):
            counts[row] = max(counts[row], count)
        return counts

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Count the tokens of a batch; ``first_row`` is the number of its first row."""
        counts, over = self.counts(batch, first_row), self.lengths.over
        for row in np.flatnonzero(counts > self.lengths.max_length).tolist():
            wanted = len(over.examples) < 5
            preview = f"{counts[row]}: {row_preview(batch, row)}" if wanted else ""
            over.add(first_row + row, preview)
        lengths, rows = np.unique(counts[counts > 0], return_counts=True)
        for length, number in zip(lengths.tolist(), rows.tolist(), strict=True):
            self.lengths.rows_by_count[length] += number

    def _texts(self, batch: pa.RecordBatch, first_row: int) -> Iterator[tuple[int, str]]:
        shape = self.context.shape
        for number, row in enumerate(rows_of(batch)):
            if shape in TEXT_COLUMNS:
                for name in TEXT_COLUMNS[shape]:
                    if row.get(name):
                        yield number, row[name] + self._template.eos_token
                continue
            for messages in _sides(row, shape):
                try:
                    yield number, self._rendered(messages)
                except ValueError as error:
                    self.lengths.reason = self.lengths.reason or str(error)
                    self.lengths.refused.add(first_row + number, str(error))
                    break

    def _rendered(self, messages: Messages) -> str:
        last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=None)
        if last is not None:
            messages = messages[: last + 1]
        text = self._template.render(messages)
        words = messages[-1]["content"].strip()
        if last is not None and words and text.rstrip().endswith(words):
            return text.rstrip() + self._template.eos_token
        return text


def _sides(row: dict[str, Any], shape: DataShape) -> Iterable[Messages]:
    sides = [to_messages(row, shape)]
    if shape is DataShape.PREFERENCE:
        sides.append(rejected_messages(row))
    return [messages for messages in sides if messages]
