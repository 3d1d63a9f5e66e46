"""How a benchmark says what it measured: one JSON object a line on stdout, progress on stderr."""

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
        name: ``benchmark.what``.
        value: what was measured, in ``unit``.
        unit: seconds as ``s``, milliseconds as ``ms``, and so on.
        target: an operator and a number in ``unit``, such as ``"<= 250"``.
        baseline: the same quantity of something else, measured on this machine in this run.
        baseline_name: what that is.
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
    """Tell whoever waits what is going on."""
    print(f"  {text}", file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
