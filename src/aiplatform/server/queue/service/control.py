"""Pausing, resuming and retrying tasks, and changing their priority and queue position."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.references import FromTask
from aiplatform.protocol.specs import TaskSpec, source_training
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.broker import wake
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import (
    NotInSameQueue,
    NotPausable,
    NotRetriable,
    TaskFinished,
    TaskNotWaiting,
)
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.rules import MOVABLE, level
from aiplatform.server.queue.service import dependencies
from aiplatform.server.queue.service.kinds import InputRef, Prepared, kind_of
from aiplatform.server.queue.service.queue import add_event, change_status, lock, submit, task_specs


def request_pause(session: Session, actor: Actor, task: Task, *, project: UUID) -> Task:
    """Request a pause. A waiting task pauses immediately; a running one writes a checkpoint first.

    Requesting a pause twice is not an error. The attempt gets the request with its next write.

    Raises:
        TaskFinished: the task has ended or is being cancelled.
        NotPausable: the task is a deployment or an external run.
    """
    task = lock(session, task.id)
    status = TaskStatus(task.status)
    kind = kind_of(task.type)
    if kind.serves or kind.external:
        raise NotPausable(task_type=task.type)
    if status.is_final or status is TaskStatus.CANCELLING:
        raise TaskFinished(task_status=task.status)
    if status is TaskStatus.PAUSED:
        return task
    if status is TaskStatus.PENDING:
        change_status(session, task, TaskStatus.PAUSED)
        add_event(session, task, "paused", by=actor.username)
    elif task.scheduling.stop_wanted != "pause":
        task.scheduling.stop_wanted = "pause"
        add_event(session, task, "pause_requested", by=actor.username)
    else:
        return task
    audit.record(session, actor, AuditAction.TASK_PAUSED, "task", task.uuid, project=project)
    session.flush()
    return task


def resume(session: Session, actor: Actor, task: Task, *, project: UUID) -> Task:
    """Put a paused task back into the queue.

    It keeps its position, which depends on its age, and resumes from its checkpoint.

    A task that was asked to pause but is still running continues, or starts again once it has
    stopped.

    Raises:
        TaskFinished: the task has ended.
    """
    task = lock(session, task.id)
    status = TaskStatus(task.status)
    if status.is_final or status is TaskStatus.CANCELLING:
        raise TaskFinished(task_status=task.status)
    if status is TaskStatus.PAUSED:
        change_status(session, task, TaskStatus.PENDING)
    elif task.scheduling.stop_wanted == "pause":
        task.scheduling.stop_wanted = None
    else:
        return task
    add_event(session, task, "resumed", by=actor.username)
    audit.record(session, actor, AuditAction.TASK_RESUMED, "task", task.uuid, project=project)
    session.flush()
    wake(session, task.scheduling.queue)
    return task


def retry(
    session: Session, context: ProjectContext, task: Task, *, override_gate: str | None = None
) -> Task:
    """Queue a new task with the spec and inputs of a task that failed or was cancelled.

    The old task keeps its status, and the new one refers to it. The new task waits for the same
    tasks as the old one, or for their newest retries. If its priority is above the project's
    current limit, it is lowered to the limit.

    Raises:
        NotRetriable: the task has not failed, has already been retried, or is started through
            another resource.
        DependencyFailed: a task that must succeed has failed and was not retried.
        NoWorkerCanRun: see :func:`queue.submit`.
        Problem: see :meth:`TaskKind.check_retry`.
    """
    needs = dependencies.required_by_retry(session, task.id)
    task = lock(session, task.id)
    if TaskStatus(task.status) not in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
        raise NotRetriable(
            reason=f"its status is {task.status}", reason_zh=f"任务状态为 {task.status}"
        )
    kind = kind_of(task.type)
    if not kind.retriable:
        raise NotRetriable(
            reason=f"tasks of type {task.type} are started through {kind.started_through}",
            reason_zh=f"类型为 {task.type} 的任务通过 {kind.started_through} 启动",
        )
    retried = session.scalar(
        select(Task.uuid)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(TaskScheduling.retry_of == task.id)
    )
    if retried is not None:
        raise NotRetriable(
            reason=f"it was retried as {retried}", reason_zh=f"已作为 {retried} 重试", task=retried
        )
    kind.check_retry(session, context, task, override_gate=override_gate)
    again = _prepare_retry(session, context, task)
    limit = quotas.quota_of(session, context.project_id).max_priority
    new = submit(
        session,
        context,
        again.spec,
        name=task.name,
        priority=min(task.priority, limit),
        experiment_id=again.experiment_id,
        model_id=again.model_id,
        inputs=again.inputs,
        after=needs,
    )
    new.scheduling.retry_of = task.id
    kind.copy_to_retry(session, task, new)
    add_event(session, task, "retried", as_task=str(new.uuid), by=context.actor.username)
    audit.record(
        session,
        context.actor,
        AuditAction.TASK_RETRIED,
        "task",
        task.uuid,
        project=context.project_uuid,
        as_task=new.uuid,
    )
    session.flush()
    return new


def _prepare_retry(session: Session, context: ProjectContext, task: Task) -> Prepared:
    """Return the old task's spec with its pinned references.

    If the task reads the model of a training task, that model was not known at submission and so is
    not pinned. The retry then reads the model of the training task's newest retry.
    """
    spec: TaskSpec = task_specs.validate_python(task.config)
    maker = source_training(spec)
    if maker is not None:
        meant = FromTask(from_task=dependencies.last_retry(session, maker))
        spec = spec.model_copy(update={"model": meant})
        return kind_of(task.type).prepare(session, context, spec)
    inputs = [
        InputRef(row.role, row.label, row.content_hash, row.dataset_version_id, row.model_id)
        for row in queries.inputs_of(session, task.id)
    ]
    return Prepared(spec, inputs, task.experiment_id, task.model_id)


A_MOMENT = timedelta(milliseconds=10)
LEAST_GAP = timedelta(microseconds=1)


def _lock_waiting(session: Session, task_id: int) -> Task:
    task = lock(session, task_id)
    if TaskStatus(task.status) not in MOVABLE:
        raise TaskNotWaiting(task_status=task.status)
    return task


def set_priority(session: Session, context: ProjectContext, task: Task, priority: int) -> Task:
    """Change the priority of a waiting task.

    Raises:
        TaskNotWaiting: the task is running or has ended.
        PriorityTooHigh: the priority is raised above the project's limit.
    """
    task = _lock_waiting(session, task.id)
    if priority == task.priority:
        return task
    if priority > task.priority:
        quotas.require_priority(session, context.project_id, priority)
    before, task.priority = task.priority, priority
    task.scheduling.updated_at = func.clock_timestamp()
    add_event(session, task, "priority", before=before, now=priority, by=context.actor.username)
    audit.record(
        session,
        context.actor,
        AuditAction.TASK_PRIORITY_CHANGED,
        "task",
        task.uuid,
        project=context.project_uuid,
        before=before,
        now=priority,
    )
    session.flush()
    wake(session, task.scheduling.queue)
    return task


def move_before(
    session: Session, context: ProjectContext, task: Task, other: Task | None = None
) -> Task:
    """Move a task directly before ``other``, or before all of its project's tasks in its queue.

    The moved task gets the priority of the other task and a slightly earlier ``since``. Only this
    project's tasks change places; the order of other projects' tasks stays the same.

    Raises:
        TaskNotWaiting: one of the two tasks is not waiting.
        NotInSameQueue: the tasks are not in the same project and queue.
        PriorityTooHigh: the other task's priority is above the project's current limit.
    """
    first = other.id if other is not None else _first_of(session, context, task)
    if first is None or first == task.id:
        return _lock_waiting(session, task.id)
    # Lock the tasks in the order of their ids, so that two moves of the same tasks can't deadlock.
    locked = {task_id: _lock_waiting(session, task_id) for task_id in sorted((task.id, first))}
    task, target = locked[task.id], locked[first]
    if (target.project_id, target.scheduling.queue) != (task.project_id, task.scheduling.queue):
        raise NotInSameQueue
    if target.priority > task.priority:
        quotas.require_priority(session, context.project_id, target.priority)
    task.priority = target.priority
    task.scheduling.since = _age_before(session, task, target)
    task.scheduling.updated_at = func.clock_timestamp()
    add_event(session, task, "moved", before=str(target.uuid), by=context.actor.username)
    audit.record(
        session,
        context.actor,
        AuditAction.TASK_MOVED,
        "task",
        task.uuid,
        project=context.project_uuid,
        before=target.uuid,
    )
    session.flush()
    wake(session, task.scheduling.queue)
    return task


def _age_before(session: Session, task: Task, target: Task) -> datetime:
    """Return a ``since`` between that of ``target`` and that of the task directly before it.

    Only tasks of the same project, queue and priority are compared.
    """
    line = (
        TaskScheduling.queue == target.scheduling.queue,
        Task.project_id == target.project_id,
        Task.priority == target.priority,
        Task.status.in_([status.value for status in MOVABLE]),
        TaskScheduling.since <= target.scheduling.since,
        Task.id.not_in((task.id, target.id)),
    )
    after = target.scheduling.since
    before = session.scalar(
        select(func.max(TaskScheduling.since)).join(Task, Task.id == TaskScheduling.task_id)
        .where(*line)
    )  # fmt: skip
    if before is None:
        return after - A_MOMENT
    if after - before < 2 * LEAST_GAP:
        # Many moves have used up the gap. Make all tasks before the target older to make room.
        earlier = select(Task.id).join(TaskScheduling, TaskScheduling.task_id == Task.id)
        session.execute(
            update(TaskScheduling)
            .where(TaskScheduling.task_id.in_(earlier.where(*line)))
            .values(since=TaskScheduling.since - A_MOMENT)
            .execution_options(synchronize_session=False)
        )
        before -= A_MOMENT
    return before + (after - before) / 2


def _first_of(session: Session, context: ProjectContext, task: Task) -> int | None:
    """Return the id of the project's first task in the queue of ``task``."""
    now: datetime = session.execute(select(func.now())).scalar_one()
    heads = session.execute(
        select(Task.priority, TaskScheduling.since, Task.id)
        .ext(distinct_on(Task.priority))
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(
            Task.project_id == context.project_id,
            TaskScheduling.queue == task.scheduling.queue,
            Task.status == TaskStatus.PENDING.value,
        )
        .order_by(Task.priority, TaskScheduling.since, Task.id)
    ).all()
    order = [(-level(priority, since, now), since, task_id) for priority, since, task_id in heads]
    return min(order)[2] if order else None
