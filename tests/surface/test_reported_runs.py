"""Tests of external runs (``client.run()``) against the application on a real socket."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from aiplatform.client import Client, Conflict
from aiplatform.client.external import sender as sending
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.factories import make_experiment, make_project, make_token


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIPLATFORM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(sending, "GATHER_SECONDS", 0.01)


@pytest.fixture
def project(session: Session, client: object) -> Project:
    return make_project(session)


@pytest.fixture
def sdk(server_url: str, session: Session, project: Project) -> Iterator[Client]:
    """Return an SDK client signed in as the project's owner."""
    token = make_token(session, session.get_one(User, project.owner_id))
    with Client(server_url, token=token, project=project.uuid) as sdk:
        yield sdk


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def test_external_run_with_metrics_logs_and_file_is_stored_and_completed(
    sdk: Client, tmp_path: Path
) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\x00\x01" * 5000)
    with sdk.run("minimal", config={"lr": 0.1}) as run:
        for step in range(50):
            run.log({"loss": 1.0 / (step + 1)}, step=step)
        run.write("epoch 1 of 1")
        run.log_artifact(tmp_path / "weights.bin")
        run.set_progress(0.5)
        until(lambda: run.task is not None)
        directory = run.journal.directory
    assert run.end(), "the server does not have the whole run"
    assert not directory.exists()
    assert run.task is not None
    task = sdk.tasks.get(run.task)
    assert task.status == "completed"
    points = sdk.tasks.metrics(task, "loss")["loss"]
    assert [point.step for point in points] == list(range(50))
    assert "epoch 1 of 1" in "".join(chunk.text for chunk in sdk.tasks.logs(task, follow=False))
    (artifact,) = task.artifacts()
    assert (artifact.path, artifact.size) == ("weights.bin", 10_000)
    (saved,) = task.download_artifacts(tmp_path / "out")
    assert saved.read_bytes() == b"\x00\x01" * 5000


def test_external_run_whose_block_raises_has_failed(sdk: Client) -> None:
    run = sdk.run("fails")
    run.log({"loss": 1.0})
    with pytest.raises(ZeroDivisionError), run:
        _ = 1 / 0
    assert run.task is not None
    task = sdk.tasks.get(run.task)
    assert (task.status, task.error_message) == (
        "failed",
        "ZeroDivisionError: division by zero",
    )


def test_sync_of_offline_run_sends_everything_once(sdk: Client, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("kept")
    with sdk.run("offline", mode="offline") as run:
        run.log({"loss": 2.0}, step=1)
        run.log({"loss": 1.0}, step=2)
        run.write("one\ntwo")
        run.log_artifact(tmp_path / "notes.txt", "out/notes.txt")
    (directory,) = sdk.external.unsent()
    synced = sdk.external.sync(directory)
    assert (synced.points, synced.lines, synced.complete) == (2, 2, True)
    task = sdk.tasks.get(synced.task)
    assert task.status == "completed"
    assert [point.value for point in sdk.tasks.metrics(task, "loss")["loss"]] == [2.0, 1.0]
    assert [artifact.path for artifact in task.artifacts()] == ["out/notes.txt"]
    assert list(sdk.external.unsent()) == []


def report(sdk: Client, name: str, loss: float, **config: Any) -> UUID:
    """Report a run without an experiment from beginning to end and return its uuid."""
    with sdk.run(name, config=config) as run:
        run.log({"loss": 2 * loss}, step=1)
        run.log({"loss": loss}, step=2)
        until(lambda: run.task is not None)
    assert run.task is not None
    return run.task


def test_runs_without_an_experiment_are_listed_filtered_sorted_and_compared(
    sdk: Client, session: Session, project: Project
) -> None:
    low = report(sdk, "low", 0.5, lr=0.1, lora={"rank": 4})
    high = report(sdk, "high", 1.5, lr=0.2, lora={"rank": 4})
    experiment = make_experiment(session, project)
    with sdk.run("mine", experiment=experiment.uuid, config={"lr": 0.3}) as run:
        run.log({"loss": 1.0})

    def names(**asked: Any) -> list[str]:
        return [found.name for found in sdk.runs.list(**asked)]

    assert names() == ["mine", "high", "low"]
    assert names(filter="metrics.loss < 1") == ["low"]
    assert names(filter="config.lr >= 0.2 and status = 'completed'") == ["mine", "high"]
    assert names(filter="config.lora.rank = 4") == ["high", "low"]
    assert names(sort="metrics.loss") == ["low", "mine", "high"]
    assert names(sort="-config.lr") == ["mine", "high", "low"]
    first = sdk.runs.list(sort="metrics.loss").first()
    assert first is not None
    assert (first.type, first.experiment, first.config, first.metrics) == (
        "external",
        None,
        {"lr": 0.1, "lora": {"rank": 4}},
        {"loss": 0.5},
    )
    assert [task.name for task in sdk.experiments.runs(experiment.uuid)] == ["mine"]

    comparison = sdk.runs.compare([low, high])
    assert comparison.same == {"lora.rank": 4}
    assert comparison.differs == {"lr": [0.1, 0.2]}
    assert comparison.metrics == {"loss": [0.5, 1.5]}
    assert comparison.series == ["loss"]
    read = sdk.runs.get("low")
    assert read.record is not None
    assert read.record.environment is not None
    assert "host" in read.record.environment
    with pytest.raises(Conflict, match="executed outside the platform") as refused:
        read.rerun()
    assert refused.value.code == "run.executes_elsewhere"


def test_external_run_that_ends_keeps_its_earlier_metrics(sdk: Client) -> None:
    with sdk.run("live") as run:
        run.log({"loss": 1.0})
        until(lambda: sdk.runs.list("status = 'running'").first() is not None)
        run.log({"accuracy": 0.9})
        run.end(result={"f1": 0.8, "note": "no number", "fine": True})
    (found,) = sdk.runs.list()
    assert found.metrics == {"loss": 1.0, "accuracy": 0.9, "f1": 0.8}


def test_external_run_with_textual_seed_can_be_read(sdk: Client) -> None:
    report(sdk, "odd", 1.0, seed="today")
    record = sdk.runs.get("odd").record
    assert record is not None
    assert (record.seed, record.config) == (None, {"seed": "today"})
