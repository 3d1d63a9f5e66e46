"""Encoding of preference pairs as token ids and labels.

Each side of a pair is a whole conversation. The two sides differ in the last answer, which is
marked by the labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aiplatform.protocol.enums import DataShape
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.row_counts import RowCounts
from aiplatform.runtime.rows import (
    BATCH_ROWS,
    NO_CONVERSATION,
    Encoded,
    Marked,
    answer_start,
    encode_marked,
    mark_answers,
)

DIFFERENT_PROMPTS = "its two sides differ before their last answers"


class Pair(NamedTuple):
    """The two sides of a preference pair."""

    chosen: Encoded
    rejected: Encoded


@dataclass
class EncodedPairs(RowCounts):
    """A dataset's encoded pairs, with counts of all, truncated and dropped rows."""

    pairs: list[Pair] = field(default_factory=list)

    def sequences(self) -> Sequence[tuple[Encoded, ...]]:
        """Return the token sequences of each kept row: both sides of the pair."""
        return self.pairs

    def describe(self) -> dict[str, Any]:
        """Return row and token counts for the timeline."""
        sides = [side for pair in self.pairs for side in pair]
        return {
            "total": self.total,
            "used": len(self.pairs),
            "truncated": self.truncated,
            "dropped": dict(self.dropped.most_common(10)),
            "tokens": sum(len(side.input_ids) for side in sides),
            "learned_tokens": sum(side.learned_tokens for side in sides),
        }


def encode_pairs(
    parquet: Path, tokenizer: Any, *, max_length: int, dataset_name: str = "dataset"
) -> EncodedPairs:
    """Encode a dataset of preference pairs.

    Args:
        parquet: Canonical file with preference pairs.
        tokenizer: Tokenizer with a chat template; see
            :func:`aiplatform.runtime.chat.load_tokenizer`.
        max_length: Maximum number of tokens in each side; longer answers are cut at the end.
        dataset_name: Name of the dataset in error messages.

    Raises:
        JobError: No row can be used, the rows are not pairs, both sides of a row are equal, or its
            prompt leaves no room for an answer. The message names the row.
    """
    from aiplatform.data.canonical import iter_rows, shape_of
    from aiplatform.data.shapes import rejected_messages, to_messages

    shape = shape_of(parquet)
    if shape is not DataShape.PREFERENCE:
        raise JobError(
            f"The {dataset_name}'s rows are of the shape {shape.value!r}; this method learns from "
            "preference pairs with the columns prompt, chosen and rejected."
        )
    result = EncodedPairs()
    batch: list[tuple[int, Marked, Marked]] = []
    for number, row in enumerate(iter_rows(parquet), start=1):
        result.total += 1
        chosen, rejected = to_messages(row, DataShape.PREFERENCE), rejected_messages(row)
        if chosen is None or rejected is None:
            result.drop(NO_CONVERSATION, number)
        elif chosen == rejected:
            raise JobError(
                f"In row {number} of the {dataset_name}, chosen and rejected are equal, so there "
                "is nothing to prefer. Correct or remove such rows."
            )
        elif chosen[:-1] != rejected[:-1]:
            result.drop(DIFFERENT_PROMPTS, number)
        else:
            sides = [mark_answers(tokenizer, side, "last") for side in (chosen, rejected)]
            match sides:
                case [Marked() as first, Marked() as second]:
                    batch.append((number, first, second))
                case [str() as reason, _] | [_, str() as reason]:
                    result.drop(reason, number)
        if len(batch) == BATCH_ROWS:
            _encode_batch(batch, tokenizer, max_length, dataset_name, result)
            batch = []
    if batch:
        _encode_batch(batch, tokenizer, max_length, dataset_name, result)
    if not result.total:
        raise JobError(f"The {dataset_name} has no rows.")
    if not result.pairs:
        reason, count = result.dropped.most_common(1)[0]
        raise JobError(
            f"None of the {dataset_name}'s {result.total} rows can be used; "
            f"of {count} of them, {reason}."
        )
    return result


def _encode_batch(
    batch: list[tuple[int, Marked, Marked]],
    tokenizer: Any,
    max_length: int,
    dataset_name: str,
    result: EncodedPairs,
) -> None:
    sides = encode_marked([side for _, *pair in batch for side in pair], tokenizer)
    for (number, *_), chosen, rejected in zip(batch, sides, sides, strict=True):
        for side in (chosen, rejected):
            answer_start(side, number, max_length, dataset_name)
        pair = Pair(chosen.cut(max_length), rejected.cut(max_length))
        if np.array_equal(pair.chosen.input_ids, pair.rejected.input_ids):
            raise JobError(
                f"In row {number} of the {dataset_name}, chosen and rejected are equal after they "
                f"were cut to max_length {max_length}. Raise max_length, or remove such rows."
            )
        result.pairs.append(pair)
        longest = max(len(chosen.input_ids), len(rejected.input_ids))
        if longest > max_length:
            result.truncate(number, longest)
