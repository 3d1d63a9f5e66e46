"""Statements for log chunks, and for the newest rows of a task."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Select,
    func,
    or_,
    select,
    text,
)
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import LogStream
from aiplatform.server.queue.models import Task, TaskEvent
from aiplatform.server.telemetry.models import LogChunk, MetricPoint

CHUNKS_PER_PAGE = 500


def chunks_after(
    task_id: int, after: int, *, limit: int = CHUNKS_PER_PAGE, stream: LogStream | None = None
) -> Select[Any]:
    """Select the log chunks with a ``seq`` greater than ``after``, in order."""
    statement = select(LogChunk).where(LogChunk.task_id == task_id, LogChunk.seq > after)
    if stream is not None:
        statement = statement.where(LogChunk.stream == stream.value)
    return statement.order_by(LogChunk.seq).limit(limit)


def last_chunk(session: Session, task_id: int) -> int:
    """Return the ``seq`` of the task's last log chunk, or 0 if it has none."""
    last = select(func.max(LogChunk.seq)).where(LogChunk.task_id == task_id)
    return session.scalar(last) or 0


def chunks_between(
    task_id: int,
    first: int,
    until: int,
    *,
    text: str | None = None,
    level: int = 0,
    stream: LogStream | None = None,
    attempt: int | None = None,
    since: datetime | None = None,
    until_time: datetime | None = None,
) -> Select[Any]:
    """Select the log chunks with ``first <= seq < until`` that may contain matching lines.

    Chunks with a segment (lines that were moved to a blob) are always selected; the caller must
    search the segment itself. The time of any other chunk is when its lines were read, or slightly
    later. A segment covers a longer period, whose end is not known here.
    """
    own = [LogChunk.level >= level]
    if text is not None:
        own.append(LogChunk.text.icontains(text, autoescape=True))
    if stream is not None:
        own.append(LogChunk.stream == stream.value)
    if since is not None:
        own.append(LogChunk.recorded_at >= since)
    if until_time is not None:
        own.append(LogChunk.recorded_at < until_time)
    plain = own[0]
    for condition in own[1:]:
        plain &= condition
    statement = select(LogChunk).where(
        LogChunk.task_id == task_id,
        LogChunk.seq >= first,
        LogChunk.seq < until,
        or_(LogChunk.segment.is_not(None), plain),
    )
    if attempt is not None:
        statement = statement.where(LogChunk.attempt == attempt)
    return statement.order_by(LogChunk.seq)


def newest_ids(session: Session, uuid: UUID) -> tuple[int, int, int]:
    """Return the ids of a task's last event and metric point, and its last log chunk's ``seq``.

    Each is 0 if there is none. Events newer than a running transaction are ignored, because events
    with smaller ids may yet be committed.
    """
    task_id = select(Task.id).where(Task.uuid == uuid).scalar_subquery()
    settled = text("transaction_id < pg_snapshot_xmin(pg_current_snapshot())")
    event = select(func.max(TaskEvent.id)).where(TaskEvent.task_id == task_id, settled)
    point = select(func.max(MetricPoint.id)).where(MetricPoint.task_id == task_id)
    chunk = select(func.max(LogChunk.seq)).where(LogChunk.task_id == task_id)
    return session.scalar(event) or 0, session.scalar(point) or 0, session.scalar(chunk) or 0
