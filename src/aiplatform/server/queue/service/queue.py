"""Submission, cancellation and completion of tasks, and all changes to their status."""

import contextlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import DateTime, func, literal, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.references import After, permissions_to_read
from aiplatform.protocol.specs import TaskSpec, nodes_of
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import query_cache
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.events import notify
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import NoWorkerCanRun, TaskFinished, WrongTaskType
from aiplatform.server.queue.models import Task, TaskEvent, TaskScheduling
from aiplatform.server.queue.rules import Demand, may_become, shortfalls
from aiplatform.server.queue.service import dependencies
from aiplatform.server.queue.service.dependencies import Dependency
from aiplatform.server.queue.service.insertion import (
    NewTask,
    enqueue_all,
    new_task,
    require_fitting_queue,
)
from aiplatform.server.queue.service.kinds import InputRef, Outcome, kind_of, run_status_hooks
from aiplatform.server.secrets import service as secrets_service

task_specs: TypeAdapter[TaskSpec] = TypeAdapter(TaskSpec)
"""The validator for the spec in a task's ``config``."""

ENDINGS = {
    TaskStatus.COMPLETED: AuditAction.TASK_COMPLETED,
    TaskStatus.FAILED: AuditAction.TASK_FAILED,
    TaskStatus.CANCELLED: AuditAction.TASK_CANCELLED,
}


def topic(task: Task) -> str:
    """Return the channel on which the task's watchers are notified."""
    return f"task:{task.uuid}"


def add_event(session: Session, task: Task, kind: str, /, **data: Any) -> None:
    """Add an entry to the task's timeline; watchers are notified after the commit.

    The positional-only parameters allow any name for a field in ``data``.
    """
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
    after: Sequence[After] = (),
    by_platform: bool = False,
) -> Task:
    """Queue a task whose references are checked and pinned. A worker is woken after the commit.

    Args:
        session: the database session.
        context: the caller's access to the project.
        spec: the spec of the task.
        name: the name of the task.
        priority: the priority, 1 to 10.
        experiment_id: the experiment that the task belongs to.
        model_id: the model that the task refers to.
        inputs: the lineage of the task.
        not_before: the earliest start.
        after: tasks that must end first.
        by_platform: True if the platform itself starts the task and chose its inputs, as part of an
            action that the caller is allowed to take. The caller then needs no permission to read
            them.

    Raises:
        PermissionDenied: the caller may not read an input of the task or use a secret.
        NoWorkerCanRun: the task needs resources that no worker has.
        QuotaExceeded: the task needs more GPUs than the project may ever hold.
        PriorityTooHigh: its priority is above the project's limit.
        NoSuchSecret: it names a secret that neither the caller nor the project has.
        NotFound: a task in ``after`` does not belong to the project.
        DependencyFailed: a task that must succeed has already failed.
    """
    return enqueue_all(
        session,
        [
            _checked(
                session,
                context,
                spec,
                name=name,
                priority=priority,
                experiment_id=experiment_id,
                model_id=model_id,
                inputs=inputs,
                not_before=not_before,
                after=after,
                by_platform=by_platform,
            )
        ],
    )[0]


def require_readable(context: ProjectContext, spec: BaseModel) -> None:
    """Refuse a spec that names an input the caller may not read.

    A task passes its inputs to its author's code or to a model that its author gets. The caller
    therefore needs permission to read each input, and the scopes of an API key must include it,
    too.

    Raises:
        PermissionDenied: one of these permissions is missing; the error names it.
    """
    for permission in sorted(permissions_to_read(spec)):
        context.require(permission)


def _checked(
    session: Session,
    context: ProjectContext,
    spec: TaskSpec,
    *,
    priority: int,
    after: Sequence[After] = (),
    needs: Sequence[Dependency] | None = None,
    by_platform: bool = False,
    **facts: Any,
) -> NewTask:
    """Check a task and return it for :func:`submit`.

    ``needs`` are its locked dependencies; if omitted, they are locked here.
    """
    if not by_platform:
        require_readable(context, spec)
    require_possible(session, spec)
    quotas.require_priority(session, context.project_id, priority)
    if spec.resources.gpus:
        quotas.require_gpus(session, context.project_id, spec.resources.gpus * nodes_of(spec))
    if spec.secrets:
        secrets_service.require_usable(session, context, spec.secrets)
    if needs is None:
        needs = dependencies.lock_required_tasks(
            session, context.project_id, dependencies.required_tasks(spec, after)
        )
    return new_task(
        spec,
        actor=context.actor,
        project_id=context.project_id,
        project_uuid=context.project_uuid,
        priority=priority,
        needs=needs,
        personal_secrets=secrets_service.may_use_own(context),
        **facts,
    )


