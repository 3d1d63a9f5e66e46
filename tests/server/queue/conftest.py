"""Fixtures for a task kind whose runtime executes a script from the test, and for a worker."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.specs import QualitySpec
from aiplatform.server.core.audit import SYSTEM
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.execution.runner import process
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue import service
from aiplatform.server.queue.models import Task, TaskEvent
from aiplatform.server.queue.rules import Device
from aiplatform.server.queue.service import kinds, queue
from aiplatform.server.queue.service.kinds import Inputs, Outcome, TaskKind
from tests.conftest import Api
from tests.factories import make_context, make_project

NOWHERE = DatasetRef.model_validate({"dataset": "00000000-0000-0000-0000-000000000000"})


class ScriptedKind(TaskKind):
    """A task kind that records the calls it gets from the queue."""

    type = TaskType.DATA_QUALITY

    def __init__(self) -> None:
        self.given = Inputs()
        self.told: list[str] = []
        self.outcomes: list[Outcome] = []

    def inputs(self, session: Session, task: Task) -> Inputs:
        return self.given

    def started(self, session: Session, task: Task) -> None:
        self.told.append("started")

    def requeued(self, session: Session, task: Task) -> None:
        self.told.append("requeued")

    def finished(self, session: Session, task: Task, outcome: Outcome) -> None:
        self.told.append(outcome.status.value)
        self.outcomes.append(outcome)


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch, database_url: str) -> ScriptedKind:
    scripted = ScriptedKind()
    monkeypatch.setitem(kinds._KINDS, TaskType.DATA_QUALITY, scripted)
    runtime = [sys.executable, "-m", "tests.server.execution.scripted_runtime"]
    monkeypatch.setattr(process, "RUNTIME", runtime)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    return scripted


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def submit(
    session: Session, project: Project, kind: ScriptedKind, home: Path
) -> Callable[..., Task]:
    """Return a function that queues a task whose runtime executes ``script``."""

    def submit(script: str = "", *, priority: int = 5, **options: object) -> Task:
        # A whole core per task, so that tests can count cores instead of tasks.
        spec = QualitySpec(dataset=NOWHERE, **{"resources": {"cpus": 1}, **options})
        task = queue.submit(
            session, make_context(session, project), spec, name="scripted", priority=priority
        )
        commit(session)
        (home / "scripts").mkdir(exist_ok=True)
        (home / "scripts" / f"{task.uuid}.py").write_text(dedent(script))
        return task

    return submit


@pytest.fixture
def make_worker(session: Session) -> Callable[..., int]:
    """Return a function that registers a worker and returns its id."""

    def make(
        name: str = "w1",
        *,
        cpus: float = 4,
        gpus: int = 0,
        memory_mb: int = 8192,
        gpu_memory_mb: int = 0,
        devices: tuple[Device, ...] = (),
        labels: tuple[str, ...] = (),
        queues: tuple[str, ...] = ("default",),
    ) -> int:
        devices = devices or tuple(Device(str(place), gpu_memory_mb) for place in range(gpus))
        offers = workers.Capacity(cpus, memory_mb, devices, labels)
        worker_id = workers.register(session, name, queues, offers)
        commit(session)
        return worker_id

    return make


@pytest.fixture(autouse=True)
def _empty_queue(session: Session, database_url: str) -> Iterator[None]:
    """Delete all tasks and workers after each test."""
    yield
    session.rollback()
    session.execute(text("DELETE FROM task_leases"))
    session.execute(text("DELETE FROM workers"))
    session.execute(text("DELETE FROM tasks"))
    session.execute(text("DELETE FROM project_usage"))
    session.commit()


STOPS = """
    import pathlib, time
    if job.resume_from is None:
        with report.stop.delay():
            report.event("running")
            while not report.stop.requested:
                time.sleep(0.02)
            path = pathlib.Path(job.checkpoint_dir, "checkpoint-3")
            path.mkdir()
            (path / "state").write_text("three")
            report.checkpoint(3, str(path))
        report.stop.raise_if_requested()
    result = {"from": pathlib.Path(job.resume_from, "state").read_text()}
"""
"""A script that runs until it is stopped, and ends immediately when it resumes."""


def claim(session: Session, worker_id: int) -> Any:
    claimed = attempts.claim_next(session, worker_id, ["default"])
    commit(session)
    return claimed


def end(session: Session, claimed: Any, status: TaskStatus = TaskStatus.COMPLETED) -> None:
    attempts.end_attempt(session, claimed, Outcome(status, error=None))
    commit(session)


def events(task: Task) -> list[str]:
    with transaction() as session:
        rows = select(TaskEvent.kind).where(TaskEvent.task_id == task.id).order_by(TaskEvent.id)
        return list(session.scalars(rows))


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def pause(session: Session, task: Task, project: Project) -> None:
    service.request_pause(session, SYSTEM, task, project=project.uuid)
    commit(session)


def resume(session: Session, task: Task, project: Project) -> None:
    service.resume(session, SYSTEM, task, project=project.uuid)
    commit(session)


@pytest.fixture
def owner(api: Callable[[User | None], Api], session: Session, project: Project) -> Api:
    return api(session.get_one(User, project.owner_id))
