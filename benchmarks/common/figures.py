"""Output of a benchmark: figures as JSON lines on stdout, and progress on stderr."""

import json
import math
import sys
from collections.abc import Sequence


def figure(
    name: str,
    value: float,
    unit: str,
    *,
    target: str | None = None,
    baseline: float | None = None,
    baseline_name: str | None = None,
) -> None:
    """Print one figure.

    Args:
        name: Name of the figure, such as ``benchmark.figure``.
        value: Measured value in ``unit``.
        unit: Unit, such as ``s`` or ``ms``.
        target: An operator and a number in ``unit``, such as ``"<= 250"``.
        baseline: Value to compare with, normally measured on this machine in the same run.
        baseline_name: Name of the baseline.
    """
    line = {
        "name": name,
        "value": round(value, 4),
        "unit": unit,
        "target": target,
        "baseline": None if baseline is None else round(baseline, 4),
        "baseline_name": baseline_name,
    }
    print(json.dumps(line), flush=True)


def progress(text: str) -> None:
    """Print a progress message to stderr."""
    print(f"  {text}", file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` (0 to 1) of all values don't exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