def require_possible(session: Session, spec: TaskSpec) -> None:
    """Refuse a task that no worker could run, even an idle one.

    All workers with a heartbeat in the last 7 days are considered.

    Raises:
        NoWorkerCanRun: there is no such worker; the error says what is missing.
    """
    require_fitting_queue(spec.type, spec.queue)
    resources = spec.resources
    if _is_plain(spec) and queries.any_worker_fits(
        session, spec.queue, spec.labels, cpus=resources.cpus, memory_mb=resources.memory_mb
    ):
        return
    demand = Demand(**resources.model_dump(), queue=spec.queue, labels=frozenset(spec.labels))
    missing = shortfalls(demand, queries.worker_offers(session).offers, nodes=nodes_of(spec))
    if missing:
        raise NoWorkerCanRun(
            missing="; ".join(shortfall.en for shortfall in missing),
            missing_zh="；".join(shortfall.zh for shortfall in missing),
        )


def _is_plain(spec: TaskSpec) -> bool:
    """Return True if :func:`queries.any_worker_fits` suffices: no GPUs, and only one node."""
    return not spec.resources.gpus and nodes_of(spec) == 1


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """The fields of a request that submits one task."""

    spec: TaskSpec
    name: str
    priority: int = 5
    after: Sequence[After] = ()


def submit_checked(session: Session, context: ProjectContext, wanted: TaskRequest) -> Task:
    """Check a task and queue it.

    Raises:
        Problem: see :func:`prepare_new_task`.
    """
    return queue_all(session, context, [wanted])[0]


def queue_all(
    session: Session, context: ProjectContext, wanted: Sequence[TaskRequest]
) -> list[Task]:
    """Check several tasks and queue them all, or none.

    Raises:
        Problem: see :func:`prepare_new_task`.
    """
    queued: list[Task] = []
    checked: list[NewTask] = []
    with query_cache(session):
        for one in wanted:
            checked.append(prepare_new_task(session, context, one))
            if kind_of(one.spec.type).looks_at_others:
                queued += enqueue_all(session, checked)
                checked = []
    return queued + enqueue_all(session, checked)


def prepare_new_task(session: Session, context: ProjectContext, wanted: TaskRequest) -> NewTask:
    """Return the task to queue, after its kind has checked and pinned its references.

    Raises:
        WrongTaskType: tasks of this type are started through another resource.
        PermissionDenied: the kind requires a permission that the caller lacks.
        NotFound: a referenced object does not exist or belongs to another project.
        Problem: see :func:`submit`.
    """
    kind = kind_of(wanted.spec.type)
    if kind.started_through is not None:
        raise WrongTaskType(task_type=wanted.spec.type.value, resource=kind.started_through)
    context.require(kind.permission)
    require_readable(context, wanted.spec)
    # Tasks are locked before models, as when a task ends, to prevent deadlocks.
    needs = dependencies.lock_required_tasks(
        session, context.project_id, dependencies.required_tasks(wanted.spec, wanted.after)
    )
    found = kind.prepare(session, context, wanted.spec)
    return _checked(
        session,
        context,
        found.spec,
        name=wanted.name,
        priority=wanted.priority,
        experiment_id=found.experiment_id,
        model_id=found.model_id,
        inputs=found.inputs,
        needs=needs,
    )


def change_status(
    session: Session,
    task: Task,
    status: TaskStatus,
    *,
    ended_at: datetime | None = None,
    given_up: bool = False,
) -> None:
    """Change the status if the transition table allows it. All status changes use this function.

    ``ended_at`` is the reported end; it is limited to the time between the start and now.

    Raises:
        TaskFinished: the transition table does not allow the change.
    """
    if not may_become(TaskStatus(task.status), status, given_up=given_up):
        raise TaskFinished(task_status=task.status)
    task.status = status.value
    now = func.clock_timestamp()
    if status is TaskStatus.RUNNING:
        # The claim has just written the scheduling row, so it is not written a second time.
        task.started_at = func.coalesce(Task.started_at, now)
    else:
        task.scheduling.updated_at = now
    if status.is_final and ended_at is not None:
        said = literal(ended_at, DateTime(timezone=True))
        task.completed_at = func.greatest(Task.started_at, func.least(said, now))
    elif status.is_final:
        task.completed_at = now
    session.flush()
    run_status_hooks(session, task)


