"""Test of a training run on two workers, one of which is killed and starts again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from aiplatform import Client
from aiplatform.client import TaskFailed
from aiplatform.client.tasks import Task
from tests.e2e.conftest import Platform, chats, command_of, running_platform
from tests.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
STEPS = 300
HERE = {"AIPLATFORM_NODE_HOST": "127.0.0.1"}


class SecondWorker:
    """A second worker of the platform, with its own home directory."""

    def __init__(self, platform: Platform, home: Path) -> None:
        home.mkdir(exist_ok=True)
        state = platform.state
        self.log = home / "worker.log"
        self.environment = {
            **os.environ,
            **HERE,
            "AIPLATFORM_BROKER_URL": state.broker_url,
            "AIPLATFORM_DATABASE_URL": state.database_url,
            "AIPLATFORM_HOME": str(home),
            "AIPLATFORM_STORAGE_URL": (platform.home / "blobs").as_uri(),
            "AIPLATFORM_WORKER_NAME": "second",
        }
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aiplatform", "worker"],
                env=self.environment, stdout=output, stderr=output,
            )  # fmt: skip


@contextmanager
def second_worker(platform: Platform, home: Path) -> Iterator[SecondWorker]:
    second = SecondWorker(platform, home)
    try:
        yield second
    finally:
        second.process.terminate()
        second.process.wait(60)


def until_sql(platform: Platform, statement: str, *parameters: object) -> list[tuple[object, ...]]:
    """Wait until an SQL statement returns rows, and return them."""
    deadline = time.monotonic() + 60
    while not (rows := platform.sql(statement, *parameters)):
        assert time.monotonic() < deadline, statement
        time.sleep(0.2)
    return rows


def test_two_workers_train_one_model_and_survive_failures(tmp_path: Path) -> None:
    with (
        running_platform(**HERE) as platform,
        second_worker(platform, tmp_path / "second") as second,
        platform.client() as client,
    ):
        try:
            train_and_kill_second_worker(client, platform, second, tmp_path)
            kill_a_rank(client, platform, second)
        except BaseException:
            sys.stderr.write(second.log.read_text()[-4000:])
            raise


def train_and_kill_second_worker(
    client: Client, platform: Platform, second: SecondWorker, directory: Path
) -> None:
    client.projects.create("nodes")
    client.project = "nodes"
    weights = make_tiny_model(directory / "tiny") / "weights"
    base = client.models.import_path(weights, name="tiny").wait_ready(120)
    dataset = client.datasets.upload("rows", chats(40))
    until_sql(platform, "SELECT 1 FROM workers WHERE name = 'second'")
    (ours,) = (worker for worker in client.workers.list() if worker.name == "second")
    client.workers.cordon(ours)  # The other worker must claim the training first.
    experiment = client.experiments.create(
        "two nodes",
        base_model=base,
        dataset=dataset.uuid,
        nodes=2,
        max_steps=STEPS,
        batch_size=2,
        max_length=64,
        checkpoint_steps=20,
        retry_seconds=1,
    )
    task = experiment.run()
    until_sql(platform, "SELECT 1 FROM task_gangs")
    client.workers.resume(ours)
    until_sql(
        platform,
        "SELECT 1 FROM task_checkpoints JOIN tasks t ON t.id = task_id WHERE t.uuid = %s",
        task.uuid,
    )
    nodes = client.tasks.get(task).nodes
    assert [(node["node"], node["state"]) for node in nodes] == [(0, "running"), (1, "ready")]
    assert nodes[1]["worker"] == "second"

    family = psutil.Process(second.process.pid).children(recursive=True)
    os.kill(second.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, "no rank outlives its worker"
    second.process.wait(10)
    until_sql(
        platform,
        "SELECT 1 FROM task_attempts WHERE attempt = 1 AND outcome IS NOT NULL"
        " AND task_id = (SELECT max(id) FROM tasks)",
    )  # The attempt must end before the worker is back.
    second.start()
    task = task.wait(120)
    assert (task.status, task.error_message) == ("completed", None)
    check_attempts(platform, task)


def kill_a_rank(client: Client, platform: Platform, second: SecondWorker) -> None:
    """Kill one of the training processes on the second worker.

    No lease expires. The task fails exactly once, and its error names the rank.
    """
    base = client.models.list(name="tiny").first()
    dataset = client.datasets.list(name="rows").first()
    assert base is not None
    assert dataset is not None
    experiment = client.experiments.create(
        "a rank less", base_model=base, dataset=dataset.uuid, nodes=2, max_steps=100_000,
        batch_size=2, max_length=64, max_attempts=3,
    )  # fmt: skip
    task = experiment.run()
    until_sql(
        platform,
        "SELECT 1 FROM metric_points JOIN tasks t ON t.id = task_id WHERE t.uuid = %s",
        task.uuid,
    )
    here = psutil.Process(platform.pid("worker")), psutil.Process(second.process.pid)
    ranks = [rank for worker in here for rank in ranks_of(worker)]
    (other,) = (node["node"] for node in client.tasks.get(task).nodes if node["worker"] == "second")
    (victim,) = (rank for rank in ranks if rank.environ()["RANK"] == str(other))
    victim.kill()
    with pytest.raises(TaskFailed, match=f"Rank {other} was killed by SIGKILL"):
        task.wait(120)
    _, alive = psutil.wait_procs(ranks, timeout=20)
    assert not alive
    attempts = platform.sql(
        "SELECT attempt, outcome FROM task_attempts JOIN tasks t ON t.id = task_id"
        " WHERE t.uuid = %s",
        task.uuid,
    )
    assert attempts == [(1, "failed")]
    for table in ("held_leases", "task_gangs", "task_nodes"):
        assert platform.sql(f"SELECT count(*) FROM {table}") == [(0,)], table
    failures = client.notifications.list(type="task:failed").take(10)
    assert len([one for one in failures if one.data.get("task") == str(task.uuid)]) == 1


def ranks_of(worker: psutil.Process) -> list[psutil.Process]:
    """Return a worker's training processes."""
    return [
        process
        for process in worker.children(recursive=True)
        if "aiplatform.runtime.distributed.rank" in command_of(process)
    ]


def check_attempts(platform: Platform, task: Task) -> None:
    """Check that training resumed after the failed attempt and reported each step once."""
    outcomes = [
        row[0]
        for row in platform.sql(
            "SELECT outcome FROM task_attempts JOIN tasks t ON t.id = task_id WHERE t.uuid = %s"
            " ORDER BY attempt",
            task.uuid,
        )
    ]
    assert (outcomes[0], outcomes[-1]) == ("failed", "completed")
    repeated = platform.sql(
        "SELECT step FROM metric_points JOIN tasks t ON t.id = task_id WHERE t.uuid = %s"
        " AND key = 'loss' GROUP BY attempt, step HAVING count(*) > 1",
        task.uuid,
    )
    assert repeated == []
    steps = [point.step for point in task.metrics("loss")["loss"]]
    assert steps == list(range(1, STEPS + 1))
    assert (task.result or {})["steps"] == STEPS
    assert platform.sql("SELECT count(*) FROM held_leases") == [(0,)]
    resumed = platform.sql(
        "SELECT count(*) FROM task_events JOIN tasks t ON t.id = task_id"
        " WHERE t.uuid = %s AND kind = 'resumed'",
        task.uuid,
    )
    assert resumed == [(1,)], "from its checkpoint"
