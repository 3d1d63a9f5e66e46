"""External runs: start, heartbeat, log, artifacts and end. ``telemetry`` stores their metrics.

The task of such a run has the status ``running`` from the start. It holds no lease: no worker
claims it, and it does not count towards any quota. Everyone who may write the project's tasks may
report for it. If it reports nothing for too long, the platform ends it (*gives it up*). Its log has
a rate limit.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.protocol.specs import ExternalSpec
from aiplatform.server.core import audit, storage
from aiplatform.server.core.database import AdvisoryLock
from aiplatform.server.core.errors import InvalidFilePath
from aiplatform.server.core.events import notify
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import Spooled, disk_space_required
from aiplatform.server.core.storage import BlobRef, StoredFile
from aiplatform.server.execution.errors import TooManyArtifacts
from aiplatform.server.execution.models import ExternalRun, RunWriter
from aiplatform.server.execution.rules import MAX_ARTIFACTS, path_fault
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import TaskFinished
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.rules import LOG_TAIL_CHARACTERS
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.queue.service.queue import add_event, finish, lock, topic
from aiplatform.server.telemetry.errors import NotReportedHere, RecordsMissing
from aiplatform.server.telemetry.models import LogChunk
from aiplatform.server.telemetry.rules import Level, Parser

QUEUE = "external"
"""Name of the queue that external runs are in; no worker may serve this queue."""


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
    """Create an external run. Return its task, and True if it is new.

    If the project already has a run with this ``client_id``, that run is returned.

    Raises:
        NotFound: the project has no such experiment.
    """
    if client_id is not None:
        # A repeated request waits here until the first one has committed.
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
    """Record a heartbeat and return the run's status, which may ask the run to stop.

    Raises:
        NotReportedHere: the task is run by a worker.
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
    """End a run with the outcome that it reports. Reporting the same end again is not an error.

    A run that had failed because it was silent for too long gets the reported status and accepts no
    further reports. A run that was asked to stop and then given up remains cancelled; the report is
    added to its result.

    Raises:
        NotReportedHere: the task is run by a worker.
        TaskFinished: the run has ended with another status.
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
    # A run may complete before it learns that it has been cancelled; this is not an error.
    if current is status or current is TaskStatus.CANCELLED:
        return task
    raise TaskFinished(task_status=task.status)


def _note_report(session: Session, context: ProjectContext, task: Task, status: TaskStatus) -> None:
    """Record that a run that was given up for its silence has since reported how it ended."""
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
    """End a run that was silent for too long. Return False if it has reported in the meantime."""
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
        NotReportedHere: the task is run by a worker.
        TaskFinished: the run has ended, unless the platform gave it up.
    """
    run = session.get(ExternalRun, task.id, populate_existing=True)
    if run is None:
        raise NotReportedHere(task_type=task.type)
    if TaskStatus(task.status).is_final and not run.given_up:
        raise TaskFinished(task_status=task.status)
    return run


CALM_SECONDS = 2.0
"""Allowance that a run needs before its lines are stored again after some were dropped.

The unit is seconds of output at the rate limit.
"""


def log_lines(lines: Sequence[Any], now: float) -> list[Chunk]:
    """Convert the lines of a request to log chunks."""
    return [
        Chunk(LogStream(line.stream), line.text, now if line.time is None else line.time)
        for line in lines
    ]


