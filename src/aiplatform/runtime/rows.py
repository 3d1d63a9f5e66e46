"""Encoding of a dataset's rows as token ids and labels.

Labels mark the tokens that the model should learn. In a conversation, these are the assistant's
words and the token that ends its turn; in plain text, all tokens. Padding is masked by position,
not by token, because some models, such as SmolLM2, use their end token for padding. Masking by
token would hide the end of each answer as well, and the tuned model would never stop.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from aiplatform.protocol.enums import DataShape
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import Messages, TemplateRefusal, render
from aiplatform.runtime.row_counts import RowCounts

IGNORED = -100
"""Label of a position that is excluded from the loss, following PyTorch's convention."""

BATCH_ROWS = 512
"""Rows per tokenizer call; enough to keep its threads busy."""

Span = tuple[int, int]

Learned = Literal["assistant", "all", "last"]
"""The turns that are learned: the assistant's, everything rendered, or only the last answer."""


class Encoded(NamedTuple):
    """One row: token ids and labels, of the same length."""

    input_ids: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32]

    @classmethod
    def unlearned(cls, input_ids: Sequence[int]) -> "Encoded":
        """Return a row without learned tokens, such as a text for a classifier."""
        ids = np.asarray(input_ids, dtype=np.int32)
        return cls(ids, np.full_like(ids, IGNORED))

    def cut(self, max_length: int) -> "Encoded":
        """Return the first ``max_length`` tokens."""
        return Encoded(self.input_ids[:max_length].copy(), self.labels[:max_length].copy())

    @property
    def learned_tokens(self) -> int:
        """The number of tokens in the loss; the first token is never predicted."""
        return int(np.count_nonzero(self.labels[1:] != IGNORED))


class Marked(NamedTuple):
    """The text of a row and the character spans that the model should learn."""

    text: str
    spans: list[Span]


@dataclass
class EncodedRows(RowCounts):
    """A dataset's encoded rows, with counts of all, truncated and dropped rows."""

    rows: list[Encoded] = field(default_factory=list)

    def sequences(self) -> Sequence[tuple[Encoded, ...]]:
        """Return the token sequences of each kept row; here, each row has one."""
        return [(row,) for row in self.rows]

    @property
    def tokens(self) -> int:
        """The total number of tokens in all kept rows."""
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def learned_tokens(self) -> int:
        """The total number of tokens in the loss over all kept rows."""
        return sum(row.learned_tokens for row in self.rows)

    def describe(self) -> dict[str, Any]:
        """Return row and token counts for the timeline."""
        return {
            "total": self.total,
            "used": len(self.rows),
            "truncated": self.truncated,
            # A template's reasons may quote the rows, so each row may have a different reason.
            "dropped": dict(self.dropped.most_common(10)),
            "tokens": self.tokens,
            "learned_tokens": self.learned_tokens,
        }


NO_CONVERSATION = "no conversation can be read from it"
NOT_GOOD = "its answer is not labelled good"
NO_ANSWER = "it has no assistant's message to learn from"
NO_TOKENS = "nothing is left to learn from after cutting it to max_length"
REFUSED = "the model's chat template refuses it"


def read_conversations(parquet: Path) -> Iterator[Messages | str]:
    """Yield each row's conversation, in order, or the reason to drop the row."""
    from aiplatform.data.canonical import iter_rows, shape_of
    from aiplatform.data.shapes import to_messages

    shape = shape_of(parquet)
    for row in iter_rows(parquet):
        messages: Messages | None = to_messages(row, shape)  # type: ignore[assignment]
        if shape is DataShape.UNPAIRED_PREFERENCE and row.get("label") is not True:
            yield NOT_GOOD
        else:
            yield messages or NO_CONVERSATION


