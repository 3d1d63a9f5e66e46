"""Submitting and cancelling, and the one door through which a task's status changes."""

import contextlib
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.specs import TaskSpec
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.broker import wake
from aiplatform.server.core.events import notify
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.service import notify_user
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks import queries
from aiplatform.server.tasks.errors import TaskFinished, WrongTaskType
from aiplatform.server.tasks.models import Task, TaskEvent, TaskInput, TaskScheduling
from aiplatform.server.tasks.rules import may_become
from aiplatform.server.tasks.service.kinds import InputRef, Outcome, kind_of

ENDINGS = {
    TaskStatus.COMPLETED: AuditAction.TASK_COMPLETED,
    TaskStatus.FAILED: AuditAction.TASK_FAILED,
    TaskStatus.CANCELLED: AuditAction.TASK_CANCELLED,
}


def topic(task: Task) -> str:
    """What watchers of the task listen for."""
    return f"task:{task.uuid}"


def add_event(session: Session, task: Task, kind: str, **data: Any) -> None:
    """A line in the task's timeline; watchers are told after the commit."""
    session.add(TaskEvent(task_id=task.id, kind=kind, data=data))
    notify(session, topic(task))


def submit(
    session: Session,
    context: ProjectContext,
    spec: TaskSpec,
    *,
    name: str,
    priority: int = 5,
    experiment_id: int | None = None,
    model_id: int | None = None,
    inputs: list[InputRef] | None = None,
    not_before: datetime | None = None,
) -> Task:
    """Queue a task whose references the caller has checked. A worker is woken after the commit."""
    return enqueue(
        session,
        spec,
        actor=context.actor,
        project_id=context.project_id,
        project_uuid=context.project_uuid,
        name=name,
        priority=priority,
        experiment_id=experiment_id,
        model_id=model_id,
        inputs=inputs,
        not_before=not_before,
    )


def submit_checked(
    session: Session, context: ProjectContext, spec: TaskSpec, *, name: str, priority: int
) -> Task:
    """Queue a task after its kind has checked and pinned what the spec refers to.

    Raises:
        WrongTaskType: for types that are started through a resource of their own.
        PermissionDenied: when the kind needs a permission that the caller lacks.
        NotFound: for references to what does not exist or is not theirs.
    """
    kind = kind_of(spec.type)
    if kind.started_through is not None:
        raise WrongTaskType(task_type=spec.type.value, resource=kind.started_through)
    if not context.may(kind.permission):
        raise PermissionDenied(permission=kind.permission.value)
    prepared = kind.prepare(session, context, spec)
    return submit(
        session,
        context,
        prepared.spec,
        name=name,
        priority=priority,
        experiment_id=prepared.experiment_id,
        model_id=prepared.model_id,
        inputs=prepared.inputs,
    )


def enqueue(
    session: Session,
    spec: TaskSpec,
    *,
    actor: Actor,
    project_id: int,
    project_uuid: UUID,
    name: str,
    priority: int = 5,
    experiment_id: int | None = None,
    model_id: int | None = None,
    inputs: list[InputRef] | None = None,
    not_before: datetime | None = None,
    author_id: int | None = None,
) -> Task:
    """:func:`submit` for the platform itself, which acts without a request's context."""
    task = Task(
        project_id=project_id,
        experiment_id=experiment_id,
        model_id=model_id,
        name=clean_text(name)[:255],
        type=spec.type.value,
        status=TaskStatus.PENDING.value,
        priority=priority,
        config=jsonable(spec),
        scheduling=TaskScheduling(
            queue=spec.queue,
            cpus=spec.resources.cpus,
            memory_mb=spec.resources.memory_mb,
            gpus=spec.resources.gpus,
            max_attempts=spec.max_attempts,
            not_before=not_before,
            created_by=actor.user_id if author_id is None else author_id,
        ),
    )
    session.add(task)
    session.flush()
    for item in inputs or []:
        session.add(
            TaskInput(
                task_id=task.id,
                role=item.role,
                label=item.label[:400],
                content_hash=item.content_hash,
                dataset_version_id=item.dataset_version_id,
                model_id=item.model_id,
            )
        )
    add_event(session, task, "submitted", priority=priority, queue=spec.queue)
    audit.record(
        session,
        actor,
        AuditAction.TASK_SUBMITTED,
        "task",
        task.uuid,
        project=project_uuid,
        type=task.type,
        name=task.name,
        inputs=[item.label for item in inputs or []],
    )
    session.flush()
    wake(session, spec.queue)
    return task


