"""Writes by an attempt: lease renewals, output and outcome. Each one checks the fencing number."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.protocol.messages import Metrics, Progress
from aiplatform.server.core import audit, storage
from aiplatform.server.core.broker import wake
from aiplatform.server.core.database import after_commit
from aiplatform.server.core.events import notify
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.execution.models import TaskCheckpoint
from aiplatform.server.execution.rules import wait_before_retry
from aiplatform.server.projects import queries as projects_queries
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.models import Task, TaskAttempt, TaskLease
from aiplatform.server.queue.rules import attempts_left
from aiplatform.server.queue.service.claims import Claim, claim_next
from aiplatform.server.queue.service.kinds import Outcome, kind_of, run_points_hooks
from aiplatform.server.queue.service.queue import add_event, change_status, finish, lock, topic
from aiplatform.server.telemetry import queries as telemetry_queries
from aiplatform.server.telemetry.models import LogChunk
from aiplatform.server.telemetry.service import prometheus, telemetry
from aiplatform.server.telemetry.service.retention import prune_checkpoints

__all__ = ["Claim", "claim_next"]
MAX_METRIC_KEY = 200


def renew(session: Session, claim: Claim) -> None:
    """Renew the attempt's lease.

    Raises:
        LostLease: the attempt no longer holds the task.
    """
    renewed = session.execute(
        update(TaskLease)
        .where(TaskLease.task_id == claim.task_id, TaskLease.fence == claim.fence)
        .values(renewals=TaskLease.renewals + 1, renewed_at=func.clock_timestamp())
        .returning(TaskLease.task_id)
    ).one_or_none()
    if renewed is None:
        raise LostLease


def hold(session: Session, claim: Claim) -> Task:
    """Lock the lease and the task for one write by the attempt; return the current task.

    The lease is locked before the task, here as in the reaper, so the two can't deadlock.

    Raises:
        LostLease: the fencing number is out of date, so nothing may be written.
    """
    lease = session.scalar(
        select(TaskLease.task_id)
        .where(TaskLease.task_id == claim.task_id, TaskLease.fence == claim.fence)
        .with_for_update()
    )
    if lease is None:
        raise LostLease
    return lock(session, claim.task_id)


@dataclass(slots=True)
class Chunk:
    """Consecutive lines of one of the child's streams; ``time`` is in seconds since the epoch.

    ``level``, ``levels`` and ``segment`` are as in :class:`LogChunk`. ``segment_file`` is the file
    that the runner stores before the row is written.
    """

    stream: LogStream
    text: str
    time: float
    level: int = 0
    levels: list[list[int]] = field(default_factory=list)
    segment: dict[str, Any] | None = None
    segment_file: Path | None = None


def write_telemetry(
    session: Session,
    claim: Claim,
    *,
    metrics: Sequence[Metrics] = (),
    chunks: Sequence[Chunk] = (),
    first_seq: int = 1,
    log_tail: str | None = None,
    progress: Progress | None = None,
    events: Sequence[tuple[str, dict[str, Any]]] = (),
) -> TaskStatus:
    """Store the child's output since the last call; return the status that the attempt must follow.

    This is the task's status, such as ``cancelling``, or ``paused`` if the attempt must stop
    because its task is being paused or preempted.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    if metrics:
        _copy_points(session, claim, metrics)
        run_points_hooks(session, task, metrics)
    if chunks:
        if claim.nodes > 1:
            # All nodes write to one log. The task is locked here, so the number is still correct.
            first_seq = log_position(session, claim)[0] + 1
        session.add_all(
            LogChunk(
                task_id=claim.task_id,
                seq=first_seq + place,
                attempt=claim.attempt,
                stream=chunk.stream.value,
                text=clean_text(chunk.text),
                level=chunk.level,
                levels=chunk.levels,
                segment=chunk.segment,
                recorded_at=datetime.fromtimestamp(chunk.time, UTC),
            )
            for place, chunk in enumerate(chunks)
        )
        for place, chunk in enumerate(chunks):
            if chunk.segment is not None and chunk.segment["sha256"] is not None:
                storage.add_reference(
                    session,
                    StoredFile(f"log/{first_seq + place}", chunk.segment["sha256"], 0),
                    project_id=task.project_id,
                    log_task_id=task.id,
                )
    if log_tail is not None:
        task.logs = clean_text(log_tail)
    if progress is not None:
        task.progress = progress.value
        task.scheduling.progress_detail = progress.model_dump(exclude={"type", "value"})
    for kind, data in events:
        add_event(session, task, kind, **data)
    notify(session, topic(task))
    session.flush()
    return wanted_of(task)


