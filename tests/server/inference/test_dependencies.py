"""Tests of deployments that start when other tasks have completed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.experiments.service import trainings
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import make_project, make_task
from tests.server.experiments.manual_worker import ManualWorker, fresh
from tests.server.inference.conftest import actions, notes

Deploy = Callable[..., Any]


@pytest.fixture
def training(
    session: Session,
    project: Project,
    manual_worker: ManualWorker,
    tuned: Model,
    monkeypatch: pytest.MonkeyPatch,
) -> Task:
    """Create a training task that ``manual_worker`` can claim.

    When it completes, its model is ``tuned``.
    """

    def conclude(_: Session, task: Task, outcome: Any) -> None:
        if outcome.status is TaskStatus.COMPLETED:
            task.model_id = tuned.id

    monkeypatch.setattr(trainings, "conclude", conclude)
    return make_task(
        session,
        project,
        name="train",
        type=TaskType.TRAINING,
        scheduling={"queue": manual_worker.queue},
    )


@pytest.fixture
def dependency(session: Session, project: Project, manual_worker: ManualWorker) -> Task:
    """Create another task that a deployment waits for, such as an evaluation that must pass."""
    return make_task(session, project, name="dependency", scheduling={"queue": manual_worker.queue})


@pytest.fixture
def waiting(deploy: Deploy, training: Task, dependency: Task, session: Session) -> Deployment:
    """Create a deployment of the training task's model that also waits for ``dependency``."""
    answer = deploy(
        model={"from_task": str(training.uuid)},
        after=[{"task": str(dependency.uuid)}],
        name="nightly",
    )
    assert answer.status_code == 201, answer.text
    return session.scalars(select(Deployment).where(Deployment.uuid == answer.json()["uuid"])).one()


def test_deployment_starts_when_all_tasks_have_completed(
    session: Session,
    mine: Api,
    waiting: Deployment,
    training: Task,
    dependency: Task,
    tuned: Model,
    manual_worker: ManualWorker,
) -> None:
    shown = mine.get(f"deployments/{waiting.uuid}").json()
    assert (shown["status"], shown["model"]) == ("starting", None)
    task = mine.get(f"tasks/{shown['task']}").json()
    assert {need["task"] for need in task["after"]} == {str(training.uuid), str(dependency.uuid)}
    assert task["waiting"]["reason"].startswith("waits for ")
    created = session.scalars(
        select(AuditLog.details).where(AuditLog.resource_id == str(waiting.uuid))
    ).one()
    assert set(created["after"]) == {str(training.uuid), str(dependency.uuid)}

    first, second = manual_worker.take(), manual_worker.take()
    assert manual_worker.claim() is None
    manual_worker.complete(first, {})
    shown = mine.get(f"deployments/{waiting.uuid}").json()
    assert (shown["status"], shown["model"]) == ("starting", str(tuned.uuid))
    assert manual_worker.claim() is None
    manual_worker.complete(second, {})

    claim = manual_worker.take()
    row = session.get_one(Task, claim.task_id)
    assert (row.model_id, row.config["model"]) == (tuned.id, str(tuned.uuid))
    inputs = session.scalars(select(TaskInput).where(TaskInput.task_id == row.id)).all()
    assert {item.role for item in inputs} == {"model", "base_model"}
    assert set(manual_worker.inputs(claim).trees) == {"model", "base_model"}
    manual_worker.ready(claim)
    assert fresh(session, waiting).status == "ready"
    # From here on, it behaves like any other deployment.
    manual_worker.fail(claim)
    assert fresh(session, waiting).status == "restarting"
    manual_worker.ready(manual_worker.take(hurry=True))
    assert fresh(session, waiting).status == "ready"


@pytest.mark.parametrize("which", ["train", "dependency"])
def test_deployment_is_stopped_when_a_task_fails(
    session: Session,
    mine: Api,
    waiting: Deployment,
    manual_worker: ManualWorker,
    which: str,
    owner: User,
) -> None:
    claims = {
        session.get_one(Task, c.task_id).name: c
        for c in (manual_worker.take(), manual_worker.take())
    }
    failed = claims.pop(which)
    for claim in claims.values():
        manual_worker.complete(claim, {})
    manual_worker.fail(failed, "no luck")
    shown = mine.get(f"deployments/{waiting.uuid}").json()
    assert (shown["status"], shown["restarts"]) == ("stopped", 0)
    assert shown["error"] == f"It waited for the success of {which}, which ended as failed."
    assert manual_worker.claim(hurry=True) is None
    assert actions(session, waiting.uuid) == ["deployment:created", "deployment:stopped"]
    assert "task:failed" in notes(session, owner)


