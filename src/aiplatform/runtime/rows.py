"""From a dataset's rows to token ids and labels: what of each row the model is to learn.

In a conversation it learns the assistant's words and the token that ends its turn, nothing else; in
a plain text, everything. Labels are masked by position. Masking by token would also hide the end of
each answer in models whose padding token is their end token (SmolLM2's is), and the tuned model
would never stop.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aiplatform.protocol.enums import DataShape
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import Messages, TemplateRefusal, render

IGNORED = -100
"""The label of a position that takes no part in the loss, PyTorch's convention."""

BATCH_ROWS = 512
"""Rows tokenized in one call: enough to keep the tokenizer's threads busy."""

Span = tuple[int, int]


class Encoded(NamedTuple):
    """One row: its token ids, and the labels, of the same length."""

    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]

    @property
    def learned_tokens(self) -> int:
        """Tokens that take part in the loss: the first one is never predicted."""
        return int(np.count_nonzero(self.labels[1:] != IGNORED))


class Marked(NamedTuple):
    """The text of a row, and the spans of characters that are to be learned."""

    text: str
    spans: list[Span]


@dataclass
class EncodedRows:
    """The rows of a dataset that can be learned from, and what became of the others."""

    rows: list[Encoded] = field(default_factory=list)
    total: int = 0
    truncated: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """How many rows were dropped, by reason."""

    @property
    def tokens(self) -> int:
        """Tokens in all rows that were kept."""
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def learned_tokens(self) -> int:
        """Tokens that take part in the loss, in all rows that were kept."""
        return sum(row.learned_tokens for row in self.rows)


NO_CONVERSATION = "no conversation can be read from it"
NO_ANSWER = "it has no assistant's message to learn from"
NO_TOKENS = "nothing is left to learn from after cutting it to max_length"
REFUSED = "the model's chat template refuses it"


def read_conversations(parquet: Path) -> Iterator[Messages | None]:
    """The conversation of each row, in order; None for a row that has none."""
    from aiplatform.data.canonical import iter_rows, shape_of
    from aiplatform.data.shapes import to_messages

    shape = shape_of(parquet)
    for row in iter_rows(parquet):
        messages: Messages | None = to_messages(row, shape)  # type: ignore[assignment]
        yield messages


def encode_dataset(
    parquet: Path,
    tokenizer: Any,
    *,
    max_length: int,
    max_rows: int | None = None,
    called: str = "dataset",
) -> EncodedRows:
    """Encode a canonical dataset for training on, or evaluating, the assistant's words.

    Args:
        parquet: conversations of any shape, or plain text, which is learned as a whole.
        tokenizer: with a chat template, see :func:`aiplatform.runtime.chat.load_tokenizer`.
        max_length: tokens; longer rows lose their end.
        max_rows: look at the first rows only.
        called: what the dataset is to the user, for error messages.

    Raises:
        JobError: when no row is left, or the rows are of a shape that is no language to learn.
    """
    from aiplatform.data.canonical import iter_rows, shape_of

    shape = shape_of(parquet)
    result = EncodedRows()
    marked: Iterable[Marked | str]
    if shape is DataShape.TEXT:
        texts = (row.get("text") for row in iter_rows(parquet))
        marked = (mark_text(tokenizer, text) for text in islice(texts, max_rows))
    elif shape in {DataShape.TABLE, DataShape.CLASSIFICATION}:
        raise JobError(
            f"The {called}'s rows are of the shape {shape.value!r}; a language model is tuned on "
            "conversations, instructions with answers, or plain text."
        )
    else:
        conversations = islice(read_conversations(parquet), max_rows)
        marked = (mark_answers(tokenizer, messages) for messages in conversations)
    iterator = iter(marked)
    while batch := list(islice(iterator, BATCH_ROWS)):
        _encode_batch(batch, tokenizer, max_length, result)
    if not result.rows:
        if not result.total:
            raise JobError(f"The {called} has no rows.")
        reason, count = result.dropped.most_common(1)[0]
        raise JobError(
            f"None of the {called}'s {result.total} rows can be used; of {count} of them, {reason}."
        )
    return result


def mark_text(tokenizer: Any, text: object) -> Marked | str:
    """A plain text, all of it to be learned, and where it ends; or why it can't be."""
    if not isinstance(text, str) or not text.strip():
        return NO_ANSWER
    text += tokenizer.eos_token or ""
    return Marked(text, [(0, len(text))])