def change_status(session: Session, task: Task, status: TaskStatus) -> None:
    """The one door: every change of a task's status goes through here.

    Raises:
        TaskFinished: when the transition table has no such step.
    """
    if not may_become(TaskStatus(task.status), status):
        raise TaskFinished(task_status=task.status)
    task.status = status.value
    now = func.clock_timestamp()
    if status is TaskStatus.RUNNING and task.started_at is None:
        task.started_at = now
    if status.is_final:
        task.completed_at = now
    task.scheduling.updated_at = now
    session.flush()


def lock(session: Session, task_id: int) -> Task:
    """The task, locked and as it is now."""
    return session.scalars(
        select(Task)
        .where(Task.id == task_id)
        .with_for_update(of=Task)
        .execution_options(populate_existing=True)
    ).one()


def finish(session: Session, task: Task, outcome: Outcome, *, actor: Actor = audit.SYSTEM) -> None:
    """Bring a task to its final status and let its domain do what follows, in one transaction."""
    change_status(session, task, outcome.status)
    task.error_message = None if outcome.error is None else clean_text(outcome.error)[:10_000]
    task.scheduling.result = jsonable(outcome.result) or None
    if outcome.status is TaskStatus.COMPLETED:
        task.progress = 1.0
    project = queries.project_uuid(session, task)
    kind_of(task.type).finished(session, task, outcome)
    add_event(session, task, outcome.status.value, error=task.error_message)
    audit.record(
        session,
        actor,
        ENDINGS[outcome.status],
        "task",
        task.uuid,
        project=project,
        outcome="failure" if outcome.status is TaskStatus.FAILED else "success",
        type=task.type,
        name=task.name,
        attempt=task.scheduling.attempt,
        error=task.error_message,
    )
    _tell_author(session, task, outcome, project)
    session.flush()


def _tell_author(session: Session, task: Task, outcome: Outcome, project: UUID | None) -> None:
    if outcome.status is TaskStatus.CANCELLED:
        return
    author = session.get(User, task.scheduling.created_by) if task.scheduling.created_by else None
    if author is None:
        return
    done = outcome.status is TaskStatus.COMPLETED
    if done and kind_of(task.type).announces_success:
        return
    notify_user(
        session,
        author.id,
        f"task_{outcome.status.value}",
        f"{task.name}: {'completed' if done else 'failed'}",
        task.error_message or f"The {task.type} task has completed.",
        project=project,
        task=task.uuid,
        task_type=task.type,
    )


def request_cancel(
    session: Session, actor: Actor, task: Task, *, project: UUID | None = None
) -> Task:
    """Ask for a stop. A waiting task ends at once; a running one is asked to checkpoint and end.

    Raises:
        TaskFinished: when it has ended already.
    """
    task = lock(session, task.id)
    current = TaskStatus(task.status)
    if current.is_final:
        raise TaskFinished(task_status=task.status)
    if current is TaskStatus.CANCELLING:
        return task
    if current is TaskStatus.RUNNING:
        change_status(session, task, TaskStatus.CANCELLING)
        add_event(session, task, "cancel_requested", by=actor.username)
        audit.record(
            session, actor, AuditAction.TASK_CANCEL_REQUESTED, "task", task.uuid, project=project
        )
    else:
        finish(session, task, Outcome(TaskStatus.CANCELLED), actor=actor)
    session.flush()
    return task


def cancel_project_tasks(session: Session, actor: Actor, project_id: int, project: UUID) -> None:
    """Stop all of a project's tasks, since deleting it would orphan them.

    Running ones hear of it at their next write; a task without a project is never claimed.
    """
    unfinished = [status.value for status in TaskStatus if not status.is_final]
    for task in session.scalars(
        select(Task).where(Task.project_id == project_id, Task.status.in_(unfinished))
    ).all():
        # One that ends in this very moment needs no cancelling.
        with contextlib.suppress(TaskFinished):
            request_cancel(session, actor, task, project=project)
