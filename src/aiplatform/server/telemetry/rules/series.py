"""Rules for charts and summaries of series: sizes of pieces and buckets, and the best value."""

import re
from typing import Any, Literal

PIECE = 32
"""Least number of points in a piece of the first level, and of pieces in one of the next level."""

LEVELS = 3
"""Number of levels: ten million points become about three hundred pieces of the last level."""

LEAST_STEP = -(2**63)
"""First step of the first piece of each series, so that no step comes before it."""

MOST_STEP = 2**63 - 1
MAX_STEP = 2**53 - 1
"""Largest step that is accepted: the largest whole number that JSON holds exactly everywhere."""

MAX_SECONDS = 253_402_300_799.0
"""The end of the year 9999 in seconds since the epoch: the latest time that is accepted."""

_LOWER = re.compile(
    r"(^|[^a-z])(loss|error|err|perplexity|ppl|wer|cer|mae|mse|rmse|latency|divergence|nll)([^a-z]|$)"
)
_HIGHER = re.compile(
    r"(^|[^a-z])(acc|accuracy|f1|auc|auroc|precision|recall|bleu|rouge\w*|reward|score|map|ndcg|"
    r"throughput|margin|margins|accuracies|rewards)([^a-z0-9]|$)"
)


def bucket_count(points: int, *, of_each: int = 2) -> int:
    """Return the number of buckets for a chart with at most ``points`` points.

    Each bucket yields ``of_each`` points; both ends of the series are added.
    """
    return max(1, (points - 2) // of_each)


def better(key: str) -> Literal["lower", "higher"] | None:
    """Return which values of a metric are better, judged by its name, or None if unknown."""
    name = key.lower()
    if _LOWER.search(name):
        return "lower"
    if _HIGHER.search(name):
        return "higher"
    return None


def summarise_series(row: Any) -> dict[str, Any]:
    """Return the summary of a series from a row of ``queries.series.summary``.

    ``best`` is set if the metric's name says whether lower or higher is better. NaN counts neither
    as the smallest nor as the largest value; ``nan_step`` is the first step with NaN.
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