def wanted_of(task: Task) -> TaskStatus:
    """Return the status that an attempt must follow; see :func:`write_telemetry`."""
    status = TaskStatus(task.status)
    if status is TaskStatus.RUNNING and task.scheduling.stop_wanted is not None:
        return TaskStatus.PAUSED
    return status


def _copy_points(session: Session, claim: Claim, metrics: Sequence[Metrics]) -> None:
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, psycopg.Connection)
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY metric_points (task_id, attempt, key, step, value, recorded_at) FROM STDIN"
        ) as copy,
    ):
        for point in metrics:
            recorded_at = datetime.fromtimestamp(point.time, UTC)
            for key, value in point.values.items():
                copy.write_row(
                    (
                        claim.task_id,
                        claim.attempt,
                        clean_text(key)[:MAX_METRIC_KEY],
                        point.step,
                        value,
                        recorded_at,
                    )
                )


def log_position(session: Session, claim: Claim) -> tuple[int, str]:
    """Return the last sequence number in the task's log and the end of its text."""
    seq = session.scalar(select(func.max(LogChunk.seq)).where(LogChunk.task_id == claim.task_id))
    tail = session.scalar(select(Task.logs).where(Task.id == claim.task_id))
    return seq or 0, tail or ""


def add_checkpoint(session: Session, claim: Claim, step: int, files: Sequence[StoredFile]) -> None:
    """Record a complete checkpoint whose files are in the store and delete older ones.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    checkpoint = session.scalar(
        select(TaskCheckpoint).where(
            TaskCheckpoint.task_id == task.id,
            TaskCheckpoint.attempt == claim.attempt,
            TaskCheckpoint.step == step,
        )
    )
    if checkpoint is not None:
        return
    checkpoint = TaskCheckpoint(task_id=task.id, attempt=claim.attempt, step=step)
    session.add(checkpoint)
    session.flush()
    for file in files:
        storage.add_reference(
            session, file, project_id=task.project_id, checkpoint_id=checkpoint.id
        )
    prune_checkpoints(session, task)
    add_event(session, task, "checkpoint", step=step)
    session.flush()


def newest_checkpoint(session: Session, task_id: int) -> TaskCheckpoint | None:
    """Return the checkpoint from which a new attempt resumes, or None."""
    return session.scalar(
        select(TaskCheckpoint)
        .where(TaskCheckpoint.task_id == task_id)
        .order_by(TaskCheckpoint.step.desc(), TaskCheckpoint.attempt.desc())
        .limit(1)
    )


def set_ready(session: Session, claim: Claim, endpoint: str, token: str) -> None:
    """Tell the domain that owns the task's kind at which address the child serves requests.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    kind_of(task.type).ready(session, task, endpoint, token)
    add_event(session, task, "ready")
    session.flush()


def end_attempt(session: Session, claim: Claim, outcome: Outcome) -> None:
    """Finish the task with this attempt's outcome and free its resources.

    Raises:
        LostLease: see :func:`hold`; the outcome is discarded.
    """
    task = hold(session, claim)
    if outcome.status is TaskStatus.COMPLETED:
        reason = kind_of(task.type).failure_reason(task, outcome.result)
        if reason is not None:
            outcome = replace(outcome, status=TaskStatus.FAILED, error=reason)
    status = outcome.status
    close(session, claim, status.value, outcome.error)
    finish(session, task, outcome)
    # A completed task is never resumed, so it needs no checkpoints. At most the best ones are kept.
    if status is TaskStatus.COMPLETED:
        prune_checkpoints(session, task)


