"""Use cases for schedules: create, change, delete and fire them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import delete
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.schedules import (
    Action,
    FiringOutcome,
    Missed,
    Overlap,
    RunAction,
    TaskAction,
)
from aiplatform.protocol.specs import TaskSpec
from aiplatform.protocol.trainings import parse_training
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken, Problem
from aiplatform.server.experiments import queries as experiments_queries
from aiplatform.server.experiments import service as experiments
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.projects.service.delegation import context_on_behalf_of
from aiplatform.server.queue.errors import WrongTaskType
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import TaskRequest, require_readable, submit_checked
from aiplatform.server.queue.service.kinds import kind_of
from aiplatform.server.schedules import queries
from aiplatform.server.schedules.errors import InvalidCronExpression, InvalidTimezone
from aiplatform.server.schedules.models import Schedule, ScheduleFiring
from aiplatform.server.schedules.rules import CronExpressionError, times_after, was_missed
from aiplatform.server.secrets.service import require_usable

actions: TypeAdapter[Action] = TypeAdapter(Action)
TIME_FIELDS = ("cron", "timezone")
"""Fields that determine when a schedule is due."""


def create_schedule(
    session: Session,
    context: ProjectContext,
    *,
    name: str,
    cron: str,
    timezone: str,
    action: Action,
    missed: Missed,
    overlap: Overlap,
    enabled: bool,
) -> Schedule:
    """Create a schedule; the caller becomes its owner.

    Raises:
        NameTaken: when the project has a schedule with this name.
        InvalidCronExpression: when ``cron`` can't be parsed, or never matches a time.
        InvalidTimezone: when ``timezone`` is not in the IANA database.
        PermissionDenied, NotFound, WrongTaskType, PriorityTooHigh: when the caller could not submit
            the action now; see :func:`require_submittable`.
    """
    if queries.name_in_use(session, context, name):
        raise NameTaken(resource="schedule", name=name)
    first = require_times(session, cron, timezone)
    require_submittable(session, context, action)
    schedule = Schedule(
        project_id=context.project_id,
        name=name,
        cron=cron,
        timezone=timezone,
        action=jsonable(action),
        missed=missed.value,
        overlap=overlap.value,
        enabled=enabled,
        next_at=first if enabled else None,
        created_by=context.principal.user_id,
        key_id=context.principal.key_id,
    )
    session.add(schedule)
    session.flush()
    session.refresh(schedule)
    _record(session, context, AuditAction.SCHEDULE_CREATED, schedule, cron=cron)
    return schedule


def update_schedule(
    session: Session, context: ProjectContext, schedule: Schedule, changes: dict[str, Any]
) -> Schedule:
    """Change a locked schedule. The caller becomes its owner, unless they only switch it off.

    Otherwise a caller could make a schedule use another user's permissions.

    Raises:
        NameTaken, InvalidCronExpression, InvalidTimezone: see :func:`create_schedule`.
        PermissionDenied, NotFound, WrongTaskType, PriorityTooHigh: see :func:`create_schedule`.
    """
    name = changes.get("name", schedule.name)
    if name != schedule.name and queries.name_in_use(session, context, name):
        raise NameTaken(resource="schedule", name=name)
    cron, timezone = (changes.get(field, getattr(schedule, field)) for field in TIME_FIELDS)
    first = require_times(session, cron, timezone)
    if changes != {"enabled": False}:
        action = changes.get("action") or actions.validate_python(schedule.action)
        require_submittable(session, context, action)
        schedule.created_by = context.principal.user_id
        schedule.key_id = context.principal.key_id
    for field, value in changes.items():
        setattr(schedule, field, jsonable(value))
    # Times that were due before the change, or while the schedule was off, don't count.
    if not changes.keys().isdisjoint({*TIME_FIELDS, "enabled"}):
        schedule.next_at = first if schedule.enabled else None
    _record(session, context, AuditAction.SCHEDULE_UPDATED, schedule, changed=sorted(changes))
    session.flush()
    session.refresh(schedule)
    return schedule


def delete_schedule(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Delete a schedule. Tasks that it has submitted are kept.

    Raises:
        NotFound: when the project has no such schedule.
    """
    schedule = queries.lock_schedule(session, context, uuid)
    _record(session, context, AuditAction.SCHEDULE_DELETED, schedule)
    session.execute(delete(Schedule).where(Schedule.id == schedule.id))
    session.expire_all()


def switch_off_schedules(session: Session, actor: Actor, owner: User) -> dict[str, int]:
    """Switch off all schedules of a user.

    Return a dict with their number as ``schedules_stopped``.
    """
    schedules = queries.lock_enabled_of(session, owner.id)
    for schedule in schedules:
        schedule.enabled, schedule.next_at = False, None
        audit.record(
            session,
            actor,
            AuditAction.SCHEDULE_UPDATED,
            "schedule",
            schedule.uuid,
            project=queries.project_of(session, schedule).uuid,
            name=clean_text(schedule.name),
            changed=["enabled"],
        )
    session.flush()
    return {"schedules_stopped": len(schedules)}


