"""Tests of KTO with a tiny model in this process."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from aiplatform.protocol.trainings import parse_training
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.labelled_answers import encode_answers
from aiplatform.runtime.loading import load_weights
from aiplatform.runtime.rows import NO_ANSWER
from tests.runtime.conftest import MakeDataset, RecordedReporter, training_spec

Row = dict[str, Any]

ROWS: list[Row] = [
    row
    for i in range(12)
    for row in (
        {"prompt": f"What is {i} plus one?", "completion": f"It is {i + 1}.", "label": True},
        {"prompt": f"What is {i} plus one?", "completion": f"{i}? No idea!", "label": False},
    )
]


@pytest.fixture
def inputs(tiny_model: Path, make_dataset: MakeDataset) -> dict[str, Path]:
    return {
        "base_model": tiny_model,
        "dataset": make_dataset(ROWS[:16]),
        "eval_dataset": make_dataset(ROWS[16:], "held-out"),
    }


@pytest.fixture
def train(train_with: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that trains a model; it returns the job, result and metrics by step."""
    return partial(train_with, "kto")


def test_training_learns_to_tell_good_answers_from_bad_ones(
    inputs: dict[str, Path], train: Callable[..., Any], recorded: RecordedReporter
) -> None:
    recorded.report.traced = True
    job, result, series = train(inputs, epochs=5, eval_steps=10)
    assert result["steps"] == 20
    assert (result["rows"], result["rows_truncated"], result["rows_dropped"]) == (16, 0, 0)
    assert result["train_loss_last"] < result["train_loss_first"]
    assert result["eval_reward_auc"] >= 0.9
    assert result["eval_reward_margin"] > 0.1
    json.dumps(result)

    assert [*series] == [*range(1, 21)]
    assert all({"loss", "kl"} <= values.keys() for values in series.values())
    both = [values for values in series.values() if "reward_margin" in values]
    assert both[-1]["reward_margin"] == result["reward_margin"] > 0
    assert both[-1]["chosen_reward"] > both[-1]["rejected_reward"]
    measured = [step for step, values in series.items() if "eval_reward_auc" in values]
    assert measured == [10, 20]
    for name in ("eval_loss", "eval_reward_margin", "eval_reward_auc"):
        assert series[20][name] == result[name]
    [event] = [e for e in recorded.of_type("event") if e["name"] == "rows"]
    assert (event["data"]["good"], event["data"]["bad"]) == (8, 8)
    assert "the method kto (LoRA, rank 4)" in (Path(job.output_dir) / "README.md").read_text()
    assert load_weights(Path(job.output_dir), torch.float32).generation_config.eos_token_id


def test_resumed_training_equals_an_uninterrupted_one(
    inputs: dict[str, Path], train: Callable[..., Any]
) -> None:
    options = {
        "max_steps": 9,
        "checkpoint_steps": 3,
        "eval_steps": 4,
        "lora": {"dropout": 0.1},
        "learning_rate": 1e-3,
    }
    whole, first, expected = train(inputs, **options)
    checkpoint = Path(whole.checkpoint_dir) / "checkpoint-6"
    again, result, resumed = train(inputs, resume_from=str(checkpoint), **options)
    assert [*resumed] == [7, 8, 9]
    names = {"loss", "kl", "chosen_reward", "rejected_reward", "reward_margin", "eval_loss"}
    for step, values in resumed.items():
        of_whole = {name: expected[step][name] for name in names & expected[step].keys()}
        assert {name: values[name] for name in names & values.keys()} == pytest.approx(
            of_whole, abs=1e-6
        )
    for key in ("train_loss_first", "train_loss_last", "eval_loss", "eval_reward_auc", "tokens"):
        assert result[key] == pytest.approx(first[key], abs=1e-6), key
    tuned, other = (
        load_file(Path(job.output_dir) / "adapter" / "adapter_model.safetensors")
        for job in (whole, again)
    )
    for name, tensor in tuned.items():
        assert torch.allclose(other[name], tensor, atol=1e-6), name


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_training_begins_at_the_loss_of_equal_models(
    loss_type: str, inputs: dict[str, Path], train: Callable[..., Any]
) -> None:
    """Check that all rewards start at 0, because the reference model is the base model."""
    del inputs["eval_dataset"]
    _, _, series = train(
        inputs, max_steps=1, batch_size=16, loss_type=loss_type, undesirable_weight=2.0
    )
    assert series[1]["loss"] == pytest.approx((0.5 + 2 * 0.5) / 2, abs=1e-5)
    assert series[1]["kl"] == pytest.approx(0, abs=1e-4)
    assert series[1]["reward_margin"] == pytest.approx(0, abs=1e-5)


