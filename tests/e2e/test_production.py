"""Tests of a separate API and worker with RabbitMQ or Valkey and the system's PostgreSQL."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from aiplatform import Client
from aiplatform.client import Task
from aiplatform.client.models import Model
from tests.e2e.conftest import PASSWORD, chats
from tests.e2e.production import debian_postgres, production, rabbitmq
from tests.servers import PostgresServer, private_postgres, private_valkey, scratch_directory
from tests.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
MANY = 100_000
"""Number of steps of a training task that no test waits for."""


@dataclass
class Site:
    """A running platform with a signed-in client."""

    client: Client
    server: PostgresServer
    broker_url: str

    def lose_messages(self) -> None:
        """Delete all wake-up messages from the broker's queue."""
        with Connection(self.broker_url) as connection:
            connection.default_channel.queue_purge("tasks.default")


@pytest.fixture(scope="module", params=["rabbitmq", "valkey"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    binaries = debian_postgres()
    with (
        rabbitmq() if request.param == "rabbitmq" else private_valkey() as broker_url,
        scratch_directory() as directory,
        private_postgres(binaries) as server,
    ):
        home = Path(directory) / "home"
        home.mkdir()
        database = server.create_database("production")
        with (
            production(
                home,
                AIPLATFORM_BROKER_URL=broker_url,
                AIPLATFORM_DATABASE_URL=database,
                AIPLATFORM_WORKER_CPUS="1",
            ) as url,
            Client(url, credentials=home / "sdk.json") as client,
        ):
            client.login("admin", PASSWORD)
            client.projects.create("shop")
            client.project = "shop"
            yield Site(client, server, broker_url)


@pytest.fixture(scope="module")
def base_model(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Model:
    weights = make_tiny_model(tmp_path_factory.mktemp("tiny")) / "weights"
    return site.client.models.import_path(weights, name="tiny").wait_ready(120)


@pytest.fixture(scope="module")
def train(site: Site, base_model: Model) -> Callable[..., Task]:
    """Return a function that starts a training task; the worker can run only one at a time."""
    data = site.client.datasets.upload("train", chats(4), base_model=base_model.uuid)
    data.wait_ready(120)

    def train(name: str, **options: Any) -> Task:
        found = site.client.experiments.create(
            name,
            base_model=base_model,
            dataset=data.uuid,
            batch_size=4,
            max_length=64,
            resources={"cpus": 1, "memory_mb": 500},
            **options,
        )
        return found.run()

    return train


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def last_step(task: Task) -> int:
    points = task.metrics("loss").get("loss", [])
    return points[-1].step if points else 0


def test_uploaded_dataset_gets_a_quality_report(site: Site) -> None:
    """Cover the upload, the broker's wake-up, the task, its report and Celery's result table."""
    dataset = site.client.datasets.upload("chats", chats(20)).wait_ready(60)
    report = site.client.datasets.get(dataset.uuid).quality_report
    assert report is not None
    assert report["rows"] == dataset.row_count == 100
    with site.server.connect("production") as connection:
        found = connection.execute(
            "SELECT status, count(*) FROM celery_tasks GROUP BY status"
        ).fetchall()
    assert dict(found).get("SUCCESS", 0) >= 1, found


def test_training_that_was_paused_continues_and_makes_a_model(
    site: Site, train: Callable[..., Task]
) -> None:
    task = train("patient", max_steps=120, checkpoint_steps=40, output_name="tuned")
    until(lambda: last_step(task) >= 3)
    task.pause()
    until(lambda: task.refresh().status == "paused")
    reached = last_step(task)
    assert 3 <= reached < 120
    task.resume()
    done = task.wait(240)
    steps = [point.step for point in task.metrics("loss")["loss"]]
    assert steps == list(range(1, 121)), "none was lost at the pause, none done twice"
    assert done.status == "completed"
    (tuned,) = site.client.models.list(name="tuned").take(2)
    assert tuned.status == "ready"


def test_waiting_tasks_run_after_all_wake_ups_were_lost(
    site: Site, train: Callable[..., Task]
) -> None:
    running = train("endless", max_steps=MANY)
    until(lambda: last_step(running) >= 1)
    waiting = [train(f"waiting {number}", max_steps=2) for number in range(3)]
    assert [task.refresh().status for task in waiting] == ["pending"] * 3
    site.lose_messages()
    running.cancel()
    assert running.wait(120, check=False).status == "cancelled"
    site.lose_messages()
    for task in waiting:
        assert task.wait(120).status == "completed"
    with site.server.connect("production") as connection:
        attempts = connection.execute(
            "SELECT max(attempt) FROM task_scheduling s JOIN tasks t ON t.id = s.task_id"
            " WHERE t.name LIKE %s",
            ["waiting%"],
        ).fetchone()
    assert attempts == (1,)