def write_log(
    session: Session,
    task: Task,
    lines: Sequence[Chunk],
    *,
    writer: UUID | None = None,
    first: int | None = None,
) -> tuple[int, int, int | None, TaskStatus]:
    """Append lines to the log of a run.

    Output beyond the rate limit is dropped, and a line in the log records this.

    Returns:
        The number of new lines; the number of bytes dropped; the number up to which the writer's
        records are stored, or None without a writer; the status of the task.

    Raises:
        NotReportedHere: the task is run by a worker.
        TaskFinished: the run has ended, unless the platform gave it up.
        RecordsMissing: lines of the writer before ``first`` were never sent.
    """
    task = lock(session, task.id)
    run = require_open(session, task)
    run.renewals += 1
    reached = None
    if writer is not None and first is not None:
        before = _taken(session, task.id, writer)
        if first > before + 1:
            raise RecordsMissing(expected=before + 1)
        lines = lines[before + 1 - first :]
        reached = before + len(lines)
        _take(session, task.id, writer, reached)
    lost = run.log_lost_bytes
    if lines:
        _add_chunks(session, task, _keep_within_rate(session, task, run, lines))
    return len(lines), run.log_lost_bytes - lost, reached, TaskStatus(task.status)


def _keep_within_rate(
    session: Session, task: Task, run: ExternalRun, lines: Sequence[Chunk]
) -> list[Chunk]:
    """Return the lines to store, so that the log stays within the rate limit.

    The first time lines are dropped, this is recorded in the task's timeline.
    """
    settings = get_settings()
    for line in lines:
        text = clean_text(line.text)
        line.text = text if text.endswith("\n") else text + "\n"
    lost, rate = run.log_lost_bytes, settings.log_bytes_per_second
    burst, now = settings.log_burst_bytes, time.time()
    kept = limit_rate(run, lines, rate=rate, burst=burst, now=now)
    if run.log_lost_bytes and not lost:
        add_event(session, task, "log_flooded", bytes_per_second=rate)
    return kept


def _add_chunks(session: Session, task: Task, lines: Sequence[Chunk]) -> None:
    seq = session.scalar(select(func.max(LogChunk.seq)).where(LogChunk.task_id == task.id)) or 0
    merged: list[Chunk] = []
    for line in lines:
        last = merged[-1] if merged else None
        if last is not None and last.stream is line.stream and not (last.segment or line.segment):
            last.text += line.text
        else:
            merged.append(line)
    for chunk in merged:
        if chunk.segment is None:
            level, chunk.levels = Parser().runs(chunk.text)
            chunk.level = int(level)
    session.add_all(
        LogChunk(
            task_id=task.id,
            seq=seq + place,
            attempt=1,
            stream=chunk.stream.value,
            text=chunk.text,
            level=chunk.level,
            levels=chunk.levels,
            segment=chunk.segment,
            recorded_at=datetime.fromtimestamp(chunk.time, UTC),
        )
        for place, chunk in enumerate(merged, 1)
    )
    added = "".join(chunk.text for chunk in merged)
    tail = session.scalar(select(Task.logs).where(Task.id == task.id)) or ""
    task.logs = (tail + added)[-LOG_TAIL_CHARACTERS:]
    notify(session, topic(task))
    session.flush()


def limit_rate(
    run: ExternalRun, lines: Sequence[Chunk], *, rate: float, burst: float, now: float
) -> list[Chunk]:
    """Return the lines to store, with a line from the platform in place of dropped ones.

    Each line reduces the run's allowance of bytes, which refills according to the lines'
    timestamps. A log that was printed slowly is therefore stored completely, even if it is sent
    late and in one request. ``rate`` is in bytes per second, ``burst`` in bytes; times are in
    seconds since the epoch.
    """
    allowance = burst if run.log_allowance is None else run.log_allowance
    # If the clock was set back, the allowance would not refill until the old time is reached again.
    filled = None if run.log_filled_at is None else min(run.log_filled_at.timestamp(), now)
    kept: list[Chunk] = []
    lost: list[int] = []
    for line in lines:
        size, at = len(line.text.encode()), min(line.time, now)
        filled = at if filled is None else filled
        allowance = min(burst, allowance + rate * max(0.0, at - filled))
        filled = max(filled, at)
        if lost and allowance >= min(burst, rate * CALM_SECONDS):
            kept.append(_in_place_of(run, lost, rate, at))
            lost = []
        if lost or size > allowance:
            lost.append(size)
        else:
            allowance -= size
            kept.append(line)
    if lost:
        kept.append(_in_place_of(run, lost, rate, min(lines[-1].time, now)))
    run.log_allowance = allowance
    run.log_filled_at = None if filled is None else datetime.fromtimestamp(filled, UTC)
    return kept


