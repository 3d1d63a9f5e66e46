"""Encoding of text pairs, text triplets and scored text pairs as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiplatform.protocol.enums import DataShape
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.row_counts import RowCounts
from aiplatform.runtime.rows import Encoded

COLUMNS = {
    DataShape.EMBEDDING_PAIRS: ("anchor", "positive", "negative"),
    DataShape.SCORED_PAIRS: ("sentence1", "sentence2"),
}
"""Columns with the texts of a row; only ``negative`` may be missing from a dataset."""


class TextRow(NamedTuple):
    """The tokens of the two or three texts of a row, and the score of a scored pair."""

    texts: tuple[list[int], ...]
    score: float | None


@dataclass
class EmbeddingRows(RowCounts):
    """A dataset's encoded rows, with counts of all, truncated and dropped rows."""

    scored: bool
    rows: list[TextRow] = field(default_factory=list)

    def sequences(self) -> Sequence[tuple[Encoded, ...]]:
        """Return the token sequences of each kept row, one per text; no token is learned."""
        return [tuple(Encoded.unlearned(text) for text in row.texts) for row in self.rows]

    def describe(self) -> dict[str, Any]:
        """Return row and token counts for the timeline."""
        return {
            "total": self.total,
            "used": len(self.rows),
            "truncated": self.truncated,
            "dropped": dict(self.dropped),
            "tokens": sum(len(text) for row in self.rows for text in row.texts),
            "texts_per_row": len(self.rows[0].texts),
        }


def encode_embedding_rows(
    parquet: Path, tokenizer: Any, *, max_length: int, dataset_name: str = "dataset"
) -> EmbeddingRows:
    """Encode a dataset of text pairs, text triplets or scored text pairs.

    If at least one row has a negative, rows without a negative are dropped.

    Args:
        parquet: the dataset's canonical Parquet file.
        tokenizer: the tokenizer of the base model.
        max_length: the largest number of tokens in a text; longer texts are cut.
        dataset_name: the name of the dataset in error messages.

    Raises:
        JobError: fewer than two rows can be used, or all pairs have the same score.
    """
    from aiplatform.data.canonical import iter_rows, shape_of

    shape = shape_of(parquet)
    if shape not in COLUMNS:
        raise JobError(
            f"The {dataset_name}'s rows are of the shape {shape.value!r}; embeddings are learned "
            "from pairs with the columns anchor and positive, or sentence1, sentence2 and score."
        )
    read = list(iter_rows(parquet))
    columns: Sequence[str] = [
        name for name in COLUMNS[shape] if any(_is_text(row.get(name)) for row in read)
    ]
    result = EmbeddingRows(scored=shape is DataShape.SCORED_PAIRS, total=len(read))
    kept: list[tuple[int, dict[str, Any], float | None]] = []
    for number, row in enumerate(read, start=1):
        missing = [name for name in columns if not _is_text(row.get(name))]
        score = _number(row.get("score")) if result.scored else None
        if missing or (result.scored and score is None):
            result.drop(f"it has no {missing[0] if missing else 'score'}", number)
        else:
            kept.append((number, row, score))
    if len(kept) < 2 or len(columns) < 2:
        raise JobError(
            f"Only {len(kept)} of the {dataset_name}'s {len(read)} rows can be used, and at least "
            f"2 are needed. Each row needs {' and '.join(COLUMNS[shape][:2])}"
            f"{', and a score that is a number' if result.scored else ''}."
        )
    if result.scored and len({score for *_, score in kept}) == 1:
        raise JobError(
            f"All pairs of the {dataset_name} have the score {kept[0][2]:g}, so there is nothing "
            "to order. Add pairs with other scores."
        )
    encoded = {
        name: tokenizer([row[name] for _, row, _ in kept], return_attention_mask=False)["input_ids"]
        for name in columns
    }
    for place, (number, _, score) in enumerate(kept):
        texts = [encoded[name][place] for name in columns]
        longest = max(len(text) for text in texts)
        if longest > max_length:
            result.truncate(number, longest)
        result.rows.append(TextRow(tuple(_cut(text, max_length) for text in texts), score))
    return result


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _number(value: object) -> float | None:
    """Return a score as a number, or None if it is not a finite number."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if abs(number) < float("inf") else None


def _cut(tokens: list[int], length: int) -> list[int]:
    """Cut a text to at most ``length`` tokens; keep its last token, which marks the end."""
    return tokens if len(tokens) <= length else [*tokens[: length - 1], tokens[-1]]
