"""Pure rules of experiments.

They decide which data can be used for training and which run is the best, find the differences
between configs, and build the record that makes a run repeatable.
"""

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from aiplatform.protocol.enums import (
    DataShape,
    ExperimentStatus,
    TaskStatus,
    TaskType,
    TrainingMethod,
)
from aiplatform.protocol.pass_conditions import PassCondition
from aiplatform.protocol.trainings import CONVERSATIONS, methods_for

EVALUABLE_SHAPES = CONVERSATIONS | {
    DataShape.PREFERENCE,
    DataShape.TEXT,
    DataShape.UNPAIRED_PREFERENCE,
}
"""Data shapes from which an evaluation can read conversations or texts.

In preference data, it reads only the chosen or good answers.
"""

RUN_TYPES = (TaskType.TRAINING.value, TaskType.EXTERNAL.value)
"""Types of the tasks that are runs. The trigger ``tasks_are_runs`` lists them, too."""

RUNS_KEPT = 200
"""Number of runs that are summarised in ``experiments.metrics``; ``tasks`` contains all runs."""

SERIES_KEPT = 30
"""Number of metric series per run that are kept in ``experiments.metrics``."""

SUMMARY = (
    "train_loss_first",
    "train_loss_last",
    "eval_loss",
    "perplexity",
    "eval_accuracy",
    "eval_macro_f1",
    "eval_recall_at_1",
    "eval_recall_at_10",
    "eval_mrr",
    "eval_ndcg_at_10",
    "eval_spearman",
    "reward_accuracy",
    "reward_margin",
    "eval_reward_accuracy",
    "eval_reward_margin",
    "eval_reward_auc",
    "mean_reward_first",
    "mean_reward_last",
    "eval_mean_reward",
    "eval_mean_reward_before",
    "steps",
    "epochs",
    "rows",
    "rows_truncated",
    "rows_dropped",
    "tokens",
    "trainable_parameters",
    "seconds",
    "seconds_per_step",
    "peak_memory_mb",
)
"""Fields of a training run's result that are copied to its experiment and model."""

_RANKED_BY = {"eval_mean_reward": -1, "mean_reward_last": -1, "eval_loss": 1, "train_loss_last": 1}
"""The metrics that decide which run is best, most important first; -1 if higher is better.

The loss of a run that learns from rewards says nothing about its quality.
"""

STATUS_AFTER = {
    TaskStatus.COMPLETED: ExperimentStatus.COMPLETED,
    TaskStatus.FAILED: ExperimentStatus.FAILED,
    TaskStatus.CANCELLED: ExperimentStatus.CANCELLED,
}


class Advice(NamedTuple):
    """A sentence that says what to do, in both languages."""

    en: str
    zh: str


def advice_for(
    method: TrainingMethod, shape: str | None, *, dataset: str, columns: Iterable[str]
) -> Advice:
    """Return advice for a training method that can't learn from a dataset of this shape.

    Args:
        method: the refused method.
        shape: the shape of the rows; None if it is unknown.
        dataset: the name of the dataset, for the command.
        columns: the names of its columns.
    """
    methods = [str(other) for other in methods_for(DataShape(shape or DataShape.TABLE))]
    map_command = f"aiplatform datasets map {shlex.quote(dataset)}"
    if method is TrainingMethod.SFT and shape == DataShape.PREFERENCE:
        # Without a prompt column, both conversations of a pair contain the prompt.
        target = "completion" if "prompt" in columns else "messages"
        command = f"{map_command} chosen={target}"
        mapped = Advice(
            "Fine-tuning would learn the chosen answers and ignore the rejected ones. If that is "
            f"what you want, commit a version with the chosen answers as {target} with "
            f"`{command}`, and train on that version.",
            "监督微调只会学习优选回答，而忽略被拒绝的回答。若确实如此，请运行 "
            f"`{command}`，提交一个以优选回答作为 {target} 的新版本，再用该版本训练。",
        )
        if not methods:
            return mapped
        return Advice(
            f"To learn from both answers of a pair, choose the method {' or '.join(methods)}. "
            f"{mapped.en}",
            f"若要同时学习两个回答，请选择方法 {'、'.join(methods)}。{mapped.zh}",
        )
    if method is TrainingMethod.SFT and shape == DataShape.UNPAIRED_PREFERENCE:
        only_good = f"`aiplatform datasets filter {shlex.quote(dataset)} --where 'label = true'`"
        # Without a prompt column, the answers contain the whole conversation.
        unlabelled = (
            f"`{map_command} prompt=prompt completion=completion`"
            if "prompt" in columns
            else f"`{map_command} completion=messages`"
        )
        return Advice(
            f"To learn from good and bad answers, choose the method {' or '.join(methods)}. "
            "Fine-tuning would learn the bad answers, too. To learn only the good ones, run "
            f"{only_good} and {unlabelled}, and train on the new version.",
            f"若要同时学习好与差的回答，请选择方法 {'、'.join(methods)}。"
            "监督微调会把差的回答也学进去。若只想学习好的回答，"
            f"请依次运行 {only_good} 和 {unlabelled}，再用新版本训练。",
        )
    if method is TrainingMethod.KTO and shape in {DataShape.PROMPT_COMPLETION, DataShape.TABLE}:
        command = f"{map_command} prompt=prompt completion=completion COLUMN=label"
        return Advice(
            "It needs a column label that is true for each good answer and false for each bad one. "
            f"If another column says so, run `{command}`, and train on the new version.",
            "该方法需要 label 列：好的回答为 true，差的回答为 false。若由其他列表示，请运行 "
            f"`{command.replace('COLUMN', '列')}`，再用新版本训练。",
        )
    if methods:
        return Advice(
            f"To learn from these rows, choose the method {' or '.join(methods)}. To keep the "
            "method, give data that it reads.",
            f"若要用这些数据训练，请选择方法 {'、'.join(methods)}；"
            "若要保留该方法，请换用它支持的数据。",
        )
    return Advice(
        f"Say what the columns mean with `{map_command} COLUMN=NAME`.",
        f"请用 `{map_command} 列=名称` 说明各列的含义。",
    )


