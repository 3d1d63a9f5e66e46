"""Tests of the job that estimates a training run, with a tiny model in this process."""

from pathlib import Path
from typing import Any

import pytest

from aiplatform.protocol.messages import Job
from aiplatform.protocol.shapes.estimates import TrainingEstimate
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.chat import load_tokenizer
from aiplatform.runtime.estimates.batches import make_batches
from aiplatform.runtime.estimates.run import CALIBRATION_STEPS, run_estimate, trainer_orders
from aiplatform.runtime.rows import encode_dataset
from aiplatform.runtime.training import run_training
from tests.runtime.conftest import MakeDataset, RecordedReporter, chat, make_job, training_spec
from tests.runtime.training.conftest import ROWS

PACE = {"trainings": 2, "low": 1e-4, "expected": 1e-3, "high": 1e-2, "overhead_seconds": 1}
ORPHAN = {"messages": [{"role": "user", "content": "Is anybody there?"}]}
VARIED = [chat("Repeat.", "one " * (number % 12 + 1)) for number in range(24)]
LONG = chat("Count.", "one two three " * 60)


def estimate_job(
    directory: Path, inputs: dict[str, Path], *, pace: Any = PACE, **options: Any
) -> Job:
    spec = {"type": "estimate", "training": training_spec(**options), "pace": pace}
    return make_job(directory, spec, inputs)


def estimate(job: Job, recorded: RecordedReporter) -> TrainingEstimate:
    return TrainingEstimate.model_validate(run_estimate(job, recorded.report))


