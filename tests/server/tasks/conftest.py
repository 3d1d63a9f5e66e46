"""A kind of task whose runtime is a script, and a worker to run it."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.specs import DatasetRef, QualitySpec
from aiplatform.server.core.database import commit
from aiplatform.server.projects.models import Project
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.runner import process
from aiplatform.server.tasks.service import kinds, queue, workers
from aiplatform.server.tasks.service.kinds import Inputs, Outcome, TaskKind
from tests.factories import make_context, make_project

NOWHERE = DatasetRef.model_validate({"dataset": "00000000-0000-0000-0000-000000000000"})


class ScriptedKind(TaskKind):
    """Records what the queue tells it."""

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
    runtime = [sys.executable, "-m", "tests.server.tasks.scripted_runtime"]
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
    """Queue a task; its runtime runs ``script``."""

    def submit(script: str = "", *, priority: int = 5, **options: object) -> Task:
        spec = QualitySpec(dataset=NOWHERE, **options)
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
    """Enter a worker; returns its id."""

    def make(name: str = "w1", *, cpus: float = 4, gpus: int = 0) -> int:
        offers = workers.Capacity(cpus=cpus, memory_mb=8192, gpus=gpus)
        worker_id = workers.register(session, name, ["default"], offers)
        commit(session)
        return worker_id

    return make


@pytest.fixture(autouse=True)
def _empty_queue(session: Session, database_url: str) -> Iterator[None]:
    """Each test has the queue to itself."""
    yield
    session.rollback()
    from sqlalchemy import text

    session.execute(text("DELETE FROM task_leases"))
    session.execute(text("DELETE FROM workers"))
    session.execute(text("DELETE FROM tasks"))
    session.commit()
