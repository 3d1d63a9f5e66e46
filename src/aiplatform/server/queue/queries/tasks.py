"""SELECT statements for tasks, and counts of tasks.

Statements for one project take its :class:`ProjectContext`, which exists only if the caller has
access.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Integer,
    Select,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.core.views import View
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import (
    Task,
    TaskAttempt,
    TaskDependency,
    TaskEvent,
    TaskInput,
    TaskLease,
    TaskScheduling,
    Worker,
)

EVENTS_PER_PAGE = 500


def get_task(session: Session, context: ProjectContext, uuid: UUID) -> Task:
    """Return one task of the project.

    Raises:
        NotFound: the project has no such task.
    """
    task = session.scalar(
        select(Task).where(Task.uuid == uuid, Task.project_id == context.project_id)
    )
    if task is None:
        raise NotFound(resource="task")
    return task


def task_by_uuid(session: Session, uuid: UUID) -> Task | None:
    """Return a task by its uuid. The caller must already have checked access to its project."""
    return session.scalar(select(Task).where(Task.uuid == uuid))


def last_event(session: Session, task_id: int) -> int:
    """Return the id of the task's last event, or 0 if it has none.

    Unlike :func:`settled_events`, this includes events that are newer than a running transaction.
    """
    return session.scalar(select(func.max(TaskEvent.id)).where(TaskEvent.task_id == task_id)) or 0


def list_tasks(
    context: ProjectContext,
    *,
    status: TaskStatus | None = None,
    task_type: str | None = None,
    name: str | None = None,
    experiment_id: int | None = None,
    dead: bool = False,
) -> Select[Any]:
    """Select the project's tasks; with ``dead``, only those that failed and were not retried.

    A page is read from an index on the filter columns and the id. PostgreSQL's planner could
    instead scan all tasks by id and skip those that don't match. It estimates the same cost for
    that plan, but the plan is slow if the newest million tasks have another status. The statement
    therefore sorts by the filter columns, which rules out that plan. Each filter is written as a
    range that contains one value, because with an equality the planner would treat the column as
    constant and drop it from the sort. Few tasks share a ``name``, so if a name is given, the index
    on names is used and the other filters are applied to the tasks with that name.
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


@dataclass(frozen=True, slots=True)
class Origin:
    """The trace of the request that submitted a task, and the time when an attempt started waiting.

    ``traceparent`` is None if the submission was not traced.
    """

    traceparent: str | None
    waited_from: datetime


def origin_of(session: Session, task_id: int, attempt: int) -> Origin | None:
    """Return the origin of an attempt, or None if the task has no submission event.

    The first attempt starts waiting at submission, each later one when the previous attempt ends.
    """
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
    """Return the outcome and the error of an attempt; both are None if it has not ended."""
    outcome, error = session.execute(
        select(TaskAttempt.outcome, TaskAttempt.error).where(
            TaskAttempt.task_id == task_id, TaskAttempt.attempt == attempt
        )
    ).one()
    return outcome, error


def settled_events(task_id: int, after: int, *, limit: int = EVENTS_PER_PAGE) -> Select[Any]:
    """Select events after a given position that are older than every running transaction.

    Ids don't follow commit order: an event with a smaller id may become visible later. This can't
    happen to events of transactions below the snapshot's ``xmin``.
    """
    settled = text("transaction_id < pg_snapshot_xmin(pg_current_snapshot())")
    return (
        select(TaskEvent)
        .where(TaskEvent.task_id == task_id, TaskEvent.id > after, settled)
        .order_by(TaskEvent.id)
        .limit(limit)
    )


EXPERIMENTS = View("experiments", "id", "uuid", "project_id")
MODELS = View("models", "id", "uuid", "project_id")
"""Columns of ``experiments`` and ``registry`` that name a task's experiment and model.

The queue may not import these domains; see ``core/views.py``.
"""


Retried = aliased(Task, flat=True)
Need = aliased(Task, flat=True)


@dataclass(frozen=True, slots=True)
class TaskReferences:
    """Uuids and names of the objects that a task refers to, such as its project and author."""

    project: UUID | None = None
    experiment: UUID | None = None
    model: UUID | None = None
    author_uuid: UUID | None = None
    author_name: str | None = None
    worker: str | None = None
    retry_of: UUID | None = None

    def shown(self) -> dict[str, Any]:
        """Return all fields except the author's, keyed by their names in ``TaskOut``."""
        return {name: getattr(self, name) for name in SHOWN_REFERENCES}


