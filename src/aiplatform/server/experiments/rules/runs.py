"""Pure rules of experiments: what can be learned, which run is the best, what is kept of it."""

import math
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from aiplatform.protocol.enums import DataShape, ExperimentStatus, TaskStatus, TaskType
from aiplatform.protocol.pass_conditions import PassCondition

LEARNABLE = frozenset(DataShape) - {DataShape.CLASSIFICATION, DataShape.TABLE}
"""Shapes that supervised fine-tuning reads a conversation or a text from."""

RUN_TYPES = (TaskType.TRAINING.value, TaskType.EXTERNAL.value)
"""Types of the tasks that are runs; the trigger ``tasks_are_runs`` names them too."""

RUNS_KEPT = 200
"""Runs whose summaries ``experiments.metrics`` holds; all are in ``tasks``."""

SERIES_KEPT = 30
"""Series of a run that are summed up there."""

SUMMARY = (
    "train_loss_first",
    "train_loss_last",
    "eval_loss",
    "perplexity",
    "steps",
    "epochs",
    "rows",
    "rows_truncated",
    "rows_dropped",
    "tokens",
    "trainable_parameters",
    "seconds",
    "seconds_per_step",
)
"""What of a training's result is repeated in the summary of its experiment and in its model."""

STATUS_AFTER = {
    TaskStatus.COMPLETED: ExperimentStatus.COMPLETED,
    TaskStatus.FAILED: ExperimentStatus.FAILED,
    TaskStatus.CANCELLED: ExperimentStatus.CANCELLED,
}


def summary_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a training's result."""
    return {key: result[key] for key in SUMMARY if result.get(key) is not None}


def figures_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of the result that a run which executes elsewhere has reported."""
    return {
        key: value
        for key, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def own_config(task_type: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a run, which a reported one keeps beside facts of its machine."""
    return dict(config["config"] if task_type == TaskType.EXTERNAL else config)


def best_run(runs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The run with the lowest held-out loss; where none has one, with the lowest last loss.

    Of equals the earlier. A loss that is no number is never the best.
    """
    for key in ("eval_loss", "train_loss_last"):
        measured = [run for run in runs if math.isfinite(number_of(run.get(key)))]
        if measured:
            return min(measured, key=lambda run: number_of(run[key]))
    return None


def with_run(metrics: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """The experiment's metrics with one more run: the best one's figures, and ``runs``."""
    runs = [*metrics.get("runs", []), run]
    return _summarised(runs)


def few_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Of summed-up series as many as an experiment repeats of each run; all are with the task."""
    return dict(islice(metrics.items(), SERIES_KEPT))


def with_evaluation(
    metrics: Mapping[str, Any], model: str, evaluation: dict[str, Any]
) -> dict[str, Any]:
    """The same with the evaluation of the model that one of the runs has made."""
    runs = [
        {**run, "evaluation": evaluation} if run.get("model") == model else run
        for run in metrics.get("runs", [])
    ]
    return _summarised(runs)


def evaluation_of(result: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """What the registry keeps of an evaluation; the answers stay in the task's result."""
    kept = {key: result[key] for key in ("rows", "tokens", "base", "model") if key in result}
    return {**facts, **kept}


def unmet(conditions: Iterable[PassCondition], result: Mapping[str, Any]) -> list[str]:
    """Return the conditions on an evaluation's model that do not hold, with what was measured.

    A condition on something that was not measured does not hold.
    """
    figures = result.get("model") or {}
    return [
        f"{one.metric} is {figures.get(one.metric, 'missing')} and must be {one.op} {one.value}"
        for one in conditions
        if not one.holds(number_of(figures.get(one.metric)))
    ]


def _summarised(runs: list[dict[str, Any]]) -> dict[str, Any]:
    best = best_run(runs)
    if len(runs) > RUNS_KEPT:
        cut = len(runs) - RUNS_KEPT
        runs = [run for run in runs[:cut] if run is best] + runs[cut:]
    return {**(best or {}), "runs": runs}


def number_of(value: Any) -> float:
    """NaN and infinities are stored as strings; what is no number counts as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan
