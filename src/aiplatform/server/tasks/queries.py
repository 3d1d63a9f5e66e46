"""Named selects of tasks. What belongs to a project is selected with its context as evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, column, func, select, table, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.tasks.models import (
    LogChunk,
    MetricPoint,
    Task,
    TaskAttempt,
    TaskEvent,
    TaskInput,
    TaskLease,
    TaskScheduling,
    Worker,
)
from aiplatform.server.tasks.rules import CLAIMABLE

QUEUE_ORDER = (Task.priority.desc(), Task.created_at, Task.id)
"""``rules.queue_order`` in SQL."""

waits = and_(
    Task.status.in_([status.value for status in CLAIMABLE]),
    Task.project_id.is_not(None),
    func.coalesce(TaskScheduling.not_before, func.now()) <= func.now(),
)
"""Tasks that a worker may claim now."""


def get_task(session: Session, context: ProjectContext, uuid: UUID) -> Task:
    """One task of the project.

    Raises:
        NotFound: when the project has no such task.
    """
    task = session.scalar(
        select(Task).where(Task.uuid == uuid, Task.project_id == context.project_id)
    )
    if task is None:
        raise NotFound(resource="task")
    return task


def list_tasks(
    context: ProjectContext,
    *,
    status: TaskStatus | None = None,
    task_type: str | None = None,
    experiment_id: int | None = None,
) -> Select[Any]:
    """The project's tasks."""
    statement = select(Task).where(Task.project_id == context.project_id)
    if status is not None:
        statement = statement.where(Task.status == status.value)
    if task_type is not None:
        statement = statement.where(Task.type == task_type)
    if experiment_id is not None:
        statement = statement.where(Task.experiment_id == experiment_id)
    return statement


def next_claimable(
    session: Session, queues: Sequence[str], *, cpus: float, memory_mb: int, gpus: int
) -> Task | None:
    """The first waiting task in queue order that fits, locked; None when there is none."""
    return session.scalar(
        select(Task)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(
            waits,
            TaskScheduling.queue.in_(queues),
            TaskScheduling.cpus <= cpus,
            TaskScheduling.memory_mb <= memory_mb,
            TaskScheduling.gpus <= gpus,
        )
        .order_by(*QUEUE_ORDER)
        .limit(1)
        .with_for_update(skip_locked=True, of=Task)
        .execution_options(populate_existing=True)
    )


def position(session: Session, task: Task) -> int | None:
    """How many tasks of its queue order before ``task``, plus one; None when it does not wait."""
    if task.status not in CLAIMABLE:
        return None
    mine = tuple_(-Task.priority, Task.created_at, Task.id)
    ahead = session.scalar(
        select(func.count())
        .select_from(Task)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(
            waits,
            TaskScheduling.queue == task.scheduling.queue,
            mine < tuple_(-task.priority, task.created_at, task.id),
        )
    )
    return (ahead or 0) + 1


def attempts(session: Session, task_id: int) -> Sequence[TaskAttempt]:
    """Every start of the task, oldest first."""
    return session.scalars(
        select(TaskAttempt).where(TaskAttempt.task_id == task_id).order_by(TaskAttempt.attempt)
    ).all()


def project_uuid(session: Session, task: Task) -> UUID | None:
    """The uuid of the task's project."""
    return session.scalar(select(Project.uuid).where(Project.id == task.project_id))


def leases_of(session: Session, worker_id: int) -> Sequence[TaskLease]:
    """What a worker holds."""
    return session.scalars(select(TaskLease).where(TaskLease.worker_id == worker_id)).all()


def live_workers(session: Session, *, within_seconds: float = 30) -> Sequence[Worker]:
    """Workers whose heartbeat was seen lately, by the database's clock alone."""
    return session.scalars(
        select(Worker).where(
            Worker.stopped_at.is_(None),
            Worker.heartbeat_at > func.clock_timestamp() - text(f"interval '{within_seconds} s'"),
        )
    ).all()


def waiting_by_queue(session: Session) -> dict[str, int]:
    """How many tasks wait in each queue."""
    rows = session.execute(
        select(TaskScheduling.queue, func.count())
        .select_from(Task)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(waits)
        .group_by(TaskScheduling.queue)
    )
    return {queue: count for queue, count in rows}  # noqa: C416  (typed rows)