def test_manual_start_waits_only_for_the_model(
    session: Session, mine: Api, waiting: Deployment, manual_worker: ManualWorker, tuned: Model
) -> None:
    claims = {
        session.get_one(Task, c.task_id).name: c
        for c in (manual_worker.take(), manual_worker.take())
    }
    manual_worker.fail(claims["dependency"])
    assert fresh(session, waiting).status == "stopped"
    # Its model does not exist yet.
    assert mine.post(f"deployments/{waiting.uuid}/start").status_code == 202
    assert manual_worker.claim() is None
    manual_worker.complete(claims["train"], {})
    manual_worker.ready(manual_worker.take())
    row = fresh(session, waiting)
    assert (row.status, row.model_id, row.error) == ("ready", tuned.id, None)


def test_deployment_whose_model_was_not_made_does_not_start(
    session: Session, mine: Api, waiting: Deployment, manual_worker: ManualWorker
) -> None:
    claims = {
        session.get_one(Task, c.task_id).name: c
        for c in (manual_worker.take(), manual_worker.take())
    }
    manual_worker.fail(claims["train"])
    answer = mine.post(f"deployments/{waiting.uuid}/start")
    assert (answer.status_code, answer.json()["code"]) == (409, "task.dependency_failed")
    assert fresh(session, waiting).status == "stopped"


def test_model_made_while_stopped_is_served_after_start(
    session: Session, mine: Api, waiting: Deployment, manual_worker: ManualWorker, tuned: Model
) -> None:
    stopped = mine.post(f"deployments/{waiting.uuid}/stop")
    assert (stopped.status_code, stopped.json()["status"]) == (202, "stopped")
    claims = {
        session.get_one(Task, c.task_id).name: c
        for c in (manual_worker.take(), manual_worker.take())
    }
    manual_worker.complete(claims["train"], {})
    assert fresh(session, waiting).model_id is None
    started = mine.post(f"deployments/{waiting.uuid}/start").json()
    assert started["model"] == str(tuned.uuid)
    assert set(manual_worker.inputs(manual_worker.take()).trees) == {"model", "base_model"}


def test_restart_while_waiting_is_refused(
    session: Session, mine: Api, waiting: Deployment, manual_worker: ManualWorker
) -> None:
    answer = mine.post(f"deployments/{waiting.uuid}/restart")
    assert (answer.status_code, answer.json()["code"]) == (409, "deployment.waiting")
    assert {manual_worker.take().task_type, manual_worker.take().task_type} == {
        "training",
        "data_quality",
    }
    assert manual_worker.claim() is None


def test_deletion_ends_the_wait(
    mine: Api, waiting: Deployment, manual_worker: ManualWorker
) -> None:
    task = mine.get(f"deployments/{waiting.uuid}").json()["task"]
    assert mine.delete(f"deployments/{waiting.uuid}").status_code == 204
    assert mine.get(f"tasks/{task}").json()["status"] == "cancelled"
    for claim in (manual_worker.take(), manual_worker.take()):
        manual_worker.complete(claim, {})
    assert manual_worker.claim() is None


def test_existing_model_waits_for_a_task(
    mine: Api, deploy: Deploy, dependency: Task, manual_worker: ManualWorker, tuned: Model
) -> None:
    made = deploy(after=[{"task": str(dependency.uuid), "condition": "any"}]).json()
    assert made["model"] == str(tuned.uuid)
    manual_worker.fail(manual_worker.take())
    assert str(manual_worker.take().task_uuid) == made["task"]


def test_unusable_task_is_refused(session: Session, deploy: Deploy, dependency: Task) -> None:
    foreign = make_task(session, make_project(session), type=TaskType.TRAINING)
    for body in (
        {"model": {"from_task": str(foreign.uuid)}},
        {"after": [{"task": str(foreign.uuid)}]},
    ):
        answer = deploy(**body)
        assert (answer.status_code, answer.json()["code"]) == (404, "resource.not_found")
    answer = deploy(model={"from_task": str(dependency.uuid)})
    assert (answer.status_code, answer.json()["code"]) == (422, "task.type_makes_no_model")
