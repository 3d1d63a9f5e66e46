"""Named selects of tasks. What belongs to a project is selected with its context as evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Integer,
    Select,
    and_,
    any_,
    bindparam,
    column,
    func,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.tasks.models import (
    LogChunk,
    MetricPoint,
    Task,
    TaskAttempt,
    TaskDependency,
    TaskEvent,
    TaskInput,
    TaskLease,
    TaskScheduling,
    Worker,
)


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


def task_by_uuid(session: Session, uuid: UUID) -> Task | None:
    """A task for callers who have its project's evidence already."""
    return session.scalar(select(Task).where(Task.uuid == uuid))


def last_event(session: Session, task_id: int) -> int:
    """The number of the task's last event, settled or not."""
    return session.scalar(select(func.max(TaskEvent.id)).where(TaskEvent.task_id == task_id)) or 0


def newest_of(session: Session, uuid: UUID) -> tuple[int, int, int]:
    """The numbers of a task's last settled event, metric point and log chunk, or 0."""
    task_id = select(Task.id).where(Task.uuid == uuid).scalar_subquery()
    settled = text("transaction_id < pg_snapshot_xmin(pg_current_snapshot())")
    event = select(func.max(TaskEvent.id)).where(TaskEvent.task_id == task_id, settled)
    point = select(func.max(MetricPoint.id)).where(MetricPoint.task_id == task_id)
    chunk = select(func.max(LogChunk.seq)).where(LogChunk.task_id == task_id)
    return session.scalar(event) or 0, session.scalar(point) or 0, session.scalar(chunk) or 0


def list_tasks(
    context: ProjectContext,
    *,
    status: TaskStatus | None = None,
    task_type: str | None = None,
    name: str | None = None,
    experiment_id: int | None = None,
    dead: bool = False,
) -> Select[Any]:
    """The project's tasks; with ``dead``, those that failed for good and that nobody retried.

    A page is read by id from the index that has the filters before the id. To the planner, to go
    through all tasks by id and leave out what does not match looks as good, and is where the
    newest million has another status. An order by what is filtered by rules that out; a range of
    one value keeps it from being dropped as constant. Of a ``name`` there are few tasks, in which
    the other filters are looked for.
    """
    statement = select(Task).where(Task.project_id == context.project_id)
    wanted = TaskStatus.FAILED if dead else status
    filters: list[tuple[InstrumentedAttribute[Any], Any]] = []
    if wanted is not None:
        filters.append((Task.status, wanted.value))
    if task_type is not None:
        filters.append((Task.type, task_type))
    if name is not None:
        statement = statement.where(*(kept == value for kept, value in filters))
        filters = [(Task.name, clean_text(name))]
    for kept, value in filters:
        statement = statement.where(kept.between(value, value)).order_by(kept.desc())
    if experiment_id is not None:
        statement = statement.where(Task.experiment_id == experiment_id)
    if dead:
        again = select(TaskScheduling.task_id).where(TaskScheduling.retry_of == Task.id)
        statement = statement.where(~again.exists())
        if status is not None:
            statement = statement.where(Task.status == status.value)
    return statement


def attempts(session: Session, task_id: int) -> Sequence[TaskAttempt]:
    """Every start of the task, oldest first."""
    return session.scalars(
        select(TaskAttempt).where(TaskAttempt.task_id == task_id).order_by(TaskAttempt.attempt)
    ).all()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an attempt comes from: the trace of who submitted, and since when the task waited."""

    traceparent: str | None
    waited_from: datetime


def origin_of(session: Session, task_id: int, attempt: int) -> Origin | None:
    """The origin of an attempt; a later one waited since the one before ended."""
    before = (
        select(TaskAttempt.ended_at)
        .where(TaskAttempt.task_id == task_id, TaskAttempt.attempt == attempt - 1)
        .scalar_subquery()
    )
    row = session.execute(
        select(
            TaskEvent.data["traceparent"].astext, func.coalesce(before, TaskEvent.created_at)
        ).where(TaskEvent.task_id == task_id, TaskEvent.kind == "submitted")
    ).first()
    return None if row is None else Origin(*row)


def outcome_of(session: Session, task_id: int, attempt: int) -> tuple[str | None, str | None]:
    """How an attempt ended and with which error; nothing when it has not."""
    outcome, error = session.execute(
        select(TaskAttempt.outcome, TaskAttempt.error).where(
            TaskAttempt.task_id == task_id, TaskAttempt.attempt == attempt
        )
    ).one()
    return outcome, error


def project_uuid(session: Session, task: Task) -> UUID | None:
    """The uuid of the task's project."""
    return session.scalar(select(Project.uuid).where(Project.id == task.project_id))


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
    """Metric points after a position. Writers hold the task's lock, so ids are commit order."""
    return (
        select(MetricPoint)
        .where(MetricPoint.task_id == task_id, MetricPoint.id > after)
        .order_by(MetricPoint.id)
        .limit(limit)
    )


_experiments = table("experiments", column("id"), column("uuid"))
_models = table("models", column("id"), column("uuid"), column("project_id"))
"""Tables of higher domains, of which only the uuids are shown here."""


