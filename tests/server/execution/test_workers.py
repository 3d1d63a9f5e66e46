"""Tests of workers: state over HTTP, cordon and drain, metrics, devices, and wake-ups."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.settings import Settings
from aiplatform.server.execution import jobs, runner
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Task, Worker
from aiplatform.server.queue.rules import Device
from aiplatform.server.telemetry.service import prometheus
from tests.conftest import Api
from tests.factories import make_project, make_task

Submit = Callable[..., Task]


def claim(session: Session, worker_id: int) -> Any:
    claimed = attempts.claim_next(session, worker_id, ["default"])
    commit(session)
    return claimed


def test_worker_shows_its_free_resources_and_their_holders(
    session, submit: Submit, make_worker, admin: Api
):
    worker_id = make_worker(devices=(Device("A", 16_000, "T4"), Device("B", 80_000, "A100")))
    task = submit(resources={"cpus": 2, "memory_mb": 1000, "gpus": 1})
    claim(session, worker_id)
    workers.heartbeat(session, worker_id, workers.measured_load())
    commit(session)
    (shown,) = admin.get("workers").json()["items"]
    assert (shown["state"], shown["alive"]) == ("active", True)
    assert (shown["cpus_free"], shown["memory_mb_free"]) == (2, 7192)
    assert [device["task"] for device in shown["devices"]] == [str(task.uuid), None]
    assert shown["running"][0]["task"] == str(task.uuid)
    assert shown["load"]["memory_used_mb"] > 0
    assert admin.get(f"workers/{shown['uuid']}").json()["name"] == "w1"


def test_workers_that_start_together_do_not_deadlock(session, kind, make_worker):
    """Check that workers lock the usage rows of projects in the same order."""
    projects = [make_project(session) for _ in range(2)]
    names = ["a", "b"]
    for name, order in zip(names, (projects, projects[::-1]), strict=True):
        worker_id = make_worker(name)
        for project in order:
            make_task(session, project)
            claim(session, worker_id)
    held = "SELECT project_id FROM project_usage WHERE project_id = :id FOR UPDATE"
    session.execute(text(held), {"id": projects[0].id})

    def start(name: str) -> None:
        with transaction() as own:
            workers.register(own, name, ["default"], workers.Capacity(4, 8192))

    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with ThreadPoolExecutor() as pool:
        started = [pool.submit(start, name) for name in names]
        try:
            deadline = time.monotonic() + 20
            while session.scalar(text(waits)) < len(names):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            # While they wait for the first project, no worker has locked the second one.
            session.execute(text(held + " NOWAIT"), {"id": projects[1].id})
        finally:
            session.rollback()  # otherwise the pool would wait for the workers forever
        for one in started:
            one.result(20)
    assert session.scalar(text("SELECT count(*) FROM task_leases")) == 0


def test_drained_worker_is_emptied(session, submit: Submit, make_worker, admin: Api):
    old, new = make_worker("old", cpus=2), make_worker("new")
    movable, fixed = submit(preemptible=True), submit(preemptible=False)
    held = [claim(session, old) for _ in range(2)]
    uuid = session.get_one(Worker, old).uuid
    drained = admin.post(f"workers/{uuid}/drain").json()
    assert (drained["state"], len(drained["running"])) == ("draining", 2)
    session.expire_all()
    assert movable.scheduling.stop_wanted == "preempt"
    assert fixed.scheduling.stop_wanted is None
    attempts.pause(session, held[0])
    commit(session)
    assert claim(session, old) is None
    assert claim(session, new).task_id == movable.id
    assert admin.post(f"workers/{uuid}/resume").json()["state"] == "active"
    later = submit()
    assert claim(session, old).task_id == later.id
    actions = session.scalars(select(AuditLog.action).where(AuditLog.resource_id == str(uuid)))
    assert sorted(actions) == ["worker:drained", "worker:resumed"]


def test_cordoned_worker_finishes_its_task_and_stays_cordoned(
    session, submit: Submit, make_worker, admin: Api
):
    worker_id = make_worker(cpus=2)
    task = submit(preemptible=True)
    claim(session, worker_id)
    uuid = session.get_one(Worker, worker_id).uuid
    admin.post(f"workers/{uuid}/cordon")
    session.expire_all()
    assert task.scheduling.stop_wanted is None
    make_worker(cpus=2)  # the worker is started again
    session.expire_all()
    assert session.get_one(Worker, worker_id).state == "cordoned"
    assert claim(session, worker_id) is None


def test_prometheus_metrics_show_the_queue_and_workers(
    session, submit: Submit, make_worker, admin: Api
):
    worker_id = make_worker(gpus=2)
    submit(resources={"gpus": 1})
    submit(queue="default", resources={"gpus": 2})
    claim(session, worker_id)
    text = admin.get("//metrics").text
    for line in (
        'aiplatform_tasks_waiting{queue="default"} 1.0',
        'aiplatform_tasks_running{type="data_quality"} 1.0',
        'aiplatform_worker_gpus{state="free",worker="w1"} 1.0',
        'aiplatform_worker_cpus{state="total",worker="w1"} 4.0',
    ):
        assert line in text
    assert "aiplatform_tasks_oldest_wait_seconds" in text
    assert 'aiplatform_tasks_unfinished{priority="5",status="pending"} 1.0' in text


def test_prometheus_metrics_of_workers_have_their_names(
    session, submit: Submit, make_worker, admin: Api, home
):
    worker_id = make_worker()
    submit("")
    runner.run_attempt(claim(session, worker_id))
    prometheus.store(session, worker_id, prometheus.snapshot())
    session.commit()
    lines = admin.get("//metrics").text.splitlines()
    counted = [
        line
        for line in lines
        if line.startswith("aiplatform_attempt_seconds_count") and 'worker="w1"' in line
    ]
    assert any('outcome="completed"' in line and 'type="data_quality"' in line for line in counted)
    assert any(line.startswith("aiplatform_task_wait_seconds_bucket") for line in lines)


def test_prometheus_counters_of_several_api_processes_are_added(tmp_path):
    script = """
