"""Test that a training task runs in a spare, and that a spare exits with its worker."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from aiplatform import Client
from aiplatform.client import Task
from tests.e2e.conftest import Platform, chats, command_of, running_platform
from tests.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow


@pytest.fixture
def warm() -> Iterator[Platform]:
    with running_platform(AIPLATFORM_WARM_RUNTIME="on") as platform:
        yield platform


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def spares(worker: int) -> list[psutil.Process]:
    """Return the launcher of a worker's spare and its children; empty if there is no spare."""
    for launcher in psutil.Process(worker).children():
        if "--spare" in command_of(launcher):
            return [launcher, *launcher.children()]
    return []


def is_warm(worker: int) -> bool:
    """Return True if the spare of a worker has loaded the last of its libraries."""
    family = spares(worker)
    return any("xxhash" in m.path for m in family[1].memory_maps()) if len(family) == 3 else False


def ran_in_spare(client: Client, task: Task) -> bool:
    timeline = client.transport.get(f"tasks/{task.uuid}/timeline")["items"]
    (event,) = (event for event in timeline if event["kind"] == "started")
    return bool(event["data"].get("warm", False))


def test_training_runs_in_a_spare_that_ends_with_its_worker(
    warm: Platform, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with warm.client() as client:
        client.project = client.projects.create("spares").name
        directory = make_tiny_model(tmp_path_factory.mktemp("tiny"))
        base = client.models.import_path(directory / "weights", name="tiny").wait_ready(120)
        data = client.datasets.upload("chats", chats(2), base_model=base.uuid).wait_ready(120)
        options = {"base_model": base, "dataset": data, "max_steps": 2, "max_length": 64}
        experiment = client.experiments.create("spare", **options)
        losses = []
        # After its last library is loaded, a spare takes a few moments until it is ready.
        for _ in range(6):
            until(lambda: is_warm(warm.pid("worker")), 240)
            time.sleep(3)
            task = experiment.run().wait(120)
            assert task.status == "completed", task.error_message
            losses.append([point.value for point in task.metrics("loss")["loss"]])
            if ran_in_spare(client, task):
                break
        else:
            pytest.fail("no training was given a spare")
        assert all(found == losses[0] for found in losses)

        until(lambda: len(spares(warm.pid("worker"))) == 3)
        worker = warm.pid("worker")
        family = spares(worker)
        os.kill(worker, signal.SIGKILL)
        _, alive = psutil.wait_procs(family, timeout=10)
        assert [one for one in alive if one.is_running()] == []
        # The next worker creates its own spare and runs tasks as before.
        assert experiment.run().wait(120).status == "completed"
        until(lambda: spares(warm.pid("worker")) not in ([], family))
        last = spares(warm.pid("worker"))
    warm.down()
    assert psutil.wait_procs(last, timeout=10)[1] == []
