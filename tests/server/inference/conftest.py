"""Fixtures for a project with a tuned model, and a worker controlled by tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_model,
    make_project,
    number,
)
from tests.server.experiments.manual_worker import ManualWorker

Act = Callable[[User | None], Api]


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def owner(session: Session, project: Project) -> User:
    return session.get_one(User, project.owner_id)


@pytest.fixture
def mine(api: Act, owner: User) -> Api:
    return api(owner)


@pytest.fixture
def files(session: Session, tmp_path: Any) -> list[StoredFile]:
    return [make_blob(session, b"weights", "weights/model.safetensors", tmp_path)]


@pytest.fixture
def tuned(session: Session, project: Project, files: list[StoredFile]) -> Model:
    base = make_model(session, None, files=files)
    return make_model(session, project, files=files, base_model_id=base.id)


@pytest.fixture
def manual_worker(client: Any) -> ManualWorker:
    return ManualWorker(f"queue{number()}")


@pytest.fixture
def deploy(
    mine: Api, project: Project, tuned: Model, manual_worker: ManualWorker
) -> Callable[..., Any]:
    """Return a function that creates a deployment over HTTP.

    Only ``manual_worker`` claims the deployment's tasks.
    """

    def make(**body: Any) -> Any:
        body = {
            "name": f"d{number()}",
            "model": str(tuned.uuid),
            "queue": manual_worker.queue,
            **body,
        }
        return mine.post(f"projects/{project.uuid}/deployments", json=body)

    return make


@pytest.fixture
def deployment(session: Session, deploy: Callable[..., Any]) -> Deployment:
    uuid = deploy().json()["uuid"]
    return session.scalars(select(Deployment).where(Deployment.uuid == uuid)).one()


def actions(session: Session, uuid: UUID) -> list[str]:
    """Return the actions in a deployment's audit entries, oldest first."""
    statement = select(AuditLog.action).where(AuditLog.resource_id == str(uuid))
    return list(session.scalars(statement.order_by(AuditLog.id)))


def notes(session: Session, user: User) -> list[str]:
    """Return the types of the notifications in a user's inbox."""
    statement = select(Notification.type).where(Notification.user_id == user.id)
    return list(session.scalars(statement.order_by(Notification.id)))
