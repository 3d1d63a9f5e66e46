"""Pure rules of sweeps: the points of a grid, and who goes on at a rung."""

import math
from collections.abc import Sequence
from itertools import islice, product
from typing import Any

from aiplatform.protocol.sweeps import Asha, Choice, FloatRange, IntRange, Params, SweepSpec

HOPELESS = 5
"""Trials that failed, with none that has succeeded, after which no more are started."""


def held_out_figure(spec: SweepSpec) -> str | None:
    """The first of what trials are compared by that is measured on an eval_dataset only."""
    figures = [spec.objective, *([spec.pruning.series] if spec.pruning else [])]
    return next(filter(is_held_out, figures), None)


def is_held_out(figure: str) -> bool:
    """Whether trainings measure it on an eval_dataset only."""
    return figure.startswith("eval_") or figure == "perplexity"


def values_of(parameter: Choice | FloatRange | IntRange) -> Sequence[Any]:
    """The values that a grid tries."""
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
    """How many points the grid has."""
    return math.prod(len(values_of(parameter)) for parameter in spec.parameters.values())


def grid_point(spec: SweepSpec, number: int) -> Params:
    """The point of a number; of the parameters by name, the last one changes fastest."""
    paths = sorted(spec.parameters)  # the order in which they were given is not kept
    points = product(*[values_of(spec.parameters[path]) for path in paths])
    point = next(islice(points, number, None))
    return dict(zip(paths, point, strict=True))


def first_point(spec: SweepSpec) -> Params:
    """The lowest values and the first choices."""
    return {
        path: one.values[0] if isinstance(one, Choice) else one.low
        for path, one in spec.parameters.items()
    }


def rung_steps(asha: Asha, rung: int) -> int:
    """The step at which trials are compared for the ``rung``-th time, from 0."""
    return int(asha.min_steps * asha.reduction**rung)


def goes_on(value: float, others: Sequence[float], asha: Asha, *, minimize: bool) -> bool:
    """Whether a trial with ``value`` at a rung is among the best of all that have reached it.

    ``others`` has the values of all of them, its own included. While there are fewer than
    ``reduction``, the best one goes on. A value that is no number never does.
    """
    if math.isnan(value):
        return False
    sign = 1 if minimize else -1
    ranked = sorted(sign * other for other in others if not math.isnan(other))
    return sign * value <= ranked[max(1, len(ranked) // asha.reduction) - 1]
