"""SELECT statements for schedules and their firings."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, func, select
from sqlalchemy.orm import Session, aliased

from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.schedules.models import Schedule, ScheduleFiring

FIRINGS_KEPT = 1000
"""Number of firings kept per schedule.

The number is limited because a schedule that is due every minute fires half a million times a year.
"""

_last = (
    select(func.max(ScheduleFiring.id))
    .where(ScheduleFiring.schedule_id == Schedule.id)
    .scalar_subquery()
)


def list_schedules(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """Return a statement for the project's schedules, each with its owner and its last firing."""
    last, task = aliased(ScheduleFiring), aliased(Task)
    statement: Any = (
        select(
            Schedule,
            User.uuid.label("owner_uuid"),
            User.username.label("owner_name"),
            User.is_active.label("owner_is_active"),
            last.outcome,
            last.due_at,
            last.fired_at,
            last.code,
            last.reason,
            last.reason_zh,
            task.uuid.label("task"),
        )
        .outerjoin(User, User.id == Schedule.created_by)
        .outerjoin(last, last.id == _last)
        .outerjoin(task, task.id == last.task_id)
        .where(Schedule.project_id == context.project_id)
    )
    found: Select[Any] = statement
    return found if name is None else found.where(Schedule.name == name)


def get_row(session: Session, context: ProjectContext, schedule: Schedule) -> Row[Any]:
    """Return one schedule with the columns of :func:`list_schedules`."""
    return session.execute(list_schedules(context).where(Schedule.id == schedule.id)).one()


def get_schedule(session: Session, context: ProjectContext, uuid: UUID) -> Schedule:
    """Return a schedule of the project.

    Raises:
        NotFound: when the project has no such schedule.
    """
    return _get(session, context, uuid, lock=False)


def lock_schedule(session: Session, context: ProjectContext, uuid: UUID) -> Schedule:
    """Lock a schedule of the project and return its current state.

    Raises:
        NotFound: when the project has no such schedule.
    """
    return _get(session, context, uuid, lock=True)


def _get(session: Session, context: ProjectContext, uuid: UUID, *, lock: bool) -> Schedule:
    statement = select(Schedule).where(
        Schedule.uuid == uuid, Schedule.project_id == context.project_id
    )
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound(resource="schedule")
    return found


def name_in_use(session: Session, context: ProjectContext, name: str) -> bool:
    """Return True if a schedule with this name exists in the project."""
    found = select(Schedule.id).where(
        Schedule.project_id == context.project_id, Schedule.name == name
    )
    return session.scalar(found) is not None


def list_firings(schedule: Schedule) -> Select[Any]:
    """Return a statement for the firings of a schedule, each with its task."""
    statement: Any = (
        select(ScheduleFiring, Task.uuid.label("task"))
        .outerjoin(Task, Task.id == ScheduleFiring.task_id)
        .where(ScheduleFiring.schedule_id == schedule.id)
    )
    found: Select[Any] = statement
    return found


def lock_due(session: Session) -> Schedule | None:
    """Lock and return a schedule that is due, skipping those locked by other transactions."""
    return session.scalar(
        select(Schedule)
        .where(Schedule.enabled, Schedule.next_at <= func.clock_timestamp())
        .order_by(Schedule.next_at, Schedule.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def lock_enabled_of(session: Session, owner_id: int) -> Sequence[Schedule]:
    """Lock and return a user's enabled schedules, in the order of their ids."""
    return session.scalars(
        select(Schedule)
        .where(Schedule.created_by == owner_id, Schedule.enabled)
        .order_by(Schedule.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def last_firing(session: Session, schedule: Schedule) -> ScheduleFiring | None:
    """Return the last firing of a schedule; None if it never fired."""
    return session.scalar(
        select(ScheduleFiring)
        .where(ScheduleFiring.schedule_id == schedule.id)
        .order_by(ScheduleFiring.id.desc())
        .limit(1)
    )


def delete_old_firings(session: Session, schedule: Schedule) -> None:
    """Delete a schedule's old firings, all of which remain in the audit trail.

    The last :data:`FIRINGS_KEPT` firings are kept, as are all those since the last submitted task,
    because that task may still be running.
    """
    of_it = ScheduleFiring.schedule_id == schedule.id
    newest = select(ScheduleFiring.id).where(of_it).order_by(ScheduleFiring.id.desc())
    oldest_kept = newest.offset(FIRINGS_KEPT - 1).limit(1).scalar_subquery()
    submitted = newest.where(ScheduleFiring.task_id.is_not(None)).limit(1).scalar_subquery()
    session.execute(
        delete(ScheduleFiring)
        .where(
            of_it,
            ScheduleFiring.id < oldest_kept,
            ScheduleFiring.id < func.coalesce(submitted, oldest_kept),
        )
        .execution_options(synchronize_session=False)
    )


def last_task(session: Session, schedule: Schedule) -> Task | None:
    """Return the newest of a schedule's tasks that still exist; None if there is none."""
    return session.scalar(
        select(Task)
        .join(ScheduleFiring, ScheduleFiring.task_id == Task.id)
        .where(ScheduleFiring.schedule_id == schedule.id)
        .order_by(ScheduleFiring.id.desc())
        .limit(1)
    )


def project_of(session: Session, schedule: Schedule) -> Project:
    """Return the project of a schedule."""
    return session.get_one(Project, schedule.project_id)


def database_time(session: Session) -> datetime:
    """Return the current time on the database's clock, which all processes share."""
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    return now
