"""What a worker does with tasks: claim, renew, write, finish. Every write carries the fence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.protocol.messages import Metrics, Progress
from aiplatform.server.core import audit, storage
from aiplatform.server.core.broker import wake
from aiplatform.server.core.events import notify
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.tasks import queries
from aiplatform.server.tasks.errors import LostLease
from aiplatform.server.tasks.models import (
    LogChunk,
    Task,
    TaskAttempt,
    TaskCheckpoint,
    TaskLease,
    Worker,
)
from aiplatform.server.tasks.rules import attempts_left
from aiplatform.server.tasks.service.kinds import Outcome, kind_of
from aiplatform.server.tasks.service.queue import add_event, change_status, finish, lock, topic

CHECKPOINTS_KEPT = 2
MAX_METRIC_KEY = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker holds."""

    task_id: int
    task_uuid: UUID
    task_type: str
    queue: str
    attempt: int
    fence: int
    gpu_indices: tuple[int, ...]


def claim_next(session: Session, worker_id: int, queues: Sequence[str]) -> Claim | None:
    """Take the first task in queue order that the worker's free resources can run.

    The worker's row is locked first and what it holds is counted under that lock, so neither CPUs
    nor GPUs are handed out twice.
    """
    worker = session.scalars(select(Worker).where(Worker.id == worker_id).with_for_update()).one()
    held = queries.leases_of(session, worker_id)
    taken = {index for lease in held for index in lease.gpu_indices}
    free_gpus = [index for index in range(worker.gpus) if index not in taken]
    task = queries.next_claimable(
        session,
        queues,
        cpus=worker.cpus - sum(lease.cpus for lease in held),
        memory_mb=worker.memory_mb - sum(lease.memory_mb for lease in held),
        gpus=len(free_gpus),
    )
    if task is None:
        return None
    scheduling = task.scheduling
    change_status(session, task, TaskStatus.RUNNING)
    scheduling.attempt += 1
    scheduling.fence += 1
    scheduling.not_before = None
    gpus = tuple(free_gpus[: scheduling.gpus])
    session.add(
        TaskLease(
            task_id=task.id,
            worker_id=worker.id,
            project_id=task.project_id,
            attempt=scheduling.attempt,
            fence=scheduling.fence,
            cpus=scheduling.cpus,
            memory_mb=scheduling.memory_mb,
            gpu_indices=list(gpus),
        )
    )
    session.add(
        TaskAttempt(
            task_id=task.id,
            attempt=scheduling.attempt,
            fence=scheduling.fence,
            worker=worker.name,
        )
    )
    add_event(session, task, "claimed", worker=worker.name, attempt=scheduling.attempt)
    kind_of(task.type).started(session, task)
    session.flush()
    return Claim(
        task_id=task.id,
        task_uuid=task.uuid,
        task_type=task.type,
        queue=scheduling.queue,
        attempt=scheduling.attempt,
        fence=scheduling.fence,
        gpu_indices=gpus,
    )


def renew(session: Session, claim: Claim) -> None:
    """Say that the attempt lives.

    Raises:
        LostLease: when the task has moved on.
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
    """Lock lease and task for one write of the attempt; returns the task as it is now.

    The lease is locked before the task, here as in the sweep, so the two can't deadlock.

    Raises:
        LostLease: when the fence is not the task's any more; nothing may be written then.
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
    """Consecutive lines of one stream of the child; ``time`` in seconds since the epoch."""

    stream: LogStream
    text: str
    time: float


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
    """Store what the child said since the last time. Returns the task's status, for cancellation.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    if metrics:
        _copy_points(session, claim, metrics)
    if chunks:
        session.add_all(
            LogChunk(
                task_id=claim.task_id,
                seq=first_seq + place,
                attempt=claim.attempt,
                stream=chunk.stream.value,
                text=clean_text(chunk.text),
                recorded_at=datetime.fromtimestamp(chunk.time, UTC),
            )
            for place, chunk in enumerate(chunks)
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
    return TaskStatus(task.status)


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
    """Where the log of earlier attempts ended: its last sequence number, and the tail."""
    seq = session.scalar(select(func.max(LogChunk.seq)).where(LogChunk.task_id == claim.task_id))
    tail = session.scalar(select(Task.logs).where(Task.id == claim.task_id))
    return seq or 0, tail or ""


def add_checkpoint(session: Session, claim: Claim, step: int, files: Sequence[StoredFile]) -> None:
    """Record a complete checkpoint whose files are in the store; older ones are let go.

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
        storage.refer(session, file, project_id=task.project_id, checkpoint_id=checkpoint.id)
    kept = (
        select(TaskCheckpoint.id)
        .where(TaskCheckpoint.task_id == task.id)
        .order_by(TaskCheckpoint.step.desc(), TaskCheckpoint.attempt.desc())
        .limit(CHECKPOINTS_KEPT)
    )
    session.execute(
        delete(TaskCheckpoint).where(
            TaskCheckpoint.task_id == task.id, TaskCheckpoint.id.not_in(kept)
        )
    )
    add_event(session, task, "checkpoint", step=step)
    session.flush()


