"""Tests that training resumes from a checkpoint after crashes, and that no data is lost."""

import contextlib
import os
import signal
import time

import psutil
import pytest

from aiplatform import Client
from aiplatform.client.experiments import Experiment
from aiplatform.client.models import Model
from aiplatform.client.tasks import Task
from tests.e2e.conftest import Platform, chats

pytestmark = pytest.mark.slow
STEPS = 60


@pytest.fixture(scope="module")
def experiment(client: Client, base_model: Model) -> Experiment:
    dataset = client.datasets.upload("rows", chats(60))
    return client.experiments.create(
        "resume",
        base_model=base_model,
        dataset=dataset.uuid,
        max_steps=STEPS,
        batch_size=16,
        max_length=256,
        checkpoint_steps=10,
        seed=7,
    )


def losses(task: Task) -> dict[int, float]:
    return {point.step: point.value for point in task.metrics("loss")["loss"]}


def wait_for_checkpoint(task: Task, count: int) -> None:
    """Wait until the platform has stored ``count`` checkpoints of the task."""
    seen = 0
    for event in task.watch():
        if event.kind == "event" and event.data["kind"] == "checkpoint":
            seen += 1
            if seen == count:
                return
    pytest.fail(f"the task ended after {seen} checkpoints")


def test_worker_killed_during_training_loses_no_step(
    client: Client, platform: Platform, experiment: Experiment
) -> None:
    undisturbed = experiment.run(name="undisturbed").wait(300)
    task = experiment.run(name="disturbed")
    wait_for_checkpoint(task, 2)
    worker = psutil.Process(platform.pid("worker"))
    family = worker.children(recursive=True)
    os.kill(worker.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive, "no child outlives its worker"
    task = task.wait(300)
    assert task.attempt == 2
    wanted, got = losses(undisturbed), losses(task)
    assert sorted(got) == sorted(wanted) == list(range(1, STEPS + 1))
    for step, value in wanted.items():
        assert got[step] == pytest.approx(value, abs=5e-4), step
    (first, second) = platform.sql(
        "SELECT outcome FROM task_attempts JOIN tasks ON id = task_id WHERE uuid = %s"
        " ORDER BY attempt",
        task.uuid,
    )
    assert (first[0], second[0]) == ("lost", "completed")


def test_database_killed_during_training_keeps_the_attempt(
    client: Client, platform: Platform, experiment: Experiment
) -> None:
    task = experiment.run(name="database killed")
    wait_for_checkpoint(task, 1)
    os.kill(platform.pid("postgres"), signal.SIGKILL)
    ended = task.wait(300)
    assert ended.attempt == 1, "an outage shorter than the deadline costs nothing"
    assert len(losses(ended)) == STEPS


def test_everything_killed_during_training_loses_no_data(
    client: Client, platform: Platform, experiment: Experiment
) -> None:
    before = client.datasets.get("rows")
    task = experiment.run(name="all killed")
    wait_for_checkpoint(task, 1)
    supervisor = psutil.Process(platform.state.pid)
    for process in [supervisor, *supervisor.children(recursive=True)]:
        # Some processes exit by themselves once their parent has been killed.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    time.sleep(1)
    platform.up()
    assert client.datasets.get("rows").version == before.version
    assert task.wait(300).attempt == 2
