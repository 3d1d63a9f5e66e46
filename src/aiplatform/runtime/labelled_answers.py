"""Encoding of conversations whose last answer is labelled good or bad.

Each encoded row contains the whole conversation. The labels of its tokens mark the last answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from aiplatform.protocol.enums import DataShape
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.rows import (
    BATCH_ROWS,
    NO_ANSWER,
    NO_CONVERSATION,
    EncodedRows,
    Marked,
    answer_start,
    encode_marked,
    mark_answers,
)

NO_LABEL = "it has no label"


@dataclass
class EncodedAnswers(EncodedRows):
    """A dataset's encoded answers, with counts of all, truncated and dropped rows."""

    good: list[bool] = field(default_factory=list)
    """True for each row whose answer is labelled good."""

    def describe(self) -> dict[str, Any]:
        """Return row and token counts for the timeline."""
        good = sum(self.good)
        return {**super().describe(), "good": good, "bad": len(self.good) - good}


def encode_answers(
    parquet: Path, tokenizer: Any, *, max_length: int, dataset_name: str = "dataset"
) -> EncodedAnswers:
    """Encode a dataset of answers that are labelled good or bad.

    Args:
        parquet: Canonical file with unpaired preferences.
        tokenizer: Tokenizer with a chat template; see
            :func:`aiplatform.runtime.chat.load_tokenizer`.
        max_length: Maximum number of tokens in a row; longer answers are cut at the end.
        dataset_name: Name of the dataset in error messages.

    Raises:
        JobError: The rows have no such labels, all usable rows have the same label, an answer is
            empty, or a prompt leaves no room for its answer. The message names the row, if any.
    """
    from aiplatform.data.canonical import shape_of

    shape = shape_of(parquet)
    if shape is not DataShape.UNPAIRED_PREFERENCE:
        raise JobError(
            f"The {dataset_name}'s rows are of the shape {shape.value!r}; this method learns from "
            "answers that are labelled good or bad, with the columns prompt, completion and label."
        )
    result = EncodedAnswers()
    usable = _usable_rows(parquet, tokenizer, dataset_name, result)
    while batch := list(islice(usable, BATCH_ROWS)):
        encoded = encode_marked([marked for _, marked, _ in batch], tokenizer)
        for (number, _, good), row in zip(batch, encoded, strict=True):
            answer_start(row, number, max_length, dataset_name)
            result.rows.append(row.cut(max_length))
            result.good.append(good)
            if len(row.input_ids) > max_length:
                result.truncate(number, len(row.input_ids))
    if not result.total:
        raise JobError(f"The {dataset_name} has no rows.")
    for label, other in ((True, False), (False, True)):
        if label not in result.good:
            raise JobError(_one_sided(result, dataset_name, label=label, other=other))
    return result


def _usable_rows(
    parquet: Path, tokenizer: Any, dataset_name: str, result: EncodedAnswers
) -> Iterator[tuple[int, Marked, bool]]:
    """Yield each usable row's number, marked text and label; count the unusable rows by reason."""
    from aiplatform.data.canonical import iter_rows
    from aiplatform.data.shapes import to_messages

    for number, row in enumerate(iter_rows(parquet), start=1):
        result.total += 1
        messages = to_messages(row, DataShape.UNPAIRED_PREFERENCE)
        marked: Marked | str
        if row.get("label") is None:
            marked = NO_LABEL
        elif messages is None:
            marked = NO_CONVERSATION
        elif messages[-1]["role"] != "assistant":
            marked = NO_ANSWER
        elif not messages[-1]["content"].strip():
            raise JobError(
                f"The answer in row {number} of the {dataset_name} is empty, so there is nothing "
                "to learn. Correct or remove such rows."
            )
        else:
            marked = mark_answers(tokenizer, messages, "last")  # type: ignore[arg-type]
        if isinstance(marked, str):
            result.drop(marked, number)
        else:
            yield number, marked, row["label"]


def _one_sided(result: EncodedAnswers, dataset_name: str, *, label: bool, other: bool) -> str:
    words = {True: "good (label true)", False: "bad (label false)"}
    dropped = result.dropped.most_common(1)
    left_out = f" {dropped[0][1]} rows are left out: {dropped[0][0]}." if dropped else ""
    return (
        f"No usable row of the {dataset_name} is labelled {words[label]}, so there is nothing to "
        f"tell those labelled {words[other]} from. Add such rows.{left_out}"
    )