def newest_checkpoint(session: Session, task_id: int) -> TaskCheckpoint | None:
    """From where a new attempt goes on."""
    return session.scalar(
        select(TaskCheckpoint)
        .where(TaskCheckpoint.task_id == task_id)
        .order_by(TaskCheckpoint.step.desc(), TaskCheckpoint.attempt.desc())
        .limit(1)
    )


def set_ready(session: Session, claim: Claim, endpoint: str, token: str) -> None:
    """The child serves; let its domain know where.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    kind_of(task.type).ready(session, task, endpoint, token)
    add_event(session, task, "ready")
    session.flush()


def end_attempt(
    session: Session, claim: Claim, outcome: Outcome, *, usage: dict[str, Any] | None = None
) -> None:
    """Finish the task with the outcome of this attempt and give its resources back.

    Raises:
        LostLease: see :func:`hold`; the outcome is dropped.
    """
    task = hold(session, claim)
    status = outcome.status
    if usage:
        task.gpu_usage = usage
    _close(session, claim, status.value, outcome.error)
    finish(session, task, outcome)
    # Checkpoints serve to resume; a finished task does not.
    if status is TaskStatus.COMPLETED:
        session.execute(delete(TaskCheckpoint).where(TaskCheckpoint.task_id == task.id))


def retry(session: Session, claim: Claim, error: str) -> None:
    """End an attempt through no fault of the task's, and let the task try again.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    _close(session, claim, "failed", error)
    task.scheduling.failures += 1
    requeue(session, task, error)


def release(session: Session, claim: Claim, reason: str) -> None:
    """Give the task back to the queue, since this worker stops. It costs no attempt.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    _close(session, claim, "released", reason)
    requeue(session, task, reason)


def requeue(session: Session, task: Task, reason: str) -> None:
    """Put a task whose lease is gone back into the queue, or fail it when attempts are used up."""
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
    change_status(session, task, TaskStatus.PENDING)
    kind_of(task.type).requeued(session, task)
    add_event(session, task, "requeued", reason=reason)
    audit.record(
        session,
        audit.SYSTEM,
        AuditAction.TASK_REQUEUED,
        "task",
        task.uuid,
        project=queries.project_uuid(session, task),
        reason=reason,
        attempt=scheduling.attempt,
    )
    session.flush()
    wake(session, scheduling.queue)


def expire(session: Session, task_id: int, fence: int, reason: str) -> bool:
    """End a lease whose holder is gone. False when it was renewed away or released meanwhile."""
    lease = session.scalar(
        select(TaskLease)
        .where(TaskLease.task_id == task_id, TaskLease.fence == fence)
        .with_for_update(skip_locked=True)
    )
    if lease is None:
        return False
    task = lock(session, task_id)
    task.scheduling.failures += 1
    claim = Claim(task_id, task.uuid, task.type, "", lease.attempt, fence, ())
    _close(session, claim, "lost", reason)
    requeue(session, task, reason)
    return True


def _close(session: Session, claim: Claim, outcome: str, error: str | None) -> None:
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
