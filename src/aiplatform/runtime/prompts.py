"""Encoding of prompts, which are a dataset's conversations without their last answers.

The last answer of a conversation becomes the reference.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import Messages, TemplateRefusal, render
from aiplatform.runtime.rows import (
    BATCH_ROWS,
    REFUSED,
    Encoded,
    Marked,
    encode_marked,
    mark_answers,
    read_conversations,
    turn_ends,
)

NO_PROMPT = "it has no message before the answer"


class Prompt(NamedTuple):
    """The prompt of a row.

    Attributes:
        number: The number of the row in the dataset, from 1.
        input_ids: The tokens of the prompt, up to where the answer begins.
        reference: The row's answer; None if it is missing or empty.
    """

    number: int
    input_ids: list[int]
    reference: str | None


@dataclass
class Prompts:
    """A dataset's prompts, with counts of all rows and of dropped rows."""

    rows: list[Prompt] = field(default_factory=list)
    total: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Number of dropped rows by reason."""
    ends: list[int] = field(default_factory=list)
    """Tokens that end an answer according to the model's chat template."""

    def describe(self) -> dict[str, Any]:
        """Return row and token counts for the timeline."""
        return {
            "total": self.total,
            "used": len(self.rows),
            "with_reference": sum(row.reference is not None for row in self.rows),
            "dropped": dict(self.dropped.most_common(10)),
            "tokens": sum(len(row.input_ids) for row in self.rows),
        }


def encode_prompts(
    parquet: Path, tokenizer: Any, *, max_tokens: int, dataset_name: str = "dataset"
) -> Prompts:
    """Encode the prompts of a dataset.

    If a conversation ends with an answer, this answer is the reference. Any other conversation is a
    prompt without a reference.

    Args:
        parquet: Canonical file with conversations of any shape.
        tokenizer: Tokenizer with a chat template; see
            :func:`aiplatform.runtime.chat.load_tokenizer`.
        max_tokens: Maximum number of tokens in a prompt.
        dataset_name: Name of the dataset in error messages.

    Raises:
        JobError: No row can be used, or a prompt is too long. The message names the row.
    """
    result = Prompts()
    answers: list[Encoded] = []
    usable = _usable_rows(parquet, tokenizer, result)
    while batch := list(islice(usable, BATCH_ROWS)):
        encoded = tokenizer([text for _, text, _, _ in batch], add_special_tokens=False)
        for (number, _, reference, _), ids in zip(batch, encoded["input_ids"], strict=True):
            if len(ids) > max_tokens:
                raise JobError(
                    f"The prompt in row {number} of the {dataset_name} has {len(ids)} tokens, but "
                    f"max_length and max_answer_tokens leave room for {max_tokens}. Raise "
                    "max_length, lower max_answer_tokens, or shorten or remove such rows."
                )
            result.rows.append(Prompt(number, ids, reference))
        answers += encode_marked([marked for *_, marked in batch], tokenizer)
    if not result.rows:
        if not result.total:
            raise JobError(f"The {dataset_name} has no rows.")
        reason, count = result.dropped.most_common(1)[0]
        raise JobError(
            f"None of the {dataset_name}'s {result.total} rows can be used; "
            f"of {count} of them, {reason}."
        )
    result.ends = turn_ends(answers)
    return result


def _usable_rows(
    parquet: Path, tokenizer: Any, result: Prompts
) -> Iterator[tuple[int, str, str | None, Marked]]:
    """Yield the number, prompt, reference and whole text of each usable row.

    The unusable rows are counted by reason.
    """
    for number, conversation in enumerate(read_conversations(parquet), start=1):
        result.total += 1
        row = conversation if isinstance(conversation, str) else _split(conversation, tokenizer)
        if isinstance(row, str):
            result.dropped[row] += 1
        else:
            prompt, reference, whole = row
            yield number, prompt, reference, whole


def _split(messages: Messages, tokenizer: Any) -> tuple[str, str | None, Marked] | str:
    """Return a conversation's prompt, reference and whole text, or the reason to drop it."""
    reference = None
    if messages[-1]["role"] == "assistant":
        *messages, last = messages
        reference = last["content"] if last["content"].strip() else None
    if not messages:
        return NO_PROMPT
    # The whole text shows which token ends an answer. Without a reference, any answer will do.
    answered = [*messages, {"role": "assistant", "content": reference or "Yes."}]
    try:
        prompt = render(tokenizer, messages, answer_next=True)
    except TemplateRefusal as error:
        return f"{REFUSED} ({error})"
    marked = mark_answers(tokenizer, answered, "last")
    return marked if isinstance(marked, str) else (prompt, reference, marked)