def require_times(session: Session, cron: str, timezone: str) -> datetime:
    """Check a cron expression and a time zone; return the next time at which the schedule is due.

    Raises:
        InvalidCronExpression: for an invalid expression, or one that never matches.
        InvalidTimezone: for an unknown time zone.
    """
    try:
        return times_after(cron, timezone, queries.database_time(session))[0]
    except CronExpressionError as error:
        raise InvalidCronExpression(cron=cron, reason=str(error)) from None
    except LookupError:
        raise InvalidTimezone(timezone=timezone) from None


def require_submittable(session: Session, context: ProjectContext, action: Action) -> None:
    """Refuse an action that the caller could not submit now.

    Raises:
        PermissionDenied: when a permission is missing.
        NotFound: for an experiment, dataset or model that the project may not use.
        WrongTaskType: for a task type that is submitted through a separate route.
        PriorityTooHigh: when the priority is above the project's limit.
    """
    quotas.require_priority(session, context.project_id, action.priority)
    match action:
        case RunAction():
            context.require(Permission.TRAINING_WRITE)
            experiment = experiments_queries.get_experiment(session, context, action.experiment)
            _require_inputs(session, context, parse_training(experiment.config))
        case TaskAction():
            kind = kind_of(action.spec.type)
            if kind.started_through is not None:
                raise WrongTaskType(task_type=action.spec.type.value, resource=kind.started_through)
            context.require(kind.permission)
            _require_inputs(session, context, action.spec)
            kind.prepare(session, context, action.spec)


def _require_inputs(session: Session, context: ProjectContext, spec: TaskSpec) -> None:
    require_readable(context, spec)
    if spec.secrets:
        require_usable(session, context, spec.secrets)


def fire_next(session: Session) -> Schedule | None:
    """Fire one due schedule in the caller's transaction. Return None if none is due.

    If several of the schedule's times have passed, it fires only once and is next due at its first
    time after now.
    """
    schedule = queries.lock_due(session)
    if schedule is None or schedule.next_at is None:
        return None
    now = queries.database_time(session)
    firing = ScheduleFiring(schedule_id=schedule.id, due_at=schedule.next_at)
    before = queries.last_firing(session, schedule)
    task = None
    if schedule.missed == Missed.SKIP and was_missed(schedule.next_at, now):
        firing.outcome = FiringOutcome.MISSED.value
    elif schedule.overlap == Overlap.SKIP and _still_runs(session, schedule):
        firing.outcome = FiringOutcome.OVERLAPPED.value
    else:
        try:
            with session.begin_nested():
                task = _submit(session, schedule)
            firing.outcome, firing.task_id = FiringOutcome.SUBMITTED.value, task.id
        except Problem as problem:
            firing.outcome, firing.code = FiringOutcome.REFUSED.value, problem.code
            firing.reason, firing.reason_zh = problem.text("en"), problem.text("zh")
    schedule.next_at = times_after(schedule.cron, schedule.timezone, now)[0]
    session.add(firing)
    session.flush()
    queries.delete_old_firings(session, schedule)
    _report_firing(session, schedule, firing, task, before)
    return schedule


def _still_runs(session: Session, schedule: Schedule) -> bool:
    task = queries.last_task(session, schedule)
    return task is not None and not TaskStatus(task.status).is_final


def _submit(session: Session, schedule: Schedule) -> Task:
    """Submit the action as the owner, with the owner's current permissions.

    Raises:
        Problem: the error that the owner's own request for this submission would get.
    """
    context = context_on_behalf_of(
        session, schedule.created_by, schedule.project_id, key_id=schedule.key_id
    )
    context.require(Permission.TASKS_WRITE)
    action = actions.validate_python(schedule.action)
    match action:
        case RunAction():
            context.require(Permission.TRAINING_WRITE)
            experiment = experiments_queries.lock_experiment(session, context, action.experiment)
            return experiments.submit_run(
                session, context, experiment, name=action.name, priority=action.priority
            )
        case TaskAction():
            wanted = TaskRequest(action.spec, action.name, action.priority)
            return submit_checked(session, context, wanted)


def _report_firing(
    session: Session,
    schedule: Schedule,
    firing: ScheduleFiring,
    task: Task | None,
    before: ScheduleFiring | None,
) -> None:
    project = queries.project_of(session, schedule)
    refused = firing.outcome == FiringOutcome.REFUSED
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.SCHEDULE_FIRED,
        "schedule",
        schedule.uuid,
        project=project.uuid,
        outcome="denied" if refused else "success",
        name=schedule.name,
        result=firing.outcome,
        due_at=firing.due_at,
        task=None if task is None else task.uuid,
        code=firing.code,
        reason=firing.reason,
    )
    # Notify only if the reason is new, or a schedule could send the same notification every minute.
    if refused and (before is None or before.code != firing.code):
        announce(
            session,
            NotificationType.SCHEDULE_FAILED,
            to={schedule.created_by, project.owner_id},
            project=project.uuid,
            name=schedule.name,
            schedule=schedule.uuid,
            reason=firing.reason,
            reason_zh=firing.reason_zh,
        )
    session.flush()


def _record(
    session: Session,
    context: ProjectContext,
    action: AuditAction,
    schedule: Schedule,
    **details: Any,
) -> None:
    audit.record(
        session,
        context.actor,
        action,
        "schedule",
        schedule.uuid,
        project=context.project_uuid,
        name=clean_text(schedule.name),
        **details,
    )
