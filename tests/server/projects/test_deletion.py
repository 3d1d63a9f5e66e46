"""Tests of deleting projects: the content deleted with them, and the permissions required."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import User
from aiplatform.server.projects.errors import NotAMember
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.service import projects as service
from tests.factories import (
    make_dataset,
    make_deployment,
    make_experiment,
    make_member,
    make_model,
    make_project,
    make_task,
    make_user,
    make_version,
)

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


class TestDelete:
    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, UUID]]:
        calls: list[tuple[int, UUID]] = []
        monkeypatch.setattr(service, "_on_delete", [])
        service.on_delete(lambda session, actor, id_, uuid: calls.append((id_, uuid)))
        return calls

    def test_deletion_and_purge_remove_all_content(
        self, session: Session, api: Act, calls: list[tuple[int, UUID]]
    ) -> None:
        project = make_project(session)
        owner = project.owner_id
        dataset = make_dataset(session, project)
        parent = make_version(session, dataset)
        make_version(session, dataset, version="v2", parent_version_id=parent.id)
        experiment = make_experiment(session, project)
        model = make_model(session, project)
        task = make_task(session, project, status=TaskStatus.COMPLETED, model_id=model.id)
        task.experiment_id = experiment.id
        make_deployment(session, project, model)
        make_member(session, project, "viewer")
        session.commit()
        me = api(session.get_one(User, owner))
        assert me.delete(f"projects/{project.uuid}").status_code == 204
        assert calls == [(project.id, project.uuid)]
        assert me.get(f"projects/{project.uuid}").status_code == 404
        tables = ("datasets", "experiments", "models", "deployments", "project_permissions")
        for count in (1, 0):
            for table in tables:
                left = session.scalar(
                    text(f"SELECT count(*) FROM {table} WHERE project_id = :id"), {"id": project.id}
                )
                assert left == count, table
            if count:
                assert me.delete(f"bin/{project.uuid}").status_code == 204
                session.commit()
        session.refresh(task)
        assert (task.project_id, task.model_id, task.experiment_id) == (None, None, None)
        row = session.scalars(
            select(AuditLog).where(AuditLog.action == "project:deleted").order_by(AuditLog.id)
        ).all()[-1]
        assert (row.resource_id, row.details["name"]) == (str(project.uuid), project.name)

    def test_deletion_needs_all_permissions(self, session: Session, api: Act) -> None:
        project = make_project(session)
        path = f"projects/{project.uuid}"
        for role, missing in (("viewer", "projects:write"), ("developer", "*")):
            answer = api(make_member(session, project, role)).delete(path)
            assert answer.status_code == 403
            assert answer.json()["permission"] == missing
        assert api(make_member(session, project, "admin")).delete(path).status_code == 204

    def test_failing_handler_keeps_the_project(
        self, session: Session, api: Act, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise NotAMember

        monkeypatch.setattr(service, "_on_delete", [refuse])
        owner = make_user(session)
        project = make_project(session, owner)
        answer = api(owner).delete(f"projects/{project.uuid}", headers={"Accept-Language": "zh"})
        assert answer.status_code == 409
        assert answer.json()["detail"] == NotAMember().text("zh")
        session.expire_all()
        assert session.get(Project, project.id) is not None

    def test_handler_registered_twice_is_called_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "_on_delete", [])

        def handler(*_: Any) -> None:
            raise AssertionError

        service.on_delete(handler)
        service.on_delete(handler)
        assert service._on_delete == [handler]

    def test_concurrent_deletions_succeed_once(
        self, session: Session, api: Act, calls: list[Any]
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        me = api(owner)
        with ThreadPoolExecutor(4) as pool:
            codes = list(
                pool.map(lambda _: me.delete(f"projects/{project.uuid}").status_code, range(4))
            )
        assert sorted(codes) == [204, 404, 404, 404]
        assert len(calls) == 1

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (TaskStatus.PENDING, TaskStatus.CANCELLED),
            (TaskStatus.PAUSED, TaskStatus.CANCELLED),
            (TaskStatus.RUNNING, TaskStatus.CANCELLING),
            (TaskStatus.COMPLETED, TaskStatus.COMPLETED),
        ],
    )
    def test_deletion_stops_the_projects_tasks(
        self, session: Session, api: Act, before: TaskStatus, after: TaskStatus
    ) -> None:
        """Check the handler that the application registers at startup."""
        owner = make_user(session)
        project = make_project(session, owner)
        task = make_task(session, project, status=before)
        other = make_task(session, make_project(session), status=before)
        assert api(owner).delete(f"projects/{project.uuid}").status_code == 204
        for row in (task, other):
            session.refresh(row)
        assert (task.status, task.project_id) == (after, project.id)
        assert other.status == before
