"""Descriptions of the rows that a training run would use: counts, examples, rendered text."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from aiplatform.runtime.row_counts import REASONS, RowCounts
from aiplatform.runtime.rows import IGNORED, Encoded

EXCERPT = 200
"""Number of characters shown of an example row."""

SHOWN_TOKENS = 1000
"""Number of tokens shown of a rendered text."""

PARTS: Mapping[str, Sequence[str]] = {
    "dpo": ("chosen", "rejected"),
    "orpo": ("chosen", "rejected"),
    "reward": ("chosen", "rejected"),
    "embedding": ("anchor", "positive", "negative"),
}
"""The names of a row's texts, for methods whose rows have several."""


def describe_rows(parquet: Path, rows: RowCounts, used: int, held_out: int | None) -> Any:
    """Return row counts, with the beginnings of some truncated and dropped rows.

    Args:
        parquet: The canonical Parquet file with the rows.
        rows: The row counts.
        used: The number of rows that would be learned.
        held_out: The number of held-out rows, or None.
    """
    numbers = {*rows.truncated_examples}
    for examples in rows.dropped_examples.values():
        numbers.update(examples)
    texts = _read_excerpts(parquet, numbers)

    def shown(examples: Sequence[int]) -> list[dict[str, Any]]:
        return [{"row": number, "text": texts.get(number, "")} for number in examples]

    return {
        "total": rows.total,
        "used": used,
        "truncated": rows.truncated,
        "dropped": rows.dropped.total(),
        "held_out": held_out,
        "truncated_examples": shown(rows.truncated_examples),
        "dropped_rows": [
            {
                "reason": reason,
                "rows": count,
                "examples": shown(rows.dropped_examples.get(reason, ())),
            }
            for reason, count in rows.dropped.most_common(REASONS)
        ],
    }


def _read_excerpts(parquet: Path, numbers: set[int]) -> dict[int, str]:
    from aiplatform.data.canonical import iter_rows

    found = {}
    last = max(numbers, default=0)
    for number, row in enumerate(iter_rows(parquet), start=1):
        if number > last:
            break
        if number in numbers:
            text = " ".join(" ".join(_texts(row)).split())
            found[number] = text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"
    return found


def _texts(value: Any) -> list[str]:
    """Return all texts in a row, in order, except the roles of messages."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for key, each in value.items() if key != "role" for text in _texts(each)]
    if isinstance(value, list | tuple):
        return [text for each in value for text in _texts(each)]
    return []


def describe_tokens(sequences: Sequence[tuple[Encoded, ...]], padding_share: float) -> Any:
    """Return statistics on the lengths of all sequences, in tokens."""
    lengths = np.asarray([len(text.input_ids) for texts in sequences for text in texts])
    learned = sum(text.learned_tokens for texts in sequences for text in texts)
    low, middle, most, high = np.percentile(lengths, [0, 50, 95, 100])
    return {
        "min": int(low),
        "median": round(float(middle)),
        "p95": round(float(most)),
        "max": int(high),
        "per_epoch": int(lengths.sum()),
        "learned_per_epoch": learned or None,
        "padding_share": round(padding_share, 4),
    }


def render_first(
    tokenizer: Any, sequences: Sequence[tuple[Encoded, ...]], method: str, *, rows: int = 3
) -> list[dict[str, Any]]:
    """Return the first rows as rendered for the model, split into learned and other segments."""
    rendered = []
    for number, texts in enumerate(sequences[:rows], start=1):
        parts: Sequence[str | None] = PARTS.get(method, [None])
        for part, text in zip(parts, texts, strict=False):
            shown = list(zip(text.input_ids[:SHOWN_TOKENS], text.labels, strict=False))
            rendered.append(
                {
                    "number": number,
                    "part": part,
                    "segments": [
                        {
                            "text": tokenizer.decode([int(token) for token, _ in run]),
                            "learned": bool(learned),
                        }
                        for learned, run in groupby(shown, key=lambda pair: pair[1] != IGNORED)
                    ],
                    "cut": len(text.input_ids) > SHOWN_TOKENS,
                }
            )
    return rendered
