"""Rows and helpers for the training tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiplatform.runtime.training import run_training
from tests.runtime.conftest import RecordedReporter, chat, make_job, training_spec

ROWS = [chat(f"What is {i} plus one?", f"It is {i + 1}.") for i in range(24)]


@pytest.fixture(autouse=True)
def _restore_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def losses(recorded: RecordedReporter) -> dict[int, float]:
    return {
        message["step"]: message["values"]["loss"]
        for message in recorded.of_type("metrics")
        if "loss" in message["values"]
    }


@pytest.fixture
def train_with(tmp_path: Path, recorded: RecordedReporter) -> Callable[..., Any]:
    """Return a function that trains a model; it returns the job, result and metrics by step."""

    def run(
        method: str, inputs: dict[str, Path], resume_from: str | None = None, **options: Any
    ) -> Any:
        directory = tmp_path / str(len([*tmp_path.iterdir()]))
        directory.mkdir()
        spec = training_spec(method=method, **options)
        spec["lora"] = {"rank": 4, "alpha": 8, **options.get("lora", {})}
        job = make_job(directory, spec, inputs, resume_from=resume_from)
        before = len(recorded.of_type("metrics"))
        result = run_training(job, job.spec, recorded.report)  # type: ignore[arg-type]
        series: dict[int, dict[str, Any]] = {}
        for message in recorded.of_type("metrics")[before:]:
            series.setdefault(message["step"], {}).update(message["values"])
        return job, result, series

    return run