def settled_events(task_id: int, after: int, *, limit: int = 500) -> Select[Any]:
    """Events after a position, below the oldest transaction that still runs.

    Sequence order is not commit order: an event with a smaller id may become visible later. Below
    the snapshot's xmin nothing can.
    """
    settled = text("transaction_id < pg_snapshot_xmin(pg_current_snapshot())")
    return (
        select(TaskEvent)
        .where(TaskEvent.task_id == task_id, TaskEvent.id > after, settled)
        .order_by(TaskEvent.id)
        .limit(limit)
    )


def points_after(task_id: int, after: int, *, limit: int = 2000) -> Select[Any]:
    """Metric points after a position. One attempt writes at a time, so ids are commit order."""
    return (
        select(MetricPoint)
        .where(MetricPoint.task_id == task_id, MetricPoint.id > after)
        .order_by(MetricPoint.id)
        .limit(limit)
    )


def chunks_after(task_id: int, after: int, *, limit: int = 500) -> Select[Any]:
    """Log chunks after a position."""
    return (
        select(LogChunk)
        .where(LogChunk.task_id == task_id, LogChunk.seq > after)
        .order_by(LogChunk.seq)
        .limit(limit)
    )


def series(
    session: Session, task_id: int, keys: Sequence[str] | None, limit: int
) -> dict[str, list[list[float]]]:
    """Each key's last ``limit`` points as ``[step, value, seconds since the epoch]``.

    A step that a resumed attempt repeated counts once, with the later attempt's value.
    """
    latest = (
        select(
            MetricPoint.key,
            MetricPoint.step,
            MetricPoint.value,
            func.extract("epoch", MetricPoint.recorded_at).label("time"),
            func.row_number()
            .over(partition_by=MetricPoint.key, order_by=MetricPoint.step.desc())
            .label("place"),
        )
        .ext(distinct_on(MetricPoint.key, MetricPoint.step))
        .where(MetricPoint.task_id == task_id)
        .order_by(
            MetricPoint.key, MetricPoint.step, MetricPoint.attempt.desc(), MetricPoint.id.desc()
        )
    )
    if keys is not None:
        latest = latest.where(MetricPoint.key.in_(keys))
    points = latest.subquery()
    rows = session.execute(
        select(points.c.key, points.c.step, points.c.value, points.c.time)
        .where(points.c.place <= limit)
        .order_by(points.c.key, points.c.step)
    )
    found: dict[str, list[list[float]]] = {}
    for key, step, value, time in rows:
        found.setdefault(key, []).append([step, value, float(time)])
    return found


_experiments = table("experiments", column("id"), column("uuid"))
_models = table("models", column("id"), column("uuid"))
"""Tables of higher domains, of which only the uuids are shown here."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is shown of a task's neighbours."""

    project: UUID | None
    experiment: UUID | None
    model: UUID | None
    author_uuid: UUID | None
    author_name: str | None
    worker: str | None


def surroundings(session: Session, tasks: Sequence[Task]) -> dict[int, Surroundings]:
    """The neighbours of several tasks in one statement, by task id."""
    rows = session.execute(
        select(
            Task.id,
            Project.uuid,
            _experiments.c.uuid,
            _models.c.uuid,
            User.uuid,
            User.username,
            Worker.name,
        )
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .outerjoin(Project, Project.id == Task.project_id)
        .outerjoin(_experiments, _experiments.c.id == Task.experiment_id)
        .outerjoin(_models, _models.c.id == Task.model_id)
        .outerjoin(User, User.id == TaskScheduling.created_by)
        .outerjoin(TaskLease, TaskLease.task_id == Task.id)
        .outerjoin(Worker, Worker.id == TaskLease.worker_id)
        .where(Task.id.in_([task.id for task in tasks]))
    )
    return {row[0]: Surroundings(*row[1:]) for row in rows}


def experiment_id(session: Session, context: ProjectContext, uuid: UUID) -> int:
    """The inner id of an experiment of the project.

    Raises:
        NotFound: when the project has no such experiment.
    """
    experiments = table("experiments", column("id"), column("uuid"), column("project_id"))
    found = session.scalar(
        select(experiments.c.id).where(
            experiments.c.uuid == uuid, experiments.c.project_id == context.project_id
        )
    )
    if found is None:
        raise NotFound(resource="experiment")
    return int(found)


def inputs_of(session: Session, task_id: int) -> Sequence[TaskInput]:
    """What the task reads."""
    return session.scalars(
        select(TaskInput).where(TaskInput.task_id == task_id).order_by(TaskInput.role)
    ).all()
