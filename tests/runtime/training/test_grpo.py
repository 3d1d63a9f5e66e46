"""Tests of GRPO with a tiny model in this process."""

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
from aiplatform.protocol.validation_errors import error_text
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.loading import load_weights
from aiplatform.runtime.prompts import encode_prompts
from tests.runtime.conftest import MakeDataset, RecordedReporter, chat, training_spec

Row = dict[str, Any]

ROWS: list[Row] = [
    {"prompt": f"What is {i} plus one?", "completion": f"It is {i + 1}."} for i in range(12)
]
LETTERS = {"kind": "regex", "pattern": "^[a-z ]"}
"""A reward that a model with random weights gets for about a quarter of its answers."""


@pytest.fixture
def inputs(tiny_model: Path, make_dataset: MakeDataset) -> dict[str, Path]:
    return {
        "base_model": tiny_model,
        "dataset": make_dataset(ROWS[:8]),
        "eval_dataset": make_dataset(ROWS[8:], "held-out"),
    }


@pytest.fixture
def train(train_with: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that trains a model; it returns the job, result and metrics by step."""
    defaults = {"num_generations": 4, "max_answer_tokens": 6, "rewards": [LETTERS]}
    return partial(train_with, "grpo", **defaults)


def test_training_raises_the_mean_reward(
    inputs: dict[str, Path], train: Callable[..., Any], recorded: RecordedReporter
) -> None:
    """Train with several rewards and accumulated batches; check metrics, result and files, too."""
    length = {"kind": "length", "target": 6, "weight": 0.1}
    unused = {"kind": "exact", "weight": 0}
    job, result, series = train(
        inputs,
        rewards=[LETTERS, length, unused],
        batch_size=8,
        gradient_accumulation=2,
        num_generations=8,
        learning_rate=2e-2,
        lr_scheduler="constant",
        max_steps=16,
        eval_steps=8,
        beta=0.01,
    )
    assert [*series] == [*range(1, 17)]
    mean = [values["mean_reward"] for values in series.values()]
    letters = [values["reward_regex"] for values in series.values()]
    assert sum(letters[:3]) / 3 < 0.45
    assert sum(letters[-4:]) / 4 > 0.8
    assert sum(mean[-4:]) > sum(mean[:4])
    for values in series.values():
        total = values["reward_regex"] + 0.1 * values["reward_length"]
        assert values["mean_reward"] == pytest.approx(total, abs=1e-5)
        assert values["kl"] >= 0
        assert values["entropy"] > 0
        assert 0 < values["answer_tokens"] <= 6
        assert 0 <= values["cut_answers_share"] <= 1
        assert {"reward_std", "reward_exact", "equal_rewards_share", "tokens_per_second"} <= {
            *values
        }
    assert series[1]["kl"] == pytest.approx(0, abs=1e-5)  # the reference is the base model
    assert series[16]["kl"] > 1e-3

    assert result["steps"] == 16
    assert (result["rows"], result["rows_truncated"], result["rows_dropped"]) == (8, 0, 0)
    assert (result["mean_reward_first"], result["mean_reward_last"]) == (mean[0], mean[-1])
    assert result["tokens"] > 16 * 16 * 20  # prompts and answers
    assert [step for step, values in series.items() if "eval_mean_reward" in values] == [8, 16]
    assert series[16]["eval_mean_reward"] == result["eval_mean_reward"]
    assert result["eval_reward_regex"] > result["eval_reward_regex_before"]
    assert result["eval_mean_reward"] > result["eval_mean_reward_before"]
    json.dumps(result)
    [event] = [e for e in recorded.of_type("event") if e["name"] == "rows"]
    assert (event["data"]["used"], event["data"]["with_reference"]) == (8, 8)
    card = (Path(job.output_dir) / "README.md").read_text()
    assert "the method grpo (LoRA, rank 4)" in card
    assert "eval_mean_reward_before" in card
    assert load_weights(Path(job.output_dir), torch.float32).generation_config.eos_token_id


@pytest.mark.parametrize("checkpoint", [3, 4])
def test_resumed_training_equals_an_uninterrupted_one(
    checkpoint: int, inputs: dict[str, Path], train: Callable[..., Any]
) -> None:
    """Resume inside an epoch (step 3) and at its end (step 4); random answers must match, too."""
    del inputs["eval_dataset"]
    options = {
        "rewards": [LETTERS, {"kind": "length", "target": 3, "unit": "characters"}],
        "batch_size": 8,
        "max_steps": 6,
        "checkpoint_steps": checkpoint,
        "lora": {"dropout": 0.1},
        "top_p": 0.9,
    }
    whole, first, expected = train(inputs, **options)
    resume_from = Path(whole.checkpoint_dir) / f"checkpoint-{checkpoint}"
    again, result, resumed = train(inputs, resume_from=str(resume_from), **options)
    assert [*resumed] == [*range(checkpoint + 1, 7)]
    for step, values in resumed.items():
        for name, value in values.items():
            if "second" not in name:
                assert value == pytest.approx(expected[step][name], abs=1e-6), (step, name)
    for key in ("mean_reward_first", "mean_reward_last", "train_loss_last", "tokens"):
        assert result[key] == pytest.approx(first[key], abs=1e-6), key
    tuned, other = (
        load_file(Path(job.output_dir) / "adapter" / "adapter_model.safetensors")
        for job in (whole, again)
    )
    for name, tensor in tuned.items():
        assert torch.allclose(other[name], tensor, atol=1e-6), name


@pytest.mark.parametrize(("loss_type", "scale_rewards"), [("dr_grpo", "none"), ("bnpo", "batch")])
def test_training_without_comparison_with_the_base_model_has_no_kl(
    loss_type: str, scale_rewards: str, inputs: dict[str, Path], train: Callable[..., Any]
) -> None:
    del inputs["eval_dataset"]
    _, result, series = train(
        inputs,
        max_steps=2,
        beta=0,
        batch_size=8,
        loss_type=loss_type,
        scale_rewards=scale_rewards,
        logging_steps=2,
    )
    assert result["steps"] == 2
    assert "kl" not in series[2]
    assert series[2]["grad_norm"] > 0
    assert not any("eval" in name for name in result)


def test_prompt_is_what_stands_before_the_last_answer(
    tiny_model: Path, make_dataset: MakeDataset
) -> None:
    tokenizer = load_tokenizer(tiny_model / "weights")
    rows = [
        chat("Hi", "Hello", "Who are you?", "I am a model.", system="Be short."),
        chat("Hi", "Hello", "Who are you?"),
        chat("Hi", " "),
        {"messages": [{"role": "assistant", "content": "Hello"}]},
    ]
    prompts = encode_prompts(make_dataset(rows), tokenizer, max_tokens=100)
    answered, open_question, empty = prompts.rows
    text = tokenizer.decode(answered.input_ids)
    assert text.startswith("<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHi")
    assert text.endswith("Who are you?<|im_end|>\n<|im_start|>assistant\n")
    assert answered.reference == "I am a model."
    assert (open_question.number, open_question.reference) == (2, None)
    assert tokenizer.decode(open_question.input_ids).endswith(
        "you?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert (empty.number, empty.reference) == (3, None)
    assert prompts.ends == [tokenizer.convert_tokens_to_ids("<|im_end|>")]
    assert (prompts.total, prompts.dropped.total()) == (4, 1)

    alpaca = [{"instruction": "Add.", "input": "1 and 2", "output": "3"}]
    [row] = encode_prompts(make_dataset(alpaca, "alpaca"), tokenizer, max_tokens=100).rows
    assert "Add.\n1 and 2" in tokenizer.decode(row.input_ids)
    assert row.reference == "3"


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (
            [*ROWS[:3], {"prompt": "Why?", "completion": " "}],
            {"rewards": [{"kind": "exact"}]},
            "The reward exact compares answers with a reference, but row 4 of the dataset has no",
        ),
        (
            [*ROWS[:3], {"prompt": "Why?", "completion": "Because."}],
            {"rewards": [LETTERS, {"kind": "numeric"}]},
            "The reward numeric failed for row 4 of the dataset: the reference has no number",
        ),
        (
            [*ROWS[:2], {"prompt": "Why? " * 40, "completion": "5"}],
            {},
            r"The prompt in row 3 of the dataset has \d+ tokens, but max_length and max_answer_",
        ),
        (ROWS[:1], {"batch_size": 8}, "A step needs 2 rows .* but only 1 of the dataset can be"),
        (
            ROWS[:2],
            {"rewards": [{"kind": "custom", "name": "nowhere"}]},
            "The reward 'nowhere' is not installed",
        ),
    ],
)
def test_unusable_rows_and_rewards_end_the_training_with_advice(
    rows: list[Row],
    options: dict[str, Any],
    message: str,
    inputs: dict[str, Path],
    train: Callable[..., Any],
    make_dataset: MakeDataset,
) -> None:
    inputs["dataset"] = make_dataset(rows, "unusable")
    with pytest.raises(JobError, match=message):
        train(inputs, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rewards": []}, "rewards: must be at least 1 entry long"),
        ({"rewards": [{"kind": "exact", "weight": 0}]}, "all rewards have the weight 0"),
        ({"rewards": [{"kind": "magic"}]}, "has 'magic' in the field kind, which must be one of"),
        ({"rewards": [{"kind": "regex", "pattern": "(a{"}]}, "the pattern '(a{' is not a regular"),
        ({"num_generations": 3}, "is 4, which is not a multiple of num_generations (3)"),
        ({"max_answer_tokens": 128}, "leaves no room for a question within max_length (128)"),
        ({"processes": 2}, "the method grpo trains in one process"),
    ],
)
def test_spec_that_can_not_work_is_refused(options: dict[str, Any], message: str) -> None:
    fields = {"rewards": [LETTERS], "num_generations": 4, "max_answer_tokens": 6}
    config = training_spec(method="grpo", **fields | options)
    with pytest.raises(ValidationError) as caught:
        parse_training(config)
    assert message in error_text(caught.value.errors()[0], config)