Retried = aliased(Task, flat=True)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is shown of a task's neighbours."""

    project: UUID | None = None
    experiment: UUID | None = None
    model: UUID | None = None
    author_uuid: UUID | None = None
    author_name: str | None = None
    worker: str | None = None
    retry_of: UUID | None = None


@cache
def _surroundings() -> Compiled:
    """A task's id and what :class:`Surroundings` has, in that order; its parameter is ``ids``."""
    return compiled(
        select(
            Task.id,
            Project.uuid,
            _experiments.c.uuid,
            _models.c.uuid,
            User.uuid,
            User.username,
            Worker.name,
            Retried.uuid,
        )
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .outerjoin(Retried, Retried.id == TaskScheduling.retry_of)
        .outerjoin(Project, Project.id == Task.project_id)
        .outerjoin(_experiments, _experiments.c.id == Task.experiment_id)
        # A model in the bin is another project's, and shows like one that is gone.
        .outerjoin(
            _models,
            and_(
                _models.c.id == Task.model_id,
                or_(_models.c.project_id.is_(None), _models.c.project_id == Task.project_id),
            ),
        )
        .outerjoin(User, User.id == TaskScheduling.created_by)
        .outerjoin(TaskLease, TaskLease.task_id == Task.id)
        .outerjoin(Worker, Worker.id == TaskLease.worker_id)
        .where(Task.id == any_(bindparam("ids", type_=ARRAY(Integer))))
    )


def surroundings(session: Session, tasks: Sequence[Task]) -> dict[int, Surroundings]:
    """The neighbours of several tasks in one statement, by task id."""
    rows = _surroundings().all(session, ids=[task.id for task in tasks])
    return {row[0]: Surroundings(*row[1:]) for row in rows}


@dataclass(frozen=True, slots=True)
class Named:
    """A task by what leads to its series and what people call it."""

    id: int
    uuid: UUID
    name: str
    status: str


def named_tasks(
    session: Session,
    context: ProjectContext,
    uuids: Sequence[UUID],
    experiment_id: int | None,
    *,
    limit: int,
) -> list[Named]:
    """Tasks of the project: those of ``uuids`` as they are asked for, then an experiment's newest.

    Raises:
        NotFound: when the project does not have one of ``uuids``.
    """
    columns = (Task.id, Task.uuid, Task.name, Task.status)
    ours = Task.project_id == context.project_id
    found = {
        row.uuid: Named(*row)
        for row in session.execute(select(*columns).where(ours, Task.uuid.in_(uuids)))
    }
    if len(found) < len(set(uuids)):
        raise NotFound(resource="task")
    chosen = [found[uuid] for uuid in dict.fromkeys(uuids)]
    if experiment_id is not None:
        rows = session.execute(
            select(*columns)
            .where(ours, Task.experiment_id == experiment_id, Task.uuid.not_in(uuids))
            .order_by(Task.id.desc())
            .limit(max(0, limit - len(chosen)))
        )
        chosen += [Named(*row) for row in rows]
    return chosen


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


STOPPABLE = {status for status in TaskStatus if not status.is_final} - {TaskStatus.CANCELLING}
"""States in which nobody has asked for an end yet."""


def unfinished_where_nothing_runs(session: Session) -> Sequence[int]:
    """Tasks of projects that are gone, archived or in the bin, and that nobody told to stop yet.

    From the few such projects to their tasks: a hundred thousand may wait in others.
    """
    rows = session.execute(
        text(
            "SELECT t.id FROM unnest(ARRAY(SELECT id FROM projects "
            "WHERE COALESCE(status, 'active') <> 'active')) AS p(id) "
            "JOIN tasks t ON t.project_id = p.id AND t.status = ANY(:statuses) "
            "UNION ALL SELECT id FROM tasks WHERE project_id IS NULL AND status = ANY(:statuses) "
            "ORDER BY id"
        ),
        {"statuses": [status.value for status in STOPPABLE]},
    )
    return [row.id for row in rows]


def needs_of(session: Session, task_id: int) -> Sequence[Any]:
    """The tasks that must end before one: uuid, name, status, condition, settled."""
    return session.execute(
        select(Task.uuid, Task.name, Task.status, TaskDependency.condition, TaskDependency.settled)
        .join(TaskDependency, TaskDependency.needs_id == Task.id)
        .where(TaskDependency.task_id == task_id)
        .order_by(Task.id)
    ).all()


def blocking(session: Session, task_ids: Sequence[int]) -> dict[int, list[str]]:
    """The names of those that several tasks still wait for, by the waiting task's id."""
    found: dict[int, list[str]] = {}
    rows = session.execute(
        select(TaskDependency.task_id, Task.name)
        .join(Task, Task.id == TaskDependency.needs_id)
        .where(TaskDependency.task_id.in_(task_ids), TaskDependency.settled.is_(False))
        .order_by(TaskDependency.task_id, Task.id)
    )
    for task_id, name in rows:
        found.setdefault(task_id, []).append(name)
    return found
