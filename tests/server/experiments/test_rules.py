"""Tests of the rules for runs: the best run and the stored figures."""

from typing import Any

import pytest

from aiplatform.protocol.enums import DataShape, TaskStatus, TrainingMethod
from aiplatform.server.experiments.rules import (
    EVALUABLE_SHAPES,
    RUNS_KEPT,
    STATUS_AFTER,
    advice_for,
    best_run,
    evaluation_of,
    summary_of,
    with_evaluation,
    with_run,
)


def run(name: str, **figures: Any) -> dict[str, Any]:
    return {"task": name, "model": f"model of {name}", **figures}


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ([], None),
        ([run("a")], None),
        ([run("a", eval_loss=2.0), run("b", eval_loss=1.0)], "b"),
        ([run("a", eval_loss=1.0), run("b", eval_loss=1.0)], "a"),
        ([run("a", train_loss_last=3.0), run("b", train_loss_last=2)], "b"),
        # A loss on held-out rows counts more than a training loss.
        ([run("a", eval_loss=2.0), run("b", train_loss_last=0.1)], "a"),
        ([run("a", eval_loss="NaN"), run("b", eval_loss=9.0)], "b"),
        ([run("a", eval_loss="NaN", train_loss_last=1.0)], "a"),
        ([run("a", eval_loss="-Infinity"), run("b", eval_loss=9.0)], "b"),
        ([run("a", eval_loss=True), run("b", eval_loss=9.0)], "b"),
        # Of runs that learn from rewards, the highest reward counts.
        ([run("a", eval_mean_reward=0.5), run("b", eval_mean_reward=0.7)], "b"),
        (
            [
                run("a", train_loss_last=0.0, mean_reward_last=0.2),
                run("b", train_loss_last=0.1, mean_reward_last=0.3),
            ],
            "b",
        ),
        ([run("a", eval_loss=None), run("b", eval_loss="low")], None),
    ],
)
def test_best_run(runs: list[dict[str, Any]], best: str | None) -> None:
    found = best_run(runs)
    assert (found and found["task"]) == best


def test_with_run_has_figures_of_best_run() -> None:
    metrics = with_run({}, run("a", eval_loss=1.0, steps=10))
    metrics = with_run(metrics, run("b", eval_loss=2.0, steps=20))
    assert (metrics["task"], metrics["eval_loss"], metrics["steps"]) == ("a", 1.0, 10)
    assert [r["task"] for r in metrics["runs"]] == ["a", "b"]
    metrics = with_run(metrics, run("c", eval_loss=0.5))
    assert (metrics["task"], "steps" in metrics) == ("c", False)


def test_with_run_drops_old_runs_but_not_the_best() -> None:
    metrics = with_run({}, run("best", eval_loss=0.1))
    for number in range(RUNS_KEPT + 5):
        metrics = with_run(metrics, run(str(number), eval_loss=1.0))
    kept = [r["task"] for r in metrics["runs"]]
    assert kept[0] == "best"
    assert kept[1:] == [str(n) for n in range(5, RUNS_KEPT + 5)]


def test_with_evaluation_is_added_to_run_of_model() -> None:
    metrics = with_run(with_run({}, run("a", eval_loss=1.0)), run("b", eval_loss=2.0))
    metrics = with_evaluation(metrics, "model of b", {"rows": 3})
    assert [r.get("evaluation") for r in metrics["runs"]] == [None, {"rows": 3}]
    assert "evaluation" not in metrics
    assert with_evaluation(metrics, "model of a", {"rows": 4})["evaluation"] == {"rows": 4}
    assert with_evaluation(metrics, "another", {"rows": 4}) == metrics


def test_summary_of_has_figures_only() -> None:
    result = {"eval_loss": 1.0, "versions": {"torch": "2"}, "perplexity": None}
    assert summary_of(result) == {"eval_loss": 1.0}


def test_evaluation_of_has_no_answers() -> None:
    kept = evaluation_of({"rows": 2, "answers": ["…"], "model": {"loss": 1.0}}, task="t")
    assert kept == {"task": "t", "rows": 2, "model": {"loss": 1.0}}


def test_every_final_task_status_has_an_experiment_status() -> None:
    assert set(STATUS_AFTER) == {status for status in TaskStatus if status.is_final}


def test_evaluable_shapes_exclude_tables() -> None:
    assert DataShape.CHAT in EVALUABLE_SHAPES
    assert DataShape.TEXT in EVALUABLE_SHAPES
    assert DataShape.UNPAIRED_PREFERENCE in EVALUABLE_SHAPES
    assert DataShape.TABLE not in EVALUABLE_SHAPES


def test_advice_for_labelled_answers_names_the_method_and_how_to_keep_the_good_ones() -> None:
    shape, columns = "unpaired_preference", ["prompt", "completion", "label"]
    advice = advice_for(TrainingMethod.SFT, shape, dataset="my data", columns=columns)
    for text in advice:
        assert "kto" in text
        assert "`aiplatform datasets filter 'my data' --where 'label = true'`" in text
        assert "`aiplatform datasets map 'my data' prompt=prompt completion=completion`" in text
    whole = advice_for(TrainingMethod.SFT, shape, dataset="x", columns=["completion", "label"])
    assert "`aiplatform datasets map x completion=messages`" in whole.en
    assert (
        "choose the method kto"
        in advice_for(TrainingMethod.DPO, shape, dataset="x", columns=columns).en
    )


def test_advice_for_answers_without_labels_names_the_command_that_maps_them() -> None:
    advice = advice_for(TrainingMethod.KTO, "prompt_completion", dataset="x", columns=[])
    command = "aiplatform datasets map x prompt=prompt completion=completion"
    assert f"`{command} COLUMN=label`" in advice.en
    assert f"`{command} 列=label`" in advice.zh
    pairs = advice_for(TrainingMethod.KTO, "preference", dataset="x", columns=[])
    assert "choose the method dpo or orpo or reward" in pairs.en


def test_advice_for_a_table_names_the_command_that_maps_its_columns() -> None:
    advice = advice_for(TrainingMethod.SFT, "table", dataset="my data", columns=["a", "b"])
    assert "`aiplatform datasets map 'my data' COLUMN=NAME`" in advice.en
    assert "`aiplatform datasets map 'my data' 列=名称`" in advice.zh
