"""Encoding of labelled texts as token ids and label indices."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.row_counts import RowCounts
from aiplatform.runtime.rows import Encoded

NO_TEXT = "it has no text"
NO_LABEL = "it has no label"


class LabelledText(NamedTuple):
    """The tokens of a text, and the indices of its labels in the list of all labels."""

    input_ids: list[int]
    labels: tuple[int, ...]


@dataclass
class LabelledRows(RowCounts):
    """A dataset's encoded texts, with the names of the labels and counts of rows."""

    names: list[str]
    rows: list[LabelledText] = field(default_factory=list)

    def sequences(self) -> Sequence[tuple[Encoded, ...]]:
        """Return the only token sequence of each kept row; no token is learned."""
        return [(Encoded.unlearned(row.input_ids),) for row in self.rows]

    @property
    def counts(self) -> list[int]:
        """The number of rows with each label."""
        counted = Counter(label for row in self.rows for label in row.labels)
        return [counted[index] for index in range(len(self.names))]

    def describe(self) -> dict[str, Any]:
        """Return row, token and label counts for the timeline."""
        return {
            "total": self.total,
            "used": len(self.rows),
            "truncated": self.truncated,
            "dropped": dict(self.dropped),
            "tokens": sum(len(row.input_ids) for row in self.rows),
            "labels": dict(zip(self.names, self.counts, strict=True)),
        }


def encode_labelled(
    parquet: Path,
    tokenizer: Any,
    *,
    max_length: int,
    separator: str | None = None,
    known: Sequence[str] | None = None,
    dataset_name: str = "dataset",
) -> LabelledRows:
    """Encode a dataset of texts with labels.

    Args:
        parquet: the dataset's canonical Parquet file.
        tokenizer: the tokenizer of the base model.
        max_length: the maximum number of tokens in a text; longer texts are cut at the end.
        separator: the text between the labels of a row; None if each row has one label.
        known: for held-out rows, the labels of the training data; None for training data.
        dataset_name: the name of the dataset in error messages.

    Raises:
        JobError: no row can be used, all rows have the same labels, or a label is not in ``known``.
    """
    from aiplatform.data.canonical import iter_rows

    kept: list[tuple[int, str, list[str]]] = []
    result = LabelledRows(names=[])
    for number, row in enumerate(iter_rows(parquet), 1):
        result.total += 1
        text, labels = row.get("text"), labels_of(row.get("label"), separator)
        if not isinstance(text, str) or not text.strip():
            result.drop(NO_TEXT, number)
            continue
        if not labels:
            result.drop(NO_LABEL, number)
            continue
        unknown = [label for label in labels if known is not None and label not in known]
        if unknown:
            raise JobError(
                f"Row {number} of the {dataset_name} has the label {unknown[0]!r}, which no row of "
                "the training data has. Add such rows to the training data, or take this row out."
            )
        kept.append((number, text, labels))
    if not kept:
        raise JobError(
            f"None of the {dataset_name}'s {result.total} rows has both a text and a label."
        )
    if len({frozenset(labels) for *_, labels in kept}) == 1:
        raise JobError(
            f"All rows of the {dataset_name} have the label {', '.join(kept[0][2])!r}, so there is "
            "nothing to tell apart. Add rows with other labels."
        )
    result.names = list(known or sorted({label for *_, labels in kept for label in labels}))
    places = {name: place for place, name in enumerate(result.names)}
    tokens = tokenizer([text for _, text, _ in kept], return_attention_mask=False)["input_ids"]
    for ids, (number, _, labels) in zip(tokens, kept, strict=True):
        if len(ids) > max_length:
            result.truncate(number, len(ids))
        result.rows.append(LabelledText(ids[:max_length], tuple(places[label] for label in labels)))
    return result


def labels_of(value: object, separator: str | None) -> list[str]:
    """Return the labels of a row as strings, without surrounding spaces or duplicates."""
    if value is None:
        return []
    parts = str(value).split(separator) if separator is not None else [str(value)]
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))