def test_estimate_counts_what_the_training_then_does(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    data = make_dataset([*VARIED, ORPHAN, LONG])
    held_out = make_dataset(ROWS[:6], "held-out")
    inputs = {"base_model": tiny_model, "dataset": data, "eval_dataset": held_out}
    options: dict[str, Any] = {"epochs": 1.5, "gradient_accumulation": 2}
    found = estimate(estimate_job(tmp_path / "e", inputs, **options), recorded)
    job = make_job(tmp_path / "t", training_spec(**options), inputs)
    result = run_training(job, job.spec, recorded.report)  # type: ignore[arg-type]

    assert found.steps.total == result["steps"]
    assert found.rows.total == result["rows"] == 26
    assert found.rows.truncated == result["rows_truncated"] == 1
    assert found.rows.dropped == result["rows_dropped"] == 1
    assert (found.rows.used, found.rows.held_out) == (25, 6)
    assert found.rows.truncated_examples[0].row == 26
    assert found.rows.truncated_examples[0].text.startswith("Count. one two three")
    (dropped,) = found.rows.dropped_rows
    assert (dropped.rows, dropped.reason) == (1, "it has no assistant's message to learn from")
    assert [(one.row, one.text) for one in dropped.examples] == [(25, "Is anybody there?")]
    (event,) = [m["data"] for m in recorded.of_type("event") if m["name"] == "rows"]
    assert found.tokens.per_epoch == event["tokens"]
    assert found.tokens.learned_per_epoch == event["learned_tokens"]
    assert found.tokens.max == 128
    rows = encode_dataset(data, load_tokenizer(tiny_model / "weights"), max_length=128)
    batches = make_batches(rows.sequences(), trainer_orders(25, 42), batch_size=4, count=7 + 4)
    assert result["computed_tokens"] == batches.tokens.sum()
    assert result["peak_memory_mb"] > 100
    assert 0 < result["computed_seconds"] < result["seconds"]


def test_estimate_with_packing_counts_sequences(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(VARIED)}
    options: dict[str, Any] = {"epochs": 2, "batch_size": 2, "packing": True}
    found = estimate(estimate_job(tmp_path / "e", inputs, **options), recorded)
    job = make_job(tmp_path / "t", training_spec(**options), inputs)
    result = run_training(job, job.spec, recorded.report)  # type: ignore[arg-type]
    assert found.steps.total == result["steps"]
    assert found.steps.per_epoch == -(-result["blocks"] // 2) < len(VARIED) / 2
    assert found.tokens.per_epoch * 2 == result["tokens"]
    assert found.rows.used == len(VARIED)


def test_first_rows_are_rendered_with_the_learned_part_marked(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    found = estimate(estimate_job(tmp_path, inputs), recorded)
    assert [row.number for row in found.first_rows] == [1, 2, 3]
    first, second, third = found.first_rows[1].segments
    assert (first.learned, second.learned, third.learned) == (False, True, False)
    assert first.text.endswith(
        "<|im_start|>user\nWhat is 1 plus one?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert second.text == "It is 2.<|im_end|>"


def test_estimate_with_a_pace_loads_no_model(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("aiplatform.runtime.training.sft.load_weights", None)
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    found = estimate(estimate_job(tmp_path, inputs), recorded)
    assert (found.seconds.source, found.seconds.trainings) == ("history", 2)
    assert 1 < found.seconds.low < found.seconds.expected < found.seconds.high


def test_estimate_without_a_pace_measures_a_few_steps_and_keeps_nothing(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    job = estimate_job(tmp_path, inputs, pace=None, epochs=50, gradient_accumulation=3)
    found = estimate(job, recorded)
    assert (found.seconds.source, found.seconds.steps) == ("calibration", CALIBRATION_STEPS)
    assert found.seconds.low < found.seconds.expected < found.seconds.high
    assert found.steps.total == 100
    assert not recorded.of_type("metrics")
    assert not recorded.of_type("checkpoint")
    assert not Path(job.output_dir).exists()
    assert {warning.code for warning in found.warnings} == {"many_epochs", "learning_rate_unusual"}


def test_estimate_fails_like_the_training(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset([ORPHAN])}
    with pytest.raises(JobError, match="None of the dataset's 1 rows can be used"):
        run_estimate(estimate_job(tmp_path, inputs), recorded.report)


PAIR = {
    "prompt": [{"role": "user", "content": "Which animal?"}],
    "chosen": [{"role": "assistant", "content": "A red fox."}],
    "rejected": [{"role": "assistant", "content": "A blue cat, I guess."}],
}
ANSWERS = [
    {
        "prompt": [{"role": "user", "content": f"Which animal is number {number}?"}],
        "completion": [{"role": "assistant", "content": "A fox."}],
        "label": number % 2 == 0,
    }
    for number in range(8)
]


@pytest.mark.parametrize(
    ("method", "rows", "parts"),
    [
        ("cpt", [{"text": "the quick brown fox " * 20}] * 6, [None]),
        ("dpo", [PAIR] * 4, ["chosen", "rejected"]),
        ("kto", ANSWERS, [None]),
        ("reward", [PAIR] * 4, ["chosen", "rejected"]),
    ],
)
def test_each_method_is_estimated_by_its_own_code(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter,
    method: str, rows: list[dict[str, Any]], parts: list[str | None],
) -> None:  # fmt: skip
    inputs = {"base_model": tiny_model, "dataset": make_dataset(rows)}
    job = estimate_job(tmp_path, inputs, method=method, learning_rate=5e-5)
    found = estimate(job, recorded)
    assert found.rows.used == len(rows)
    assert [row.part for row in found.first_rows if row.number == 1] == parts
    assert any(one.learned for row in found.first_rows for one in row.segments)


@pytest.mark.parametrize(
    ("method", "rows"),
    [
        ("classification", [{"text": f"a {w} film", "label": w} for w in ("good", "boring")] * 4),
        ("embedding", [{"anchor": f"film {n}", "positive": f"the film {n}"} for n in range(8)]),
    ],
)
def test_methods_for_encoders_are_estimated(
    tiny_encoder: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter,
    method: str, rows: list[dict[str, Any]],
) -> None:  # fmt: skip
    inputs = {"base_model": tiny_encoder, "dataset": make_dataset(rows)}
    job = estimate_job(tmp_path, inputs, method=method, pace=None)
    found = estimate(job, recorded)
    assert (found.rows.used, found.tokens.learned_per_epoch) == (8, None)
    assert found.memory_mb.parts["logits"] == 0
    assert found.seconds.source == "calibration"