def test_rows_are_shuffled_by_the_seed(inputs: dict[str, Path], train: Callable[..., Any]) -> None:
    del inputs["eval_dataset"]
    seen = []
    for seed in (1, 1, 2):
        _, _, series = train(inputs, max_steps=1, seed=seed)
        seen.append((series[1].get("chosen_logp"), series[1].get("rejected_logp")))
    assert seen[0] == seen[1] != seen[2]


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_held_out_figures_equal_their_definition(
    loss_type: str, inputs: dict[str, Path], train: Callable[..., Any], tiny_model: Path
) -> None:
    job, result, _ = train(
        inputs, max_steps=4, beta=0.3, desirable_weight=0.7, loss_type=loss_type, batch_size=3
    )
    tokenizer = load_tokenizer(tiny_model / "weights")
    held_out = encode_answers(inputs["eval_dataset"], tokenizer, max_length=128)
    models = [load_weights(where, torch.float32) for where in (Path(job.output_dir), tiny_model)]
    starts = [int((row.labels >= 0).argmax()) for row in held_out.rows]

    def log_ratio(asked: int, answered: int) -> float:
        question = held_out.rows[asked].input_ids[: starts[asked]].tolist()
        row = held_out.rows[answered]
        answer = row.input_ids[starts[answered] :].tolist()
        learned = [label if label >= 0 else -100 for label in row.labels[starts[answered] :]]
        ids, targets = (
            torch.tensor(question + answer),
            torch.tensor([-100] * len(question) + learned),
        )
        logps = []
        for model in models:
            with torch.no_grad():
                logits = model(ids.unsqueeze(0)).logits[0, :-1]
            logps.append(-torch.nn.functional.cross_entropy(logits, targets[1:], reduction="sum"))
        return (logps[0] - logps[1]).item()

    count = len(held_out.rows)
    others = [log_ratio(i, (i + count // 2) % count) for i in range(count)]
    kl = max(sum(others) / count, 0) if loss_type == "kto" else 0
    ratios = [log_ratio(i, i) for i in range(count)]
    losses = []
    for ratio, good in zip(ratios, held_out.good, strict=True):
        value = 1 / (1 + torch.exp(torch.tensor(-0.3 * (ratio - kl)))).item()
        losses.append(0.7 * (1 - value) if good else value)
    good, bad = (
        [r for r, g in zip(ratios, held_out.good, strict=True) if g is w] for w in (True, False)
    )
    assert result["eval_loss"] == pytest.approx(sum(losses) / count, abs=1e-4)
    margin = 0.3 * (sum(good) / len(good) - sum(bad) / len(bad))
    assert result["eval_reward_margin"] == pytest.approx(margin, abs=1e-3)
    higher = sum((g > b) + (g == b) / 2 for g in good for b in bad)
    assert result["eval_reward_auc"] == pytest.approx(higher / len(good) / len(bad))


def test_batch_puts_the_answer_of_the_next_row_to_each_question() -> None:
    from aiplatform.runtime.training.kto_trainer import collate_answers

    rows = [
        {"input_ids": [1, 2, 10, 11], "labels": [-100, -100, 10, 11], "good": True},
        {"input_ids": [3, 20, 21, 22], "labels": [-100, 20, 21, -100], "good": False},
    ]
    batch = collate_answers(rows, pad=0, max_length=4)
    assert batch["label"].tolist() == [True, False]
    assert batch["completion_mask"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 0]]
    assert batch["KL_input_ids"].tolist() == [[1, 2, 20, 21], [3, 10, 11, 0]]
    assert batch["KL_completion_mask"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 0]]
    assert batch["KL_attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_auc_counts_equal_rewards_half() -> None:
    from aiplatform.runtime.training.kto_trainer import figures

    ratios, good = torch.tensor([1.0, 0.0, 0.0, -1.0]), torch.tensor([True, True, False, False])
    found = figures(ratios, good, torch.tensor(0.0), beta=1.0, weights=(1.0, 1.0))
    assert found["eval_reward_auc"] == (2 + 1.5) / 4


def test_batch_of_a_single_row_is_left_out(
    tiny_model: Path, make_dataset: MakeDataset, train: Callable[..., Any]
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS[:9])}
    assert train(inputs, epochs=1, batch_size=4)[1]["steps"] == 2
    assert train(inputs, epochs=1, batch_size=5)[1]["steps"] == 2


EMPTY = {"prompt": "Hi", "completion": " ", "label": True}
LONG = {"prompt": "yes " * 200, "completion": "Hello.", "label": True}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS[:2], EMPTY], "The answer in row 3 of the dataset is empty"),
        ([*ROWS[:2], LONG], "The prompt in row 3 of the dataset has .* no room for an answer"),
        (ROWS[::2], "No usable row of the dataset is labelled bad"),
        (ROWS[1::2], "No usable row of the dataset is labelled good"),
        ([{"text": "Hello."}], "of the shape 'text'; this method learns from answers that are"),
    ],
)
def test_data_that_can_not_be_learned_is_refused(
    rows: list[Row],
    message: str,
    tiny_model: Path,
    make_dataset: MakeDataset,
    train: Callable[..., Any],
) -> None:
    with pytest.raises(JobError, match=message):
        train({"base_model": tiny_model, "dataset": make_dataset(rows)}, max_steps=1)