def retry(session: Session, claim: Claim, error: str) -> None:
    """End an attempt that failed through no fault of the task, and requeue the task.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    close(session, claim, "failed", error)
    scheduling = task.scheduling
    scheduling.failures += 1
    wait = timedelta(seconds=wait_before_retry(scheduling.retry_seconds, scheduling.failures))
    scheduling.not_before = func.clock_timestamp() + wait
    requeue(session, task, error)


def pause(session: Session, claim: Claim) -> None:
    """End an attempt that stopped on request. The task resumes from its checkpoint later.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    preempted = task.scheduling.stop_wanted == "preempt"
    close(session, claim, "preempted" if preempted else "paused", None)
    requeue(
        session, task, "it was preempted by a more urgent task" if preempted else "it was paused"
    )


def release(session: Session, claim: Claim, reason: str) -> None:
    """Requeue the task because this worker is stopping. The attempt does not count as a failure.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    close(session, claim, "released", reason)
    requeue(session, task, reason)


def requeue(session: Session, task: Task, reason: str) -> None:
    """Requeue a task that has lost its lease, or fail it if no attempts are left.

    A task that a user has paused remains paused; a preempted one resumes without a request.
    """
    if TaskStatus(task.status) is TaskStatus.CANCELLING:
        finish(session, task, Outcome(TaskStatus.CANCELLED))
        return
    if task.project_id is None:
        finish(session, task, Outcome(TaskStatus.CANCELLED, error="the project was deleted"))
        return
    scheduling = task.scheduling
    if not attempts_left(scheduling.failures, scheduling.max_attempts):
        finish(session, task, Outcome(TaskStatus.FAILED, error=reason))
        return
    wanted, scheduling.stop_wanted = scheduling.stop_wanted, None
    if wanted is not None:
        change_status(session, task, TaskStatus.PAUSED)
        add_event(session, task, "paused" if wanted == "pause" else "preempted")
    if wanted == "pause":
        kind_of(task.type).requeued(session, task)
        session.flush()
        return
    change_status(session, task, TaskStatus.PENDING)
    kind_of(task.type).requeued(session, task)
    add_event(session, task, "requeued", reason=reason)
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.TASK_REQUEUED,
        "task",
        task.uuid,
        project=projects_queries.uuid_of(session, task.project_id),
        reason=reason,
        attempt=scheduling.attempt,
    )
    session.flush()
    wake(session, scheduling.queue)


def expire(
    session: Session, task_id: int, fence: int, reason: str, *, of_member: bool = False
) -> bool:
    """End a lease whose holder is gone. Return False if it was renewed or released in the meantime.

    ``of_member`` is true if the holder of the lease is alive, but the worker of another node is
    gone. The holder may have locked the lease for a write; this function then waits for the lock.
    """
    lease = session.scalar(
        select(TaskLease)
        .where(TaskLease.task_id == task_id, TaskLease.fence == fence)
        .with_for_update(skip_locked=not of_member)
    )
    if lease is None:
        return False
    task = lock(session, task_id)
    task.scheduling.failures += 1
    claim = Claim(
        task_id, task.uuid, task.type, "", lease.attempt, fence, (), nodes=task.scheduling.nodes
    )
    close(session, claim, "lost", reason)
    requeue(session, task, reason)
    return True


def close(session: Session, claim: Claim, outcome: str, error: str | None) -> None:
    """End the attempt's lease and those of all its nodes."""
    held = telemetry_queries.held_by(session, claim.task_id, claim.fence)
    if held is not None:
        telemetry.close_attempt(session, claim, held)
        ran = prometheus.DURATIONS.labels(claim.task_type, outcome)
        after_commit(session, lambda: ran.observe(held.seconds))
    session.execute(
        delete(TaskLease).where(TaskLease.task_id == claim.task_id, TaskLease.fence == claim.fence)
    )
    session.execute(
        update(TaskAttempt)
        .where(TaskAttempt.task_id == claim.task_id, TaskAttempt.attempt == claim.attempt)
        .values(
            ended_at=func.clock_timestamp(),
            outcome=outcome,
            error=None if error is None else clean_text(error)[:10_000],
        )
    )