def encode_dataset(
    parquet: Path,
    tokenizer: Any,
    *,
    max_length: int,
    max_rows: int | None = None,
    learn: Learned = "assistant",
    dataset_name: str = "dataset",
) -> EncodedRows:
    """Encode a dataset for training or evaluation.

    Args:
        parquet: Canonical file with conversations of any shape or plain text.
        tokenizer: Tokenizer with a chat template; see
            :func:`aiplatform.runtime.chat.load_tokenizer`.
        max_length: Maximum number of tokens; longer rows are cut at the end.
        max_rows: Number of rows to read; None for all.
        learn: The turns to learn in conversations. Plain text is always learned in full.
        dataset_name: Name of the dataset in error messages.

    Raises:
        JobError: No row can be used, or rows of this shape contain no text to learn.
    """
    from aiplatform.data.canonical import iter_rows, shape_of

    shape = shape_of(parquet)
    result = EncodedRows()
    marked: Iterable[Marked | str]
    if shape is DataShape.TEXT:
        texts = (row.get("text") for row in iter_rows(parquet))
        marked = (mark_text(tokenizer, text) for text in islice(texts, max_rows))
    elif shape in {
        DataShape.CLASSIFICATION,
        DataShape.EMBEDDING_PAIRS,
        DataShape.SCORED_PAIRS,
        DataShape.TABLE,
    }:
        raise JobError(
            f"The {dataset_name}'s rows are of the shape {shape.value!r}; a language model is "
            "tuned on conversations, instructions with answers, or plain text."
        )
    else:
        conversations = islice(read_conversations(parquet), max_rows)
        marked = (
            messages if isinstance(messages, str) else mark_answers(tokenizer, messages, learn)
            for messages in conversations
        )
    iterator = iter(marked)
    while batch := list(islice(iterator, BATCH_ROWS)):
        _encode_batch(batch, tokenizer, max_length, result)
    if not result.rows:
        if not result.total:
            raise JobError(f"The {dataset_name} has no rows.")
        reason, count = result.dropped.most_common(1)[0]
        raise JobError(
            f"None of the {dataset_name}'s {result.total} rows can be used; "
            f"of {count} of them, {reason}."
        )
    return result


def answer_start(row: Encoded, number: int, max_length: int, dataset_name: str) -> int:
    """Return the position of the first learned token, which follows the prompt.

    Args:
        row: The whole row, not yet cut.
        number: The number of the row, for the error message.
        max_length: Maximum number of tokens.
        dataset_name: Name of the dataset in error messages.

    Raises:
        JobError: The prompt leaves no room for an answer.
    """
    start = int(np.argmax(row.labels != IGNORED))
    if start >= max_length:
        raise JobError(
            f"The prompt in row {number} of the {dataset_name} has {start} tokens, which leaves no "
            f"room for an answer within max_length {max_length}. Raise max_length, or shorten or "
            "remove such rows."
        )
    return start


def turn_ends(rows: Sequence[Encoded]) -> list[int]:
    """Return the tokens at which the tuned model must stop, because they end most learned answers.

    The list is empty if no token ends at least half of the answers.

    The end token of a base model may differ from that of its chat template, as for Qwen. If the
    template's token were not in the list, the tuned model would not stop after a correct answer.
    """
    ends = Counter(int(row.labels[row.labels != IGNORED][-1]) for row in rows)
    # A truncated row may end with any token, so a token counts only if at least half of the rows
    # end with it.
    return [token for token, count in ends.most_common(1) if count * 2 >= len(rows)]


def mark_text(tokenizer: Any, text: object) -> Marked | str:
    """Return plain text with an end token, all marked as learned, or the reason to drop the row."""
    if not isinstance(text, str) or not text.strip():
        return NO_ANSWER
    text += tokenizer.eos_token or ""
    return Marked(text, [(0, len(text))])