def mark_answers(tokenizer: Any, messages: Messages | None) -> Marked | str:
    """The rendered conversation with the assistant's turns marked; or why it can't be learned from.

    A turn begins where the template stops when it is asked for an answer, and it includes the token
    that ends it. Chat templates rewrite what came before (they drop earlier reasoning, or treat the
    last turn unlike the others), so each turn is rendered in its place and compared with the whole,
    rather than found by searching for its text.
    """
    if messages is None:
        return NO_CONVERSATION
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=None)
    if last is None:
        return NO_ANSWER
    messages = messages[: last + 1]  # nobody answers what comes after
    try:
        text = render(tokenizer, messages, answer_next=False)
        spans = []
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            if index:
                before = render(tokenizer, messages[:index], answer_next=True)
            else:  # nothing asks for it, so it begins with its words
                before = text[: max(text.find(message["content"].strip()), 0)]
            through = (
                text
                if index == last
                else render(tokenizer, messages[: index + 1], answer_next=False)
            )
            span = _locate(text, before, through, message["content"])
            if span is not None:
                spans.append(span)
    except TemplateRefusal as error:
        return f"{REFUSED} ({error})"
    if not spans:
        return NO_ANSWER
    return _closed(text, spans, messages[last]["content"], tokenizer.eos_token or "")


def _locate(text: str, before: str, through: str, content: str) -> Span | None:
    """Where in ``text`` a turn lies that begins after ``before`` and ends ``through``."""
    start = _common_prefix(text, before)
    # The line break after the end token belongs to the template: nobody generates it.
    stop = _common_prefix(text, through)
    if stop < len(through):
        # The turn looks different when more follows it. Find its words, then its ending.
        words = content.strip()
        at = text.find(words, start) if words else start
        inside = through.rfind(words) if words else -1
        if at < 0 or inside < 0:
            return None
        start = at
        ending = through[inside + len(words) :].rstrip()
        stop = at + len(words)
        if text.startswith(ending, stop):
            stop += len(ending)
    stop = start + len(text[start:stop].rstrip())
    return (start, stop) if stop > start else None


def _closed(text: str, spans: list[Span], content: str, eos: str) -> Marked:
    """Make sure that the last answer ends with a token that ends it, or it would never stop."""
    start, stop = spans[-1]
    words = content.strip()
    if eos and words and text[start:stop].endswith(words):
        text = text[:stop] + eos
        spans = [*spans[:-1], (start, len(text))]
    return Marked(text, spans)


def _common_prefix(first: str, second: str) -> int:
    if first.startswith(second):
        return len(second)
    length = min(len(first), len(second))
    low, high = 0, length
    while low < high:  # the longest length at which both agree
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _encode_batch(
    batch: list[Marked | str], tokenizer: Any, max_length: int, result: EncodedRows
) -> None:
    result.total += len(batch)
    kept = []
    for row in batch:
        if isinstance(row, str):
            result.dropped[row] += 1
        else:
            kept.append(row)
    if not kept:
        return
    for row, (ids, offsets) in zip(kept, _tokenize(tokenizer, kept), strict=True):
        labels = _labels(ids, offsets, row.spans)
        # 32-bit arrays: as lists of Python's integers, a large dataset would not fit in memory.
        encoded = Encoded(
            np.asarray(ids[:max_length], dtype=np.int32),
            np.asarray(labels[:max_length], dtype=np.int32),
        )
        if encoded.learned_tokens:
            result.rows.append(encoded)
            result.truncated += len(ids) > max_length
        else:
            result.dropped[NO_TOKENS] += 1


def _tokenize(tokenizer: Any, rows: list[Marked]) -> Iterator[tuple[list[int], list[Span]]]:
    """Token ids and the characters that each covers. The template wrote the special tokens."""
    if tokenizer.is_fast:
        encoded = tokenizer(
            [row.text for row in rows],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        yield from zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return
    # Slow tokenizers tell no offsets. Cut at the spans, where generation cuts too.
    for row in rows:
        ids: list[int] = []
        offsets: list[Span] = []
        cuts = sorted({0, len(row.text), *(edge for span in row.spans for edge in span)})
        for start, stop in pairwise(cuts):
            piece = tokenizer(row.text[start:stop], add_special_tokens=False)["input_ids"]
            ids += piece
            offsets += [(start, stop)] * len(piece)
        yield ids, offsets


def _labels(ids: list[int], offsets: list[Span], spans: list[Span]) -> list[int]:
    """The ids of the tokens that lie in a span, elsewhere :data:`IGNORED`.

    A token that reaches into a span from before it is not learned: after the prompt alone, the
    model would never be asked for it. Tokenizers that trim blanks from offsets give a blank the
    empty range where it ends, which is why a token must end after the span's start.
    """
    labels = [IGNORED] * len(ids)
    remaining = iter(spans)
    span = next(remaining, None)
    for position, (start, stop) in enumerate(offsets):
        while span is not None and start >= span[1] and stop > span[1]:
            span = next(remaining, None)
        if span is None:
            break
        if start >= span[0] and span[0] < stop <= span[1]:
            labels[position] = ids[position]
    return labels
