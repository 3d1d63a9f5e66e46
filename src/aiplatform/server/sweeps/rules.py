"""Rules for the points of a grid and for trials that continue at a rung. All functions are pure."""

import math
from collections.abc import Sequence
from itertools import islice, product
from typing import Any

from aiplatform.protocol.sweeps import Asha, Choice, FloatRange, IntRange, Params, SweepSpec

MAX_FAILURES = 5
"""Number of failed trials after which a sweep without a successful trial ends."""


def held_out_figure(spec: SweepSpec) -> str | None:
    """Return the objective or pruning metric that needs an eval_dataset, or None."""
    figures = [spec.objective, *([spec.pruning.series] if spec.pruning else [])]
    return next(filter(is_held_out, figures), None)


def is_held_out(figure: str) -> bool:
    """Return True if this metric is measured only on an eval_dataset."""
    return figure.startswith("eval_") or figure == "perplexity"


def values_of(parameter: Choice | FloatRange | IntRange) -> Sequence[Any]:
    """Return the values of a parameter that a grid search tries."""
    match parameter:
        case Choice():
            return parameter.values
        case IntRange():
            return range(parameter.low, parameter.high + 1, parameter.step)
        case FloatRange():
            step = parameter.step or 1.0
            count = int((parameter.high - parameter.low) / step + 1e-9) + 1
            return [parameter.low + step * place for place in range(min(count, 10**6))]


def grid_size(spec: SweepSpec) -> int:
    """Return the number of combinations of values in the grid."""
    return math.prod(len(values_of(parameter)) for parameter in spec.parameters.values())


def grid_point(spec: SweepSpec, number: int) -> Params:
    """Return a point in the grid (a combination of values) by its number, from 0.

    The order is that of nested loops: the parameter whose name sorts last varies fastest.
    """
    paths = sorted(spec.parameters)  # JSONB does not keep the given order
    points = product(*[values_of(spec.parameters[path]) for path in paths])
    point = next(islice(points, number, None))
    return dict(zip(paths, point, strict=True))


def first_point(spec: SweepSpec) -> Params:
    """Return the lowest value of each range, and the first value of each choice."""
    return {
        path: one.values[0] if isinstance(one, Choice) else one.low
        for path, one in spec.parameters.items()
    }


def rung_steps(asha: Asha, rung: int) -> int:
    """Return the training step of a rung, where trials are compared; rungs count from 0."""
    return int(asha.min_steps * asha.reduction**rung)


def is_promoted(value: float, others: Sequence[float], asha: Asha, *, minimize: bool) -> bool:
    """Return True if a trial's ``value`` at a rung is among the best of the trials that reached it.

    ``others`` are the values of all these trials, including this one. While there are fewer than
    ``reduction``, only the best trial continues. A trial whose value is NaN never continues.
    """
    if math.isnan(value):
        return False
    sign = 1 if minimize else -1
    ranked = sorted(sign * other for other in others if not math.isnan(other))
    return sign * value <= ranked[max(1, len(ranked) // asha.reduction) - 1]
