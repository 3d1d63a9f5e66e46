"""Tests that stopped or killed training resumes from its newest complete checkpoint."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from aiplatform.runtime.stop import JobStopped
from aiplatform.runtime.training import checkpoints
from aiplatform.runtime.training.sft import run_sft
from tests.runtime.conftest import (
    MakeDataset,
    RecordedReporter,
    make_job,
    training_spec,
)
from tests.runtime.training.conftest import ROWS, losses


def test_resumed_training_equals_an_uninterrupted_one(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    """Compare the losses, which depend on the data order, dropout, optimizer and schedule."""
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(epochs=3, gradient_accumulation=2, checkpoint_steps=2)
    whole = make_job(tmp_path / "whole", spec, inputs)
    first = run_sft(whole, recorded.report)
    expected = losses(recorded)
    announced = [Path(message["path"]) for message in recorded.of_type("checkpoint")]
    assert [path.name for path in announced] == [f"checkpoint-{s}" for s in (2, 4, 6, 8, 9)]
    assert not announced[0].exists(), "only the newest are kept"

    # Step 8 lies within the third epoch, and step 9 is its end.
    for step, remaining in ((8, [9]), (9, [])):
        again = make_job(
            tmp_path / f"resumed-{step}",
            spec,
            inputs,
            resume_from=str(Path(whole.checkpoint_dir) / f"checkpoint-{step}"),
        )
        count = len(recorded.of_type("metrics"))
        result = run_sft(again, recorded.report)
        metrics = recorded.of_type("metrics")[count:]
        assert [message["step"] for message in metrics] == remaining
        for message in metrics:
            assert message["values"]["loss"] == pytest.approx(expected[message["step"]], abs=1e-6)
        for key in ("train_loss_first", "train_loss_last", "tokens", "steps", "epochs"):
            assert result[key] == pytest.approx(first[key], abs=1e-6), key
        tuned = load_file(Path(again.output_dir) / "adapter" / "adapter_model.safetensors")
        for name, tensor in load_file(
            Path(whole.output_dir) / "adapter" / "adapter_model.safetensors"
        ).items():
            assert torch.allclose(tuned[name], tensor, atol=1e-6), name


def test_resumed_full_tuning_with_noise_equals_an_uninterrupted_one(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(
        max_steps=8, checkpoint_steps=4, tuning="full", learning_rate=1e-3, neftune_alpha=5
    )
    whole = make_job(tmp_path / "whole", spec, inputs)
    run_sft(whole, recorded.report)
    expected = losses(recorded)
    checkpoint = Path(whole.checkpoint_dir) / "checkpoint-4"
    count = len(recorded.of_type("metrics"))
    again = make_job(tmp_path / "again", spec, inputs, resume_from=str(checkpoint))
    run_sft(again, recorded.report)
    resumed = {m["step"]: m["values"]["loss"] for m in recorded.of_type("metrics")[count:]}
    assert resumed == pytest.approx({step: expected[step] for step in (5, 6, 7, 8)}, abs=1e-6)


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_training_resumes_from_any_step_of_an_epoch(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
    step: int,
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS[:12])}
    spec = training_spec(epochs=3, checkpoint_steps=step)
    stopping = make_job(tmp_path / "first", spec, inputs)
    run_sft(stopping, recorded.report)
    expected = losses(recorded)
    checkpoint = checkpoints.list_checkpoints(Path(stopping.checkpoint_dir))[0]
    taken = int(checkpoint.name.partition("-")[2])
    count = len(recorded.of_type("metrics"))
    run_sft(
        make_job(tmp_path / "again", spec, inputs, resume_from=str(checkpoint)), recorded.report
    )
    resumed = {m["step"]: m["values"]["loss"] for m in recorded.of_type("metrics")[count:]}
    assert [*resumed] == [*range(taken + 1, 10)]
    assert resumed == pytest.approx({s: expected[s] for s in resumed}, abs=1e-6)


def test_training_does_not_resume_from_an_incomplete_checkpoint(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(max_steps=6, checkpoint_steps=2)
    first = make_job(tmp_path, spec, inputs)
    run_sft(first, recorded.report)
    newest = Path(first.checkpoint_dir) / "checkpoint-6"
    (newest / "training_state.safetensors").write_bytes(b"")
    run_sft(make_job(tmp_path / "second", spec, inputs, resume_from=str(newest)), recorded.report)
    (event,) = [m for m in recorded.of_type("event") if m["name"] == "resumed"]
    assert event["data"] == {"step": 4}

    gone = tmp_path / "nowhere" / "checkpoint-6"
    count = len(recorded.of_type("metrics"))
    run_sft(make_job(tmp_path / "third", spec, inputs, resume_from=str(gone)), recorded.report)
    assert "checkpoint_unusable" in [m["name"] for m in recorded.of_type("event")]
    assert [m["step"] for m in recorded.of_type("metrics")[count:]] == [*range(1, 7)]


def test_training_writes_and_reads_no_pickle(
    tiny_model: Path,
    make_dataset: MakeDataset,
    tmp_path: Path,
    recorded: RecordedReporter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was touched")

    monkeypatch.setattr(torch, "save", refuse)
    monkeypatch.setattr(torch, "load", refuse)
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(max_steps=4, checkpoint_steps=2)
    first = make_job(tmp_path, spec, inputs)
    run_sft(first, recorded.report)
    checkpoint = Path(first.checkpoint_dir) / "checkpoint-2"
    run_sft(
        make_job(tmp_path / "again", spec, inputs, resume_from=str(checkpoint)), recorded.report
    )
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".json", ".jinja", ".md", ".parquet", ".jsonl"}


def test_stop_saves_a_checkpoint_of_the_last_step(
    tiny_model: Path, make_dataset: MakeDataset, tmp_path: Path, recorded: RecordedReporter
) -> None:
    inputs = {"base_model": tiny_model, "dataset": make_dataset(ROWS)}
    spec = training_spec(max_steps=1000, checkpoint_steps=500)
    job = make_job(tmp_path, spec, inputs)
    send = recorded.report.metrics

    def stop_at_seven(step: int, values: dict[str, float]) -> None:
        send(step, values)
        if step == 7:
            signal.raise_signal(signal.SIGTERM)

    recorded.report.metrics = stop_at_seven  # type: ignore[method-assign]
    previous = signal.getsignal(signal.SIGTERM)
    recorded.report.stop.listen()
    try:
        with pytest.raises(JobStopped):
            run_sft(job, recorded.report)
    finally:
        signal.signal(signal.SIGTERM, previous)
    (message,) = recorded.of_type("checkpoint")
    assert message["step"] == 8, "the step under way is finished first"
    assert not Path(job.output_dir).exists()