def lock(session: Session, task_id: int) -> Task:
    """Lock a task and return its current row."""
    return session.scalars(
        select(Task)
        .where(Task.id == task_id)
        .with_for_update(of=Task)
        .execution_options(populate_existing=True)
    ).one()


def finish(
    session: Session,
    task: Task,
    outcome: Outcome,
    *,
    actor: Actor = audit.SYSTEM,
    ended_at: datetime | None = None,
    given_up: bool = False,
) -> None:
    """Set a task's final status and run its kind's handler, in one transaction.

    If the task does not succeed, tasks that wait for its success fail, and so do tasks that wait
    for those. Tasks that read the model it produced get a reference to this model. A run that was
    ``given_up`` already has a final status, and now gets the status that it reported. Tasks that
    failed because of it in the meantime remain failed.
    """
    _finish(session, task, outcome, actor, ended_at=ended_at, given_up=given_up)
    ended = deque([task])
    while ended:
        need = ended.popleft()
        reason = f"It waited for the success of {need.name}, which ended as {need.status}."
        dependents = dependencies.settle(session, need)
        failed = [(dependent, reason) for dependent in dependents.failing]
        for dependent in dependents.readers:
            try:
                kind_of(dependent.type).model_made(session, dependent, need)
            except Problem as problem:
                failed.append((dependent, str(problem)))
        for dependent, error in failed:
            _finish(session, dependent, Outcome(TaskStatus.FAILED, error=error), audit.SYSTEM)
            ended.append(dependent)


def _finish(
    session: Session,
    task: Task,
    outcome: Outcome,
    actor: Actor,
    *,
    ended_at: datetime | None = None,
    given_up: bool = False,
) -> None:
    change_status(session, task, outcome.status, ended_at=ended_at, given_up=given_up)
    task.error_message = None if outcome.error is None else clean_text(outcome.error)[:10_000]
    task.scheduling.result = jsonable(outcome.result) or None
    if outcome.status is TaskStatus.COMPLETED:
        task.progress = 1.0
    project = projects_queries.uuid_of(session, task.project_id)
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
    _notify_author(session, task, outcome, project)
    session.flush()


def _notify_author(session: Session, task: Task, outcome: Outcome, project: UUID | None) -> None:
    if outcome.status is TaskStatus.CANCELLED:
        return
    done = outcome.status is TaskStatus.COMPLETED
    # The domain notifies the author itself, but the project's webhooks are still called.
    told_already = done and kind_of(task.type).announces_success
    announce(
        session,
        NotificationType.TASK_COMPLETED if done else NotificationType.TASK_FAILED,
        to=[] if told_already else [task.scheduling.created_by],
        project=project,
        name=task.name,
        task=task.uuid,
        task_type=task.type,
        error=task.error_message,
    )


def request_cancel(
    session: Session, actor: Actor, task: Task, *, project: UUID | None = None
) -> Task:
    """Cancel a task: a waiting task ends immediately; a running one writes a checkpoint first.

    Raises:
        TaskFinished: the task has already ended.
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


def stop_author_tasks(session: Session, actor: Actor, author: User) -> dict[str, int]:
    """Cancel a user's queued and running tasks in every project.

    The returned dict has the number of cancelled tasks under the key ``tasks_stopped``.
    """
    unfinished = [
        status.value
        for status in TaskStatus
        if not status.is_final and status is not TaskStatus.CANCELLING
    ]
    stopped = 0
    for task in session.scalars(
        select(Task)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(TaskScheduling.created_by == author.id, Task.status.in_(unfinished))
        .order_by(Task.id)  # the order in which several tasks are always locked
    ).all():
        # A task that ends at this moment needs no cancellation.
        with contextlib.suppress(TaskFinished):
            request_cancel(
                session, actor, task, project=projects_queries.uuid_of(session, task.project_id)
            )
            stopped += 1
    return {"tasks_stopped": stopped}


def cancel_project_tasks(session: Session, actor: Actor, project_id: int, project: UUID) -> None:
    """Cancel all tasks of a project that is about to be deleted.

    Running tasks get the request with their next write; a task without a project is never claimed.
    """
    unfinished = [status.value for status in TaskStatus if not status.is_final]
    for task in session.scalars(
        select(Task)
        .where(Task.project_id == project_id, Task.status.in_(unfinished))
        .order_by(Task.id)  # the order in which several tasks are always locked
    ).all():
        # A task that ends at this moment needs no cancellation.
        with contextlib.suppress(TaskFinished):
            request_cancel(session, actor, task, project=project)
