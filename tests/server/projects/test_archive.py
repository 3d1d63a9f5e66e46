"""Tests of archived projects, which are read-only and run nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import DeploymentStatus, TaskStatus, TaskType
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.execution.service.reaper import Reaper
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from tests.conftest import Api
from tests.factories import (
    make_dataset,
    make_deployment,
    make_member,
    make_model,
    make_project,
    make_task,
    make_user,
)

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[[User | None], Api]


@pytest.fixture
def owner(session: Session) -> User:
    return make_user(session)


@pytest.fixture
def project(session: Session, owner: User) -> Project:
    return make_project(session, owner)


def set_status_by_patch(me: Api, project: Project, status: str) -> Any:
    path = f"projects/{project.uuid}"
    etag = me.get(path).headers["etag"]
    return me.patch(path, json={"status": status}, headers={"If-Match": etag})


def set_status_by_route(me: Api, project: Project, status: str) -> Any:
    action = "archive" if status == "archived" else "unarchive"
    return me.post(f"projects/{project.uuid}/{action}")


@pytest.mark.parametrize("change", [set_status_by_route, set_status_by_patch])
def test_archiving_ends_tasks_and_stops_deployments(
    session: Session, api: Act, owner: User, project: Project, change: Callable[..., Any]
) -> None:
    states = {
        TaskStatus.PENDING: "cancelled",
        TaskStatus.PAUSED: "cancelled",
        TaskStatus.RUNNING: "cancelling",
        TaskStatus.FAILED: "failed",
    }
    tasks = {status: make_task(session, project, status=status) for status in states}
    elsewhere = make_task(session, make_project(session))
    served = make_task(session, project, type=TaskType.INFERENCE)
    deployment = make_deployment(
        session, project, status=DeploymentStatus.STARTING, task_id=served.id
    )
    me = api(owner)
    answer = change(me, project, "archived")
    assert (answer.status_code, answer.json()["status"]) == (200, "archived")
    for status, after in states.items():
        session.refresh(tasks[status])
        assert tasks[status].status == after
    for row in (elsewhere, served, deployment):
        session.refresh(row)
    assert (elsewhere.status, served.status, deployment.status) == (
        "pending", "cancelled", "stopped"
    )  # fmt: skip
    rows = session.scalars(
        select(AuditLog.action).where(AuditLog.resource_id == str(project.uuid))
    ).all()
    assert rows.count("project:archived") == 1
    assert "project:updated" not in rows
    assert me.get(f"deployments/{deployment.uuid}").status_code == 200
    assert me.post(f"deployments/{deployment.uuid}/start").json()["code"] == "project.archived"
    back = change(me, project, "active")
    assert (back.status_code, back.json()["status"]) == (200, "active")
    session.refresh(deployment)
    assert deployment.status == "stopped"


def test_archiving_twice_is_no_error(
    session: Session, api: Act, owner: User, project: Project
) -> None:
    me = api(owner)
    for status in ("archived", "archived", "active", "active"):
        assert set_status_by_route(me, project, status).status_code == 200
    rows = session.scalars(
        select(AuditLog.action).where(AuditLog.resource_id == str(project.uuid))
    ).all()
    assert (rows.count("project:archived"), rows.count("project:unarchived")) == (1, 1)


def test_archiving_needs_all_permissions(session: Session, api: Act, project: Project) -> None:
    developer = api(make_member(session, project, "developer"))
    for change in (set_status_by_route, set_status_by_patch):
        refused = change(developer, project, "archived")
        assert (refused.status_code, refused.json()["permission"]) == (403, "*")
    assert set_status_by_route(
        api(make_member(session, project, "admin")), project, "archived"
    ).is_success


def test_archived_project_and_its_bin_can_be_read(
    session: Session, api: Act, owner: User, project: Project
) -> None:
    dataset, model = make_dataset(session, project), make_model(session, project)
    me = api(owner)
    me.delete(f"datasets/{dataset.uuid}")
    set_status_by_route(me, project, "archived")
    for path in (f"models/{model.uuid}", f"projects/{project.uuid}/bin"):
        assert me.get(path).status_code == 200
    restored = me.post(f"projects/{project.uuid}/bin/{dataset.uuid}/restore")
    assert restored.json()["code"] == "project.archived"
    assert me.delete(f"models/{model.uuid}").json()["code"] == "project.archived"


class TestTaskOfArchivedProject:
    """Tests of a task that is submitted or claimed while its project is archived or deleted."""

    @pytest.fixture
    def worker(self, session: Session) -> int:
        found = workers.register(session, "w", ("late",), workers.Capacity(4, 8192, (), ()))
        commit(session)
        return found

    @pytest.mark.parametrize("status", ["archived", "deleted"])
    def test_task_is_not_claimed_and_the_reaper_ends_it(
        self, session: Session, project: Project, worker: int, status: str
    ) -> None:
        project.status = status
        session.commit()
        waiting = make_task(session, project, scheduling={"queue": "late"})
        running = make_task(session, project, status=TaskStatus.RUNNING)
        assert attempts.claim_next(session, worker, ("late",)) is None
        session.rollback()
        Reaper(60).run_round()
        session.expire_all()
        assert session.get_one(Task, waiting.id).status == "cancelled"
        assert session.get_one(Task, running.id).status == "cancelling"
