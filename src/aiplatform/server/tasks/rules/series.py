"""How series are drawn and summed up: sizes of pieces and buckets, and which value is the best."""

import re
from typing import Any, Literal

PIECE = 32
"""Points of a piece of the first level, and pieces of a level in one of the next, at least."""

LEVELS = 3
"""So ten million points come to some three hundred pieces of the last level."""

LEAST_STEP = -(2**63)
"""Where the first piece of each series begins, so that no step comes before it."""

MOST_STEP = 2**63 - 1
MAX_STEP = 2**53 - 1
"""The largest step that is taken: the largest whole number that JSON says exactly everywhere."""

MAX_SECONDS = 253_402_300_799.0
"""The end of the year 9999, the latest time that is taken."""

_LOWER = re.compile(
    r"(^|[^a-z])(loss|error|err|perplexity|ppl|wer|cer|mae|mse|rmse|latency|divergence|nll)([^a-z]|$)"
)
_HIGHER = re.compile(
    r"(^|[^a-z])(acc|accuracy|f1|auc|auroc|precision|recall|bleu|rouge\w*|reward|score|map|ndcg|"
    r"throughput|margin|margins|accuracies|rewards)([^a-z0-9]|$)"
)


def bucket_count(points: int, *, of_each: int = 2) -> int:
    """Into how many buckets a series is divided that is drawn with at most ``points`` points.

    ``of_each`` are drawn of each bucket, and both ends of the series besides.
    """
    return max(1, (points - 2) // of_each)


def better(key: str) -> Literal["lower", "higher"] | None:
    """Whether lower or higher values of a metric are better, by its name; None: nobody can tell."""
    name = key.lower()
    if _LOWER.search(name):
        return "lower"
    if _HIGHER.search(name):
        return "higher"
    return None


def summed_up(row: Any) -> dict[str, Any]:
    """What is kept of a series: a row of ``queries.series.summary`` in words.

    ``best`` is there when the name of the metric says whether lower or higher is better. NaN is
    neither the least nor the greatest; ``nan_step`` is the first step that had one.
    """
    found: dict[str, Any] = {
        "points": row.points,
        "first": row.first_value,
        "first_step": row.first_step,
        "last": row.last_value,
        "last_step": row.last_step,
    }
    if row.low is not None:
        found |= {"min": row.low[0], "min_step": int(row.low[1])}
        found |= {"max": row.high[0], "max_step": int(-row.high[1])}
        direction = better(row.key)
        if direction is not None:
            end = "min" if direction == "lower" else "max"
            found |= {"best": found[end], "best_step": found[f"{end}_step"]}
    if row.nan is not None:
        found["nan_step"] = int(row.nan[0])
    return found