def mark_answers(
    tokenizer: Any, messages: Messages | None, learn: Learned = "assistant"
) -> Marked | str:
    """Return the rendered conversation with its learned turns marked, or the reason to drop it.

    A turn begins where the rendered generation prompt ends, and includes the token that ends the
    turn. Chat templates may render a message differently if others follow it, for instance without
    its reasoning. Therefore the conversation is rendered up to each turn and compared with the
    whole text, instead of searching for the turn's text.
    """
    if messages is None:
        return NO_CONVERSATION
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=None)
    if last is None:
        return NO_ANSWER
    messages = messages[: last + 1]  # messages after the last answer contain nothing to learn
    try:
        text = render(tokenizer, messages, answer_next=False)
        spans = []
        span: Span | None = None
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            if index:
                before = render(tokenizer, messages[:index], answer_next=True)
            else:  # the conversation begins with this answer, so there is no prompt
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
    if not spans or (learn == "last" and span is None):
        return NO_ANSWER
    if learn == "last":
        spans = spans[-1:]
    elif learn == "all":
        spans = [(0, spans[-1][1])]
    return _with_end_token(text, spans, messages[last]["content"], tokenizer.eos_token or "")


def _locate(text: str, before: str, through: str, content: str) -> Span | None:
    """Return the span of a turn in ``text``, or None if it isn't found.

    Args:
        text: The whole conversation, rendered.
        before: The conversation before the turn, rendered with a generation prompt.
        through: The conversation up to and including the turn, rendered.
        content: The content of the turn's message.
    """
    start = _common_prefix(text, before)
    # The template adds a line break after the end token, which the model doesn't generate.
    stop = _common_prefix(text, through)
    if stop < len(through):
        # The template renders this turn differently when others follow. Search for its words, and
        # then for the text that ends the turn.
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


def _with_end_token(text: str, spans: list[Span], content: str, eos: str) -> Marked:
    """Add a missing end token to the last answer, so that the tuned model stops after answers."""
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
    while low < high:  # binary search for the longest length at which both agree
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _encode_batch(
    batch: list[Marked | str], tokenizer: Any, max_length: int, result: EncodedRows
) -> None:
    kept = []
    for number, row in enumerate(batch, start=result.total + 1):
        if isinstance(row, str):
            result.drop(row, number)
        else:
            kept.append((number, row))
    result.total += len(batch)
    if not kept:
        return
    wholes = encode_marked([row for _, row in kept], tokenizer)
    for (number, _), whole in zip(kept, wholes, strict=True):
        encoded = whole.cut(max_length)
        if not encoded.learned_tokens:
            result.drop(NO_TOKENS, number)
            continue
        result.rows.append(encoded)
        if len(whole.input_ids) > max_length:
            result.truncate(number, len(whole.input_ids))


def encode_marked(rows: list[Marked], tokenizer: Any) -> Iterator[Encoded]:
    """Yield the tokens and labels of marked texts."""
    for row, (ids, offsets) in zip(rows, _tokenize(tokenizer, rows), strict=True):
        labels = _labels(ids, offsets, row.spans)
        # Use arrays of 32 bits, because lists of a large dataset's tokens would not fit into
        # memory.
        yield Encoded(np.asarray(ids, dtype=np.int32), np.asarray(labels, dtype=np.int32))


def _tokenize(tokenizer: Any, rows: list[Marked]) -> Iterator[tuple[list[int], list[Span]]]:
    """Yield the token ids of each row and the character span of each token.

    Special tokens are not added, because the template contains them.
    """
    if tokenizer.is_fast:
        encoded = tokenizer(
            [row.text for row in rows],
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
        )
        yield from zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
        return
    # Slow tokenizers return no offsets, so the text is split at the spans before it is tokenized.
    # At inference it is split there, too, between prompt and answer.
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
    """Return the label of each token: its id if it lies in a span, otherwise :data:`IGNORED`.

    A token that begins before a span and ends inside it is not learned, because the model never
    generates it after the prompt. Some tokenizers trim spaces from offsets, which leaves a space
    with an empty range at its end. This is why a token must end after the start of the span.
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
