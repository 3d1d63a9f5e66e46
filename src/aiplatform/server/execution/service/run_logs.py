"""The logs of external runs: lines are stored within a rate.

The rates and bursts are those of other tasks. Lines beyond the rate are dropped, not stored in
segments: the run's own machine has them.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.server.core.events import notify
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution.models import ExternalRun, RunWriter
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.execution.service.external import require_open
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.rules import LOG_TAIL_CHARACTERS
from aiplatform.server.queue.service.queue import add_event, lock, topic
from aiplatform.server.telemetry.errors import RecordsMissing
from aiplatform.server.telemetry.models import LogChunk
from aiplatform.server.telemetry.rules.log_levels import Level, Parser

CALM_SECONDS = 2.0
"""Seconds of the rate that must be free again before lines are kept, once some were dropped."""


def log_lines(lines: Sequence[Any], now: float) -> list[Chunk]:
    """Convert the lines of a request to chunks of the log."""
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
    """Add lines to the log of a run.

    If the run prints faster than a task may, the excess is dropped, and a line in the log says so.

    Returns:
        The number of new lines, the number of bytes dropped, the number up to which the writer's
        records are stored, and the status.

    Raises:
        NotReportedHere, TaskFinished, RecordsMissing: as for points.
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
    """Return the lines to store, within the run's rate."""
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
    """Return the lines that are kept, with a line of the platform in place of dropped ones.

    This reduces the run's allowance, which refills as time passes from line to line, up to ``now``:
    a log that is sent late, all at once, is no flood. ``rate`` is in bytes per second, ``burst`` in
    bytes, times are in seconds since the epoch.
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
