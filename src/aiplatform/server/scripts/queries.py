"""Named selects of code bundles."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.scripts.models import CodeBundle
from aiplatform.server.tasks.models import Task, TaskInput

UNFINISHED = [status.value for status in TaskStatus if not status.is_final]


def bundles(context: ProjectContext) -> Any:
    """The project's bundles, each with the name of who uploaded it."""
    return (
        select(CodeBundle, User.username)
        .outerjoin(User, User.id == CodeBundle.created_by)
        .where(CodeBundle.project_id == context.project_id)
    )


def get_bundle(session: Session, context: ProjectContext, uuid: UUID) -> tuple[CodeBundle, Any]:
    """One of them.

    Raises:
        NotFound: when the project has no such bundle.
    """
    row = session.execute(bundles(context).where(CodeBundle.uuid == uuid)).one_or_none()
    if row is None:
        raise NotFound(resource="code bundle")
    return row[0], row[1]


def lock_bundle(session: Session, context: ProjectContext, uuid: UUID) -> CodeBundle:
    """One of them, kept from being deleted until the transaction ends.

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
    """Names of tasks that run the bundle or will."""
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
    """What the task reads, by role."""
    rows = select(TaskInput).where(TaskInput.task_id == task.id)
    return session.scalars(rows.order_by(TaskInput.role)).all()


def bundle_of(session: Session, task: Task) -> CodeBundle | None:
    """The code that a task runs, unless it was deleted."""
    uuid = (task.config or {}).get("bundle")
    return session.scalar(
        select(CodeBundle).where(CodeBundle.uuid == uuid, CodeBundle.project_id == task.project_id)
    )
