"""Changes the order of waiting tasks: their priority, and their place within their project."""

from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core import audit
from aiplatform.server.core.broker import wake
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.errors import NotInSameQueue, TaskNotWaiting
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.rules import MOVABLE, level
from aiplatform.server.queue.service.queue import add_event, lock

A_MOMENT = timedelta(milliseconds=10)
LEAST_GAP = timedelta(microseconds=1)


def _lock_waiting(session: Session, task_id: int) -> Task:
    task = lock(session, task_id)
    if TaskStatus(task.status) not in MOVABLE:
        raise TaskNotWaiting(task_status=task.status)
    return task


def set_priority(session: Session, context: ProjectContext, task: Task, priority: int) -> Task:
    """Give a waiting task another priority.

    Raises:
        TaskNotWaiting: when it runs or has ended.
        PriorityTooHigh: when it is raised above the project's limit.
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
    """Put a task right before ``other``, or else before all tasks of its project in its queue.

    It gets the priority of the other task, and an age just greater. So only the tasks of one
    project change places; other projects lose nothing.

    Raises:
        TaskNotWaiting: when one of the two does not wait.
        NotInSameQueue: when they are not of one project and queue.
        PriorityTooHigh: when the other's priority is above the project's current limit.
    """
    first = other.id if other is not None else _first_of(session, context, task)
    if first is None or first == task.id:
        return _lock_waiting(session, task.id)
    # Locked in the order of ids, so that two moves of the same tasks can't deadlock.
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
    """Return an age between ``target`` and the task right before it in its line."""
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
        # Many moves have used up the gap. All tasks before the target get older to make room.
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