def _in_place_of(run: ExternalRun, lost: Sequence[int], rate: float, at: float) -> Chunk:
    run.log_lost_bytes += sum(lost)
    text = f"{sum(lost):,} bytes in {len(lost):,} lines were dropped here: "
    text += f"the run prints more than {rate / 1000:.0f} kB/s."
    chunk = Chunk(LogStream.SYSTEM, text + "\n", at)
    chunk.level, chunk.levels = int(Level.WARNING), [[0, int(Level.WARNING)]]
    gone = {"lost_bytes": sum(lost), "lost_lines": len(lost)}
    chunk.segment = {"sha256": None, "bytes": 0, "lines": 0, **gone}
    return chunk


def _taken(session: Session, task_id: int, writer: UUID) -> int:
    return (
        session.scalar(
            select(RunWriter.taken).where(RunWriter.task_id == task_id, RunWriter.writer == writer)
        )
        or 0
    )


def _take(session: Session, task_id: int, writer: UUID, taken: int) -> None:
    statement = insert(RunWriter).values(task_id=task_id, writer=writer, taken=taken)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["task_id", "writer"], set_={"taken": statement.excluded.taken}
        )
    )


def check_path(path: str) -> None:
    """Refuse a path that an artifact can't have.

    Raises:
        InvalidFilePath: the path is refused; the error says why.
    """
    fault = path_fault(path)
    if fault is not None:
        raise InvalidFilePath(path=path[:200], reason=fault.en, reason_zh=fault.zh)


def add_artifact(
    session: Session, context: ProjectContext, task: Task, path: str, spooled: Spooled
) -> StoredFile:
    """Store a file for an external run, replacing an existing one with the same path.

    Raises:
        NotReportedHere: the task is run by a worker, which stores its files.
        TaskFinished: the run has ended, unless the platform gave it up.
        InvalidFilePath: the path is invalid, is a folder of another file, or lies below one.
        TooManyArtifacts: the run already has ``MAX_ARTIFACTS`` files.
        QuotaExceeded: the project has no storage left for the file.
        InsufficientStorage: the disk is full.
    """
    task = lock(session, task.id)
    require_open(session, task).renewals += 1
    own = BlobRef.task_id == task.id
    folders = [path[:place] for place, letter in enumerate(path) if letter == "/"]
    clash = or_(BlobRef.path.in_(folders), func.starts_with(BlobRef.path, literal(f"{path}/")))
    if session.scalar(select(BlobRef.id).where(own, clash).limit(1)) is not None:
        raise InvalidFilePath(
            path=path[:200],
            reason="another file of the run uses this path as a folder, or a part of it as a file",
            reason_zh="与该运行的另一文件冲突（同名文件夹）",
        )
    session.execute(delete(BlobRef).where(own, BlobRef.path == path))
    if (session.scalar(select(func.count()).where(own)) or 0) >= MAX_ARTIFACTS:
        raise TooManyArtifacts(limit=MAX_ARTIFACTS)
    file = StoredFile(path, spooled.sha256, spooled.size)
    quotas.charge_storage(session, context.project_id, file.size)
    with disk_space_required():
        storage.store_file(session, spooled.path, file.sha256, file.size, move=True)
    storage.add_reference(session, file, project_id=context.project_id, task_id=task.id)
    audit.record(
        session,
        context.actor,
        AuditAction.TASK_ARTIFACT_UPLOADED,
        "task",
        task.uuid,
        project=context.project_uuid,
        path=path,
        size=file.size,
        sha256=file.sha256,
    )
    session.flush()
    return file
