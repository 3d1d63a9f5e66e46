"""Estimates of a training run's duration, from earlier runs or a few measured steps.

All functions here are pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiplatform.protocol.estimates import Pace

FORWARD_SHARE = 0.35
"""Time of a held-out token relative to a learned one, which also has a backward pass."""

CALIBRATION_MARGIN = 0.35
"""Relative margin of the range on both sides, in addition to the spread of the measured steps."""

OVERHEAD_OF_LOADING = 1.5
"""Time for loading and saving, relative to loading alone."""


@dataclass(frozen=True)
class Work:
    """The numbers of tokens that one device computes in a training run, including padding.

    ``final_held_out`` is the number of tokens in the evaluation after the last step, and
    ``other_held_out`` that in all earlier evaluations.
    """

    trained: float
    final_held_out: float
    other_held_out: float


@dataclass(frozen=True)
class MeasuredStep:
    """The duration of a step and its number of computed tokens, including padding."""

    seconds: float
    tokens: int


def from_history(pace: Pace, work: Work) -> dict[str, Any]:
    """Return the estimated duration at the pace of earlier training runs."""
    # The overhead of the earlier training runs includes their last evaluations.
    tokens = work.trained + FORWARD_SHARE * work.other_held_out

    def seconds(per_token: float) -> float:
        return round(pace.overhead_seconds + per_token * tokens, 1)

    return {
        "low": seconds(pace.low),
        "expected": seconds(pace.expected),
        "high": seconds(pace.high),
        "source": "history",
        "trainings": pace.trainings,
        "steps": None,
    }


def from_calibration(
    measured: Sequence[MeasuredStep], loading_seconds: float, work: Work
) -> dict[str, Any]:
    """Return the estimated duration at the pace of a few measured steps.

    Args:
        measured: At least one step. If there are several, the first is left out, because it
            includes one-time preparation.
        loading_seconds: The time until the first step began.
        work: The tokens of the training run.
    """
    counted = measured[1:] or measured
    pace = [step.seconds / max(1, step.tokens) for step in counted]
    tokens = work.trained + FORWARD_SHARE * (work.final_held_out + work.other_held_out)
    overhead = OVERHEAD_OF_LOADING * loading_seconds

    def seconds(per_token: float) -> float:
        return round(overhead + per_token * tokens, 1)

    return {
        "low": seconds(min(pace) * (1 - CALIBRATION_MARGIN)),
        "expected": seconds(
            sum(step.seconds for step in counted) / max(1, sum(step.tokens for step in counted))
        ),
        "high": seconds(max(pace) * (1 + CALIBRATION_MARGIN)),
        "source": "calibration",
        "trainings": None,
        "steps": len(measured),
    }