SHOWN_REFERENCES = tuple(
    field.name for field in fields(TaskReferences) if not field.name.startswith("author_")
)


def _select_references() -> Select[*tuple[Any, ...]]:
    """Select each task's id and the fields of `TaskReferences`, in the same order."""
    return (
        select(
            Task.id,
            Project.uuid,
            EXPERIMENTS.c.uuid,
            MODELS.c.uuid,
            User.uuid,
            User.username,
            Worker.name,
            Retried.uuid,
        )
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .outerjoin(Retried, Retried.id == TaskScheduling.retry_of)
        .outerjoin(Project, Project.id == Task.project_id)
        .outerjoin(EXPERIMENTS.table, EXPERIMENTS.c.id == Task.experiment_id)
        # A model in the bin must look as if it did not exist, although its project still has it.
        .outerjoin(
            MODELS.table,
            and_(
                MODELS.c.id == Task.model_id,
                or_(MODELS.c.project_id.is_(None), MODELS.c.project_id == Task.project_id),
            ),
        )
        .outerjoin(User, User.id == TaskScheduling.created_by)
        .outerjoin(TaskLease, TaskLease.task_id == Task.id)
        .outerjoin(Worker, Worker.id == TaskLease.worker_id)
    )


@cache
def _task_references() -> Compiled:
    ids = bindparam("ids", type_=ARRAY(Integer))
    return compiled(_select_references().where(Task.id == any_(ids)))


def task_references(session: Session, tasks: Sequence[Task]) -> dict[int, TaskReferences]:
    """Return the references of several tasks, keyed by task id, using one statement."""
    rows = _task_references().all(session, ids=[task.id for task in tasks])
    return {row[0]: TaskReferences(*row[1:]) for row in rows}


@dataclass(frozen=True, slots=True)
class TaskParts:
    """The related rows that the API returns with a task; all but the references are JSON."""

    references: TaskReferences
    after: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    inputs: list[dict[str, Any]]


def _as_json(
    order: InstrumentedAttribute[Any], **columns: InstrumentedAttribute[Any]
) -> Select[*tuple[Any, ...]]:
    """Select rows as one JSON array of objects with these columns; empty if there are no rows."""
    pairs = [part for name, column in columns.items() for part in (literal(name, Text), column)]
    rows = func.jsonb_agg(aggregate_order_by(func.jsonb_build_object(*pairs), order))
    return select(func.coalesce(rows, cast(literal("[]", Text), JSONB)))


@cache
def _task_parts() -> Compiled:
    """Compile the statement for :func:`task_parts`; its columns follow those of the references.

    The parameter is a single task id, because for an array of unknown length PostgreSQL would plan
    the many joins anew each time, which takes three milliseconds.
    """
    after = (
        _as_json(
            Need.id,
            task=Need.uuid,
            name=Need.name,
            status=Need.status,
            condition=TaskDependency.condition,
        )
        .join(TaskDependency, TaskDependency.needs_id == Need.id)
        .where(TaskDependency.task_id == Task.id)
    )
    attempts = _as_json(
        TaskAttempt.attempt,
        attempt=TaskAttempt.attempt,
        worker=TaskAttempt.worker,
        started_at=TaskAttempt.started_at,
        ended_at=TaskAttempt.ended_at,
        outcome=TaskAttempt.outcome,
        error=TaskAttempt.error,
    ).where(TaskAttempt.task_id == Task.id)
    inputs = _as_json(
        TaskInput.role,
        role=TaskInput.role,
        label=TaskInput.label,
        content_hash=TaskInput.content_hash,
    ).where(TaskInput.task_id == Task.id)
    parts = (part.correlate(Task).scalar_subquery() for part in (after, attempts, inputs))
    return compiled(
        _select_references()
        .add_columns(*parts)
        .where(Task.id == bindparam("task_id", type_=Integer))
    )


def task_parts(session: Session, task: Task) -> TaskParts:
    """Return the related rows that the API returns with a task, using one statement."""
    _, *references, after, attempts, inputs = _task_parts().one(session, task_id=task.id)
    return TaskParts(TaskReferences(*references), after, attempts, inputs)


