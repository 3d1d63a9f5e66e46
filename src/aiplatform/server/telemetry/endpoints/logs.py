"""Routes that read a task's log: in pages, by search, and as a file."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from starlette.concurrency import iterate_in_threadpool

from aiplatform.protocol.enums import LogLevel, LogStream
from aiplatform.protocol.shapes.tasks import LogChunkOut, LogLineOut
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.downloads import UNTRUSTED, content_disposition
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
)
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import access
from aiplatform.server.queue import queries as queue_queries
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.models import LogChunk
from aiplatform.server.telemetry.rules import Level
from aiplatform.server.telemetry.service import logs

router = APIRouter(prefix="/api/v1")
Stream = Annotated[LogStream | None, Query(description="only lines of this stream")]


def render_chunk(row: LogChunk) -> LogChunkOut:
    """Return the response that describes a log chunk."""
    highest = Level(row.level)
    return LogChunkOut(
        seq=row.seq,
        attempt=row.attempt,
        stream=row.stream,
        level=None if highest is Level.NONE else LogLevel(highest.name.lower()),
        text=row.text,
        kept_bytes=(row.segment or {}).get("bytes", 0),
        time=row.recorded_at,
    )


@router.get("/tasks/{task}/logs", summary="Read the log")
def get_task_logs(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 200,
    cursor: Cursor = None,
    stream: Stream = None,
) -> Page[LogChunkOut]:
    """Return the whole log in order, in chunks of whole lines.

    Where a task printed faster than `AIPLATFORM_LOG_BYTES_PER_SECOND`, a chunk of the stream
    `system` takes the place of the lines. Its `kept_bytes` is the size of the lines that were kept,
    which `download` and `search` include.
    """
    found = queue_queries.get_task(session, context, task)
    after = 0 if cursor is None else decode_cursor(cursor, int)[0]
    rows = session.scalars(
        queries.chunks_after(found.id, after, limit=limit + 1, stream=stream)
    ).all()
    items = [render_chunk(row) for row in rows[:limit]]
    more = len(rows) > limit
    return Page(items=items, next_cursor=encode_cursor(items[-1].seq) if more else None)


@router.get("/tasks/{task}/logs/search", summary="Search the log")
def search_task_logs(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 100,
    cursor: Cursor = None,
    q: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00\n]+$",
            description="text that the line contains, in any case",
        ),
    ] = None,
    level: Annotated[
        LogLevel | None, Query(description="only lines with this level or a more severe one")
    ] = None,
    stream: Stream = None,
    attempt: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    since: Annotated[
        AwareDatetime | None, Query(description="only lines printed at this time or later")
    ] = None,
    until: Annotated[
        AwareDatetime | None, Query(description="only lines printed before this time")
    ] = None,
) -> Page[LogLineOut]:
    """Return the matching lines in order.

    A page may contain few lines or none and still have a `next_cursor`; continue from there. A
    line's level is derived from what loggers write (`INFO`, `[error]`, `level=warning`,
    tracebacks). Lines without a level never match a `level`.
    """
    found = queue_queries.get_task(session, context, task)
    after = (1, 0) if cursor is None else tuple(decode_cursor(cursor, int, int))
    filters = logs.Filters(
        text=q, level=level, stream=stream, attempt=attempt, since=since, until=until
    )
    lines, following = logs.search(session, found.id, filters, (after[0], after[1]), limit)
    return Page(
        items=[LogLineOut.model_validate(line, from_attributes=True) for line in lines],
        next_cursor=None if following is None else encode_cursor(*following),
    )


@router.get(
    "/tasks/{task}/logs/download",
    response_class=StreamingResponse,
    summary="Download the log",
    responses={
        200: {"description": "The log", "content": {"text/plain": {}, "application/gzip": {}}}
    },
)
@sends_headers("Content-Disposition")
def download_task_logs(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    stream: Stream = None,
    gz: Annotated[bool, Query(description="compress the file with gzip")] = False,
    times: Annotated[
        bool, Query(description="start each line with its time, stream and level")
    ] = False,
) -> StreamingResponse:
    """Send all stored lines as a text file."""
    with transaction() as session:
        found = queue_queries.get_task(session, context, task)
    name = f"{found.name}-{str(found.uuid)[:8]}.log" + (".gz" if gz else "")
    chunks = logs.download(found.id, stream=stream, times=times, packed=gz)
    return StreamingResponse(
        iterate_in_threadpool(chunks),
        headers={**UNTRUSTED, "Content-Disposition": content_disposition(name)},
        media_type="application/gzip" if gz else "text/plain; charset=utf-8",
    )