import sys
from aiplatform.server.core.middleware import REQUESTS
REQUESTS.labels("GET", "/x", 200).inc(int(sys.argv[1]))
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""
    variables = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for count, sum_so_far in (("2", "2.0"), ("3", "5.0")):
        done = subprocess.run(
            [sys.executable, "-c", script, count],
            env=variables,
            capture_output=True,
            text=True,
            check=True,
        )
        line = 'aiplatform_requests_total{method="GET",route="/x",status="200"} '
        assert line + sum_so_far in done.stdout


class FakeNvml:
    """A fake of the NVML library with two GPUs.

    The second GPU is partitioned; it has one MIG instance (a part of a GPU) of at most two.
    """

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, place: int) -> str:  # noqa: N802
        return f"gpu{place}"

    def nvmlDeviceGetName(self, gpu: str) -> str:  # noqa: N802
        return "NVIDIA A100-SXM4-80GB"

    def nvmlDeviceGetMigMode(self, gpu: str) -> tuple[int, int]:  # noqa: N802
        if gpu == "gpu0":
            raise self.NVMLError
        return (1, 1)

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: str) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: str, number: int) -> str:  # noqa: N802
        if number == 1:
            raise self.NVMLError
        return "mig0"

    def nvmlDeviceGetUUID(self, device: str) -> str:  # noqa: N802
        return {"gpu0": "GPU-0", "mig0": "MIG-0"}[device]

    def nvmlDeviceGetMemoryInfo(self, device: str) -> Any:  # noqa: N802
        return type("Info", (), {"total": (81920 if device == "gpu0" else 10240) << 20})


def test_mig_instances_are_devices(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", FakeNvml())
    name = "NVIDIA A100-SXM4-80GB"
    assert workers.machine_devices() == [
        Device("GPU-0", 81920, name), Device("MIG-0", 10240, name)
    ]  # fmt: skip


def test_gpu_slots_and_labels_from_the_settings_are_offered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIPLATFORM_WORKER_GPU_SLOTS", "0:40960, 0:40960,MIG-7")
    monkeypatch.setenv("AIPLATFORM_WORKER_LABELS", "team-x")
    offers = workers.capacity(Settings())
    assert offers.devices == (Device("0", 40960), Device("0", 40960), Device("MIG-7"))
    assert offers.labels == ("team-x",)


@pytest.fixture
def awake(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[dict[str, object]]]:
    """Return a function that makes this process a worker and returns the wake-ups it sends."""

    def be(worker_id: int) -> list[dict[str, object]]:
        sent: list[dict[str, object]] = []
        settings = SimpleNamespace(worker_queues=["default"])
        process = SimpleNamespace(worker_id=worker_id, settings=settings)
        monkeypatch.setattr(jobs, "send", lambda *_, **values: sent.append(values))
        monkeypatch.setattr(jobs, "_process", process)
        return sent

    return be


def test_wake_up_is_passed_on_to_each_worker_with_room(session, submit, make_worker, awake):
    mine = make_worker("w1")
    make_worker("w2")
    sent = awake(mine)
    assert jobs.wake("default") is None
    assert sent == [], "nothing waits"
    session.execute(text("UPDATE workers SET state = 'cordoned' WHERE id = :id"), {"id": mine})
    session.commit()
    submit()
    assert jobs.wake("default") is None
    assert sent == [{"queue": "default", "passed_on": 1}]
    assert jobs.wake("default", passed_on=1) is None
    assert len(sent) == 1, "every worker with room has heard of it"


def test_claim_and_end_wake_the_next_while_others_wait(
    session, submit, make_worker, awake, monkeypatch
):
    sent = awake(make_worker(cpus=1))
    seen: list[int] = []

    def run(claimed: attempts.Claim) -> None:
        seen.append(len(sent))
        attempts.release(session, claimed, "moved on")
        session.execute(
            text("UPDATE tasks SET status = 'cancelled' WHERE id = :id"), {"id": claimed.task_id}
        )
        commit(session)

    monkeypatch.setattr(runner, "run_attempt", run)
    submit()
    submit()
    assert jobs.wake("default") is not None
    assert (seen, len(sent)) == ([1], 2), "one as it starts, one as it ends"
    assert jobs.wake("default") is not None
    assert (seen, len(sent)) == ([1, 2], 2), "nobody is left to wake for"


def test_end_wakes_for_a_requeued_task_and_if_the_database_fails(
    session, submit, make_worker, awake, monkeypatch
):
    sent = awake(make_worker())

    def run(claimed: attempts.Claim) -> None:
        attempts.release(session, claimed, "the worker was stopped")
        commit(session)

    monkeypatch.setattr(runner, "run_attempt", run)
    submit()
    assert jobs.wake("default") is not None
    assert len(sent) == 1, "the task itself waits anew"

    def fail(*_: object) -> None:
        raise SQLAlchemyError("the database is away")

    monkeypatch.setattr(queries, "count_waiting", fail)
    monkeypatch.setattr(runner, "run_attempt", lambda _: None)
    assert jobs.wake("default") is not None
    assert len(sent) == 2