@dataclass(frozen=True, slots=True)
class NamedTask:
    """The id, uuid, name and status of a task."""

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
) -> list[NamedTask]:
    """Return the tasks with these ``uuids``, in that order, then the experiment's newest tasks.

    Raises:
        NotFound: the project has no task with one of the ``uuids``.
    """
    columns = (Task.id, Task.uuid, Task.name, Task.status)
    ours = Task.project_id == context.project_id
    found = {
        row.uuid: NamedTask(*row)
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
        chosen += [NamedTask(*row) for row in rows]
    return chosen


def experiment_id(session: Session, context: ProjectContext, uuid: UUID) -> int:
    """Return the internal id of one of the project's experiments.

    Raises:
        NotFound: the project has no such experiment.
    """
    found = session.scalar(
        select(EXPERIMENTS.c.id).where(
            EXPERIMENTS.c.uuid == uuid, EXPERIMENTS.c.project_id == context.project_id
        )
    )
    if found is None:
        raise NotFound(resource="experiment")
    return int(found)


def inputs_of(session: Session, task_id: int) -> Sequence[TaskInput]:
    """Return the inputs of the task."""
    return session.scalars(
        select(TaskInput).where(TaskInput.task_id == task_id).order_by(TaskInput.role)
    ).all()


STOPPABLE = {status for status in TaskStatus if not status.is_final} - {TaskStatus.CANCELLING}
"""Statuses of tasks that have not ended and are not being cancelled."""


def unfinished_in_inactive_projects(session: Session) -> Sequence[int]:
    """Return the ids of tasks to cancel because their project is archived, deleted or purged.

    Tasks that are already being cancelled are left out. The query starts from these few projects,
    because active projects may have a hundred thousand waiting tasks.
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


def blocking_tasks(session: Session, task_ids: Sequence[int]) -> dict[int, list[str]]:
    """Return the names of the tasks that each task is still waiting for, keyed by task id."""
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


def waiting_by_queue(session: Session) -> dict[str, int]:
    """Return, for each queue, the number of waiting tasks that may start now."""
    rows = session.execute(
        text(
            "SELECT queue, count(*) FROM task_scheduling WHERE waiting "
            "AND (not_before IS NULL OR not_before <= CURRENT_TIMESTAMP) GROUP BY queue"
        )
    )
    return {queue: count for queue, count in rows}  # noqa: C416  (typed rows)


def count_waiting(session: Session, queues: Sequence[str], most: int) -> dict[str, int]:
    """Return, for each queue, the number of waiting tasks that may start now, up to ``most``."""
    rows = session.execute(
        text(
            "SELECT q.queue, count(*) FROM unnest(CAST(:queues AS text[])) AS q(queue) "
            "CROSS JOIN LATERAL (SELECT FROM task_scheduling s WHERE s.waiting "
            "AND s.queue = q.queue AND (not_before IS NULL OR not_before <= CURRENT_TIMESTAMP) "
            "ORDER BY s.priority, s.since LIMIT :most) AS w GROUP BY q.queue"
        ),
        {"queues": list(queues), "most": most},
    )
    return {queue: count for queue, count in rows}  # noqa: C416  (typed rows)


def oldest_wait(session: Session) -> dict[str, float]:
    """Return the age in seconds of the oldest waiting task in each queue."""
    rows = session.execute(
        text(
            "SELECT queue, EXTRACT(EPOCH FROM CURRENT_TIMESTAMP - min(since))::float8 "
            "FROM task_scheduling WHERE waiting GROUP BY queue"
        )
    )
    return {queue: seconds for queue, seconds in rows}  # noqa: C416  (typed rows)


def unfinished_counts(session: Session) -> Sequence[Any]:
    """Return the number of unfinished tasks by status and priority."""
    unfinished = [status.value for status in TaskStatus if not status.is_final]
    return session.execute(
        select(Task.status, Task.priority, func.count())
        .where(Task.status.in_(unfinished))
        .group_by(Task.status, Task.priority)
    ).all()


def running_by_type(session: Session) -> dict[str, int]:
    """Return the number of tasks of each type that hold a lease."""
    rows = session.execute(
        select(Task.type, func.count())
        .join(TaskLease, TaskLease.task_id == Task.id)
        .group_by(Task.type)
    )
    return {task_type: count for task_type, count in rows}  # noqa: C416  (typed rows)
