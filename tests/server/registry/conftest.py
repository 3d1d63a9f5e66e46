"""Fixtures for a project whose owner imports models."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.database import commit
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import queue
from aiplatform.server.queue.service.kinds import Outcome
from tests.conftest import Api
from tests.factories import make_blob, make_project, make_user, number


@pytest.fixture
def owner(session: Session) -> User:
    return make_user(session)


@pytest.fixture
def project(session: Session, owner: User) -> Project:
    return make_project(session, owner)


@pytest.fixture
def owner_api(api: Callable[[User | None], Api], owner: User) -> Api:
    """Return an API client signed in as the project's owner."""
    return api(owner)


@pytest.fixture
def create(owner_api: Api, project: Project) -> Callable[..., Any]:
    """Return a function that creates a model, by default for upload, and returns the response."""

    def create(**body: Any) -> Any:
        body.setdefault("name", f"model-{number()}")
        body.setdefault("source", {"kind": "upload"})
        return owner_api.post(f"projects/{project.uuid}/models", json=body)

    return create


@pytest.fixture
def model(create: Callable[..., Any]) -> dict[str, Any]:
    """Create a model that is waiting for its files."""
    created: dict[str, Any] = create().json()
    return created


@pytest.fixture
def end(session: Session, home: Any) -> Callable[..., Task]:
    """Return a function that ends a task; ``files`` maps paths in its output to file contents."""

    def end(
        uuid: str, status: TaskStatus, *, files: dict[str, bytes] | None = None, **outcome: Any
    ) -> Task:
        session.rollback()
        task = session.scalars(select(Task).where(Task.uuid == uuid)).one()
        kept = [make_blob(session, content, path, home) for path, content in (files or {}).items()]
        queue.change_status(session, task, TaskStatus.RUNNING)
        queue.kind_of(task.type).started(session, task.id)
        queue.finish(session, task, Outcome(status, files=kept, **outcome))
        commit(session)
        return task

    return end
