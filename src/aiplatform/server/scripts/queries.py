"""SELECT statements for code bundles and for tasks that run them."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.scripts.models import CodeBundle

UNFINISHED = [status.value for status in TaskStatus if not status.is_final]


def list_bundles(context: ProjectContext) -> Any:
    """Return a statement for the project's bundles, each with the name of its author."""
    return (
        select(CodeBundle, User.username)
        .outerjoin(User, User.id == CodeBundle.created_by)
        .where(CodeBundle.project_id == context.project_id)
    )


def get_bundle(session: Session, context: ProjectContext, uuid: UUID) -> tuple[CodeBundle, Any]:
    """Return a bundle of the project and the name of its author.

    Raises:
        NotFound: when the project has no such bundle.
    """
    row = session.execute(list_bundles(context).where(CodeBundle.uuid == uuid)).one_or_none()
    if row is None:
        raise NotFound(resource="code bundle")
    return row[0], row[1]


def lock_bundle(session: Session, context: ProjectContext, uuid: UUID) -> CodeBundle:
    """Lock a bundle of the project against deletion, and return it.

    Raises:
        NotFound: when the project has no such bundle.
    """
    found = session.scalar(
        select(CodeBundle)
        .where(CodeBundle.uuid == uuid, CodeBundle.project_id == context.project_id)
        .with_for_update()
    )
    if found is None:
        raise NotFound(resource="code bundle")
    return found


def unfinished_runs(session: Session, context: ProjectContext, uuid: UUID) -> Sequence[str]:
    """Return the name of at most one unfinished task that runs the bundle, in a list."""
    return session.scalars(
        select(Task.name)
        .where(
            Task.project_id == context.project_id,
            Task.type == TaskType.SCRIPT.value,
            Task.status.in_(UNFINISHED),
            Task.config["bundle"].astext == str(uuid),
        )
        .limit(1)
    ).all()


def inputs_of(session: Session, task: Task) -> Sequence[TaskInput]:
    """Return the inputs of a task, sorted by role."""
    rows = select(TaskInput).where(TaskInput.task_id == task.id)
    return session.scalars(rows.order_by(TaskInput.role)).all()


def bundle_of(session: Session, task: Task) -> CodeBundle | None:
    """Return the bundle with the code of a script task; None if it was deleted."""
    uuid = (task.config or {}).get("bundle")
    return session.scalar(
        select(CodeBundle).where(CodeBundle.uuid == uuid, CodeBundle.project_id == task.project_id)
    )