def test_held_out_rows_of_one_label_are_refused(
    inputs: dict[str, Path], make_dataset: MakeDataset, train: Callable[..., Any]
) -> None:
    inputs["eval_dataset"] = make_dataset(ROWS[16::2], "one-sided")
    with pytest.raises(JobError, match="No usable row of the held-out dataset is labelled bad"):
        train(inputs, max_steps=1)


def test_rows_without_label_or_answer_are_dropped(
    tiny_model: Path, make_dataset: MakeDataset
) -> None:
    question = {"role": "user", "content": "Hi"}
    answer = {"role": "assistant", "content": "Hello."}
    rows: list[Row] = [
        {"prompt": [question], "completion": [answer], "label": True},
        {"prompt": [question], "completion": [answer], "label": False},
        {"prompt": [question], "completion": [answer], "label": None},
        {"prompt": [question, answer], "completion": [question], "label": True},
        {"prompt": [question], "completion": None, "label": True},
    ]
    tokenizer = load_tokenizer(tiny_model / "weights")
    encoded = encode_answers(make_dataset(rows), tokenizer, max_length=128)
    assert (encoded.total, encoded.good) == (5, [True, False])
    assert encoded.dropped == {
        "it has no label": 1,
        NO_ANSWER: 1,
        "no conversation can be read from it": 1,
    }
    labels = encoded.rows[0].labels
    assert tokenizer.decode(labels[labels >= 0].tolist()) == "Hello.<|im_end|>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": 2}, "the method kto trains in one process"),
        ({"batch_size": 1}, "greater than or equal to 2"),
    ],
)
def test_spec_that_the_method_can_not_follow_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        parse_training(training_spec(method="kto", **options))