def summary_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics in a training run's result that its experiment and model keep."""
    return {key: result[key] for key in SUMMARY if result.get(key) is not None}


def figures_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers in an external run's result."""
    return {
        key: value
        for key, value in result.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def own_config(task_type: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's config. An external run stores it together with details of its machine."""
    return dict(config["config"] if task_type == TaskType.EXTERNAL else config)


def best_run(runs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the run with the highest reward or, if no run has a reward, with the lowest loss.

    Metrics on held-out data take precedence over those of the last training step. If several runs
    are equal, the earliest one is returned. A value that is not finite never counts.
    """
    for key, sign in _RANKED_BY.items():
        measured = [run for run in runs if math.isfinite(number_of(run.get(key)))]
        if measured:
            return min(measured, key=lambda run: sign * number_of(run[key]))
    return None


def with_run(metrics: Mapping[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """Return the experiment's metrics with one more run.

    The result contains the metrics of the best run, and the latest runs under ``runs``.
    """
    runs = [*metrics.get("runs", []), run]
    return _summarised(runs)


def first_series(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first :data:`SERIES_KEPT` series of a run's metrics; its task keeps all series."""
    return dict(islice(metrics.items(), SERIES_KEPT))


def with_evaluation(
    metrics: Mapping[str, Any], model: str, evaluation: dict[str, Any]
) -> dict[str, Any]:
    """Return the experiment's metrics with an evaluation added to the run that made the model."""
    runs = [
        {**run, "evaluation": evaluation} if run.get("model") == model else run
        for run in metrics.get("runs", [])
    ]
    return _summarised(runs)


def evaluation_of(result: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the part of an evaluation's result that the registry keeps, without the answers.

    The models' answers are kept with the task.
    """
    kept = {key: result[key] for key in ("rows", "tokens", "base", "model") if key in result}
    return {**facts, **kept}


def unmet(conditions: Iterable[PassCondition], result: Mapping[str, Any]) -> list[str]:
    """Return the pass conditions that the evaluated model fails, with the measured values.

    A condition on a metric that was not measured fails.
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
    """Convert a stored metric to a float, or NaN if it is not a number.

    NaN and infinities are stored as strings.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a document's values by path: ``{"lora": {"rank": 8}}`` gives ``{"lora.rank": 8}``."""
    found: dict[str, Any] = {}
    for key, value in document.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flatten(value, f"{path}.")
        else:
            found[path] = value
    return found


def compare(
    documents: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the values that all documents share, and the values that differ.

    Both are keyed by path. Differing values are lists with one value per document, None where a
    document has none.
    """
    leaves = [flatten(document) for document in documents]
    paths = sorted({path for one in leaves for path in one})
    same: dict[str, Any] = {}
    differs: dict[str, list[Any]] = {}
    for path in paths:
        values = [one.get(path) for one in leaves]
        if all(path in one for one in leaves) and all(value == values[0] for value in values):
            same[path] = values[0]
        else:
            differs[path] = values
    return same, differs


def merge_changes(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with ``changes`` merged into it.

    Keys in ``changes`` may be paths (``a.b``).
    """
    result = dict(document)
    for key, value in changes.items():
        head, _, rest = key.partition(".")
        inner = result.get(head)
        if rest:
            result[head] = merge_changes(inner if isinstance(inner, Mapping) else {}, {rest: value})
        elif isinstance(value, Mapping) and isinstance(inner, Mapping):
            result[head] = merge_changes(inner, value)
        else:
            result[head] = value
    return result


def record_of(
    config: Mapping[str, Any],
    inputs: Iterable[tuple[str, str, str | None]],
    told: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the reproduction record of a run.

    Args:
        config: the whole spec, with exact dataset versions.
        inputs: role, label and SHA-256 of each input.
        told: stored details: ``git`` from the caller who queued the run, and ``environment`` from
            the end of the run.
        environment: the environment reported by the last attempt, in case none is stored yet.
    """
    # An external run's config has no fixed shape.
    seed = config.get("seed")
    return {
        "seed": seed if type(seed) is int else None,
        "config": dict(config),
        "inputs": [
            {"role": role, "label": label, "sha256": sha256} for role, label, sha256 in inputs
        ],
        "git": told.get("git"),
        "environment": told.get("environment") or dict(environment) or None,
    }
