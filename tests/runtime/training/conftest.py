"""Rows and helpers for the training tests."""

import pytest

from tests.runtime.conftest import RecordedReporter, chat

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
