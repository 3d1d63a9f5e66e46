"""External runs: begin, heartbeat and end. Their logs are in ``run_logs``, points in ``ingest``.

The task of such a run is running from the start. It holds no lease, so no worker claims it and it
counts for no quota. Everybody who may write the project's tasks may report for it. A run that
reports nothing for too long is given up: the platform ends it.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.specs import ExternalSpec
from aiplatform.server.core import audit
from aiplatform.server.core.events import notify
from aiplatform.server.core.locks import AdvisoryLock
from aiplatform.server.execution.models import ExternalRun
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import TaskFinished
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.queue.service.queue import add_event, finish, lock, topic
from aiplatform.server.telemetry.errors import NotReportedHere

QUEUE = "external"
"""Placeholder for the queue of external runs; no worker may serve it."""


def begin(
    session: Session,
    context: ProjectContext,
    spec: ExternalSpec,
    *,
    name: str,
    experiment: UUID | None = None,
    client_id: str | None = None,
    started_at: datetime | None = None,
) -> tuple[Task, bool]:
    """Create an external run. Return it, and True if it is new.

    If the project has a run with this ``client_id`` already, that run is returned.

    Raises:
        NotFound: when the project has no such experiment.
    """
    if client_id is not None:
        # A repeated request waits here until the first one is committed.
        named = func.hashtext(f"{context.project_id}:{client_id}")
        session.execute(select(func.pg_advisory_xact_lock(int(AdvisoryLock.EXTERNAL_RUNS), named)))
        known = session.scalar(
            select(Task)
            .join(ExternalRun, ExternalRun.task_id == Task.id)
            .where(ExternalRun.client_id == client_id, ExternalRun.project_id == context.project_id)
        )
        if known is not None:
            return known, False
    experiment_id = (
        None if experiment is None else queries.experiment_id(session, context, experiment)
    )
    task = Task(
        project_id=context.project_id,
        experiment_id=experiment_id,
        name=clean_text(name)[:255],
        type=spec.type.value,
        status=TaskStatus.RUNNING.value,
        priority=5,
        config=jsonable(spec),
        started_at=func.clock_timestamp() if started_at is None else started_at,
        scheduling=TaskScheduling(
            queue=QUEUE,
            cpus=0.0,
            memory_mb=0,
            gpus=0,
            attempt=1,
            max_attempts=1,
            created_by=context.principal.user_id,
        ),
    )
    session.add(task)
    session.flush()
    session.add(ExternalRun(task_id=task.id, project_id=context.project_id, client_id=client_id))
    add_event(session, task, "started", by=context.actor.username)
    audit.record(
        session,
        context.actor,
        AuditAction.TASK_SUBMITTED,
        "task",
        task.uuid,
        project=context.project_uuid,
        type=task.type,
        name=task.name,
    )
    session.flush()
    session.refresh(task)
    return task, True


def heartbeat(session: Session, task: Task, *, progress: float | None = None) -> TaskStatus:
    """Record a heartbeat of the run; return its status, which may ask it to stop.

    Raises:
        NotReportedHere: when a worker runs the task.
    """
    found = session.execute(
        update(ExternalRun)
        .where(ExternalRun.task_id == task.id)
        .values(renewals=ExternalRun.renewals + 1)
        .returning(ExternalRun.task_id)
    ).one_or_none()
    if found is None:
        raise NotReportedHere(task_type=task.type)
    if progress is not None and not TaskStatus(task.status).is_final:
        task = lock(session, task.id)
        if not TaskStatus(task.status).is_final:
            task.progress = progress
            notify(session, topic(task))
            session.flush()
    return TaskStatus(task.status)


def end(
    session: Session,
    context: ProjectContext,
    task: Task,
    status: TaskStatus,
    *,
    result: dict[str, Any] | None = None,
    error: str | None = None,
    ended_at: datetime | None = None,
) -> Task:
    """End a run with the outcome that it reports. Reporting the same end again is no error.

    A run that failed because it was silent for too long gets the reported status, and accepts no
    more reports. A run that was asked to stop and then given up stays cancelled; the report is
    added to its result.

    Raises:
        NotReportedHere: when a worker runs the task.
        TaskFinished: when it has ended with another status.
    """
    task = lock(session, task.id)
    run = session.get(ExternalRun, task.id)
    if run is None:
        raise NotReportedHere(task_type=task.type)
    current = TaskStatus(task.status)
    corrected = run.given_up and current is TaskStatus.FAILED
    if not current.is_final or corrected:
        if corrected:
            run.given_up = False
            _note_report(session, context, task, status)
        outcome = Outcome(status, result or {}, error)
        finish(session, task, outcome, actor=context.actor, ended_at=ended_at, given_up=corrected)
        return task
    if run.given_up:
        late = {"status": status.value, "error": error, **(result or {})}
        if (task.scheduling.result or {}).get("reported") != jsonable(late):
            task.scheduling.result = {**(task.scheduling.result or {}), "reported": jsonable(late)}
            _note_report(session, context, task, status)
            session.flush()
        return task
    # It is no error if a run was cancelled here and completed before it knew.
    if current is status or current is TaskStatus.CANCELLED:
        return task
    raise TaskFinished(task_status=task.status)


def _note_report(session: Session, context: ProjectContext, task: Task, status: TaskStatus) -> None:
    """Record that a run that was given up has reported its end after all."""
    add_event(session, task, "reported", status=status.value, before=task.status)
    audit.record(
        session,
        context.actor,
        AuditAction.TASK_REPORTED,
        "task",
        task.uuid,
        project=context.project_uuid,
        status=status.value,
        before=task.status,
    )


def give_up(session: Session, task_id: int, renewals: int, seconds: float) -> bool:
    """End a run that was silent for too long. Return False if it reported at the last moment."""
    task = lock(session, task_id)
    run = session.get(ExternalRun, task_id, populate_existing=True)
    if run is None or run.renewals != renewals or TaskStatus(task.status).is_final:
        return False
    run.given_up = True
    if TaskStatus(task.status) is TaskStatus.CANCELLING:
        finish(session, task, Outcome(TaskStatus.CANCELLED))
        return True
    reason = f"the run reported nothing for {seconds:g} s; it may still report how it ended"
    finish(session, task, Outcome(TaskStatus.FAILED, error=reason))
    return True


def require_open(session: Session, task: Task) -> ExternalRun:
    """Return the run of a locked task if it still accepts reports.

    Raises:
        NotReportedHere: when a worker runs the task.
        TaskFinished: when it has ended, unless it was ended because of its silence.
    """
    run = session.get(ExternalRun, task.id, populate_existing=True)
    if run is None:
        raise NotReportedHere(task_type=task.type)
    if TaskStatus(task.status).is_final and not run.given_up:
        raise TaskFinished(task_status=task.status)
    return run
