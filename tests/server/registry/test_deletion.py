"""Tests of deleting models, including during their import."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.storage import BlobRef
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service import queue
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.registry import service
from aiplatform.server.registry.models import Model, ModelDetails
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_context,
    make_model,
    make_task,
)

Create = Callable[..., Any]


class TestDeletion:
    def test_delete_removes_files_after_purge_and_is_audited(
        self, session: Session, project: Project, owner_api: Api, home: Any
    ) -> None:
        file = make_blob(session, b"to be deleted", "README.md", home)
        model = make_model(session, project, files=[file])
        uuid = str(model.uuid)
        assert owner_api.delete(f"models/{uuid}").status_code == 204
        assert owner_api.get(f"models/{uuid}").status_code == 404
        left = select(BlobRef).where(BlobRef.sha256 == file.sha256)
        assert len(session.scalars(left).all()) == 1
        assert owner_api.delete(f"projects/{project.uuid}/bin/{uuid}").status_code == 204
        assert session.scalars(left).all() == []
        audited = session.scalars(select(AuditLog).where(AuditLog.action == "model:deleted")).all()
        assert audited[-1].details["name"] == model.name

    def test_delete_of_deployed_model_is_refused(
        self, session: Session, project: Project, owner_api: Api
    ) -> None:
        model = make_model(session, project)
        task = make_task(session, project, type=TaskType.INFERENCE, status=TaskStatus.RUNNING)
        session.add(TaskInput(task_id=task.id, role="model", model_id=model.id, label="x"))
        session.commit()
        answer = owner_api.delete(f"models/{model.uuid}")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.in_use")
        assert task.name in answer.json()["users"]

    def test_delete_of_base_of_tuned_model_is_refused(
        self, session: Session, project: Project, owner_api: Api
    ) -> None:
        base = make_model(session, project)
        tuned = make_model(session, project, base_model_id=base.id)
        assert owner_api.delete(f"models/{base.uuid}").json()["users"] == f"{tuned.name}@1"
        assert owner_api.delete(f"models/{tuned.uuid}").status_code == 204
        assert owner_api.delete(f"models/{base.uuid}").status_code == 204

    def test_delete_cancels_the_models_import(
        self, create: Create, owner_api: Api, session: Session
    ) -> None:
        created = create(source={"kind": "package", "package": "x"}).json()
        assert owner_api.delete(f"models/{created['uuid']}").status_code == 204
        task = session.scalars(select(Task).where(Task.uuid == created["task"])).one()
        assert task.status == TaskStatus.CANCELLED

    def test_import_that_ends_after_deletion_completes(
        self, create: Create, owner_api: Api, session: Session, end: Callable[..., Task]
    ) -> None:
        created = create(source={"kind": "package", "package": "x"}).json()
        row = session.scalars(select(Model).where(Model.uuid == created["uuid"])).one()
        session.delete(session.get_one(ModelDetails, row.id))
        session.flush()
        session.delete(row)
        session.commit()
        files = {"weights/a": b"x"}
        task = end(created["task"], TaskStatus.COMPLETED, files=files, result={})
        assert task.status == TaskStatus.COMPLETED

    def test_delete_while_import_ends_does_not_deadlock(
        self, create: Create, session: Session, project: Project, owner: User, home: Any
    ) -> None:
        file = make_blob(session, b"raced", "weights/a", home)
        pairs = []
        for _ in range(8):
            created = create(source={"kind": "package", "package": "x"}).json()
            model = session.scalars(select(Model).where(Model.uuid == created["uuid"])).one()
            task = session.scalars(select(Task).where(Task.uuid == created["task"])).one()
            queue.change_status(session, task, TaskStatus.RUNNING)
            commit(session)
            pairs.append((model.id, task.id))
        actor = make_context(session, project).actor

        def delete(model_id: int) -> None:
            with transaction() as own:
                service.delete_model(own, actor, model_id, project=project.uuid)

        def finish(task_id: int) -> None:
            with transaction() as own:
                outcome = Outcome(TaskStatus.COMPLETED, files=[file])
                queue.finish(own, queue.lock(own, task_id), outcome)

        with ThreadPoolExecutor(4) as pool:
            both = [
                pool.submit(call, item)
                for pair in pairs
                for call, item in zip((delete, finish), pair, strict=True)
            ]
            for future in both:
                future.result(timeout=30)
        session.expire_all()
        assert session.scalars(select(Model).where(Model.project_id == project.id)).all() == []
