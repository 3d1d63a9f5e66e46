"""Routes that stream a task's status, progress, metrics, log and events as server-sent events.

The ``id`` of each event contains the positions in the three tables (events, metric points, log
chunks). A client that reconnects with ``Last-Event-ID`` misses nothing and gets nothing twice.
"""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.concurrency import run_in_threadpool

from aiplatform.server.core.event_streams import HEADERS, EventStream, error_renderer
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import access
from aiplatform.server.telemetry.service.feed import Feeds, Position, newest_position

router = APIRouter(prefix="/api/v1")


@router.get("/tasks/{task}/events", response_class=EventStream, summary="Watch a task live")
async def watch_task(
    request: Request,
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    last_event_id: Annotated[str | None, Header()] = None,
    replay: Annotated[bool, Query(description="send past events first")] = True,
) -> EventStream:
    """Send `status`, `progress`, `waiting`, `event`, `metrics` and `log` events, and finally `end`.

    `waiting` contains the reason why the task is waiting, like the field `waiting` of a task. It is
    sent again when the reason changes.

    To continue after an event, send its `id` as `Last-Event-ID`. A caller who loses permission to
    watch gets an `error` event within seconds.
    """
    after = Position.read(last_event_id)
    if last_event_id is None and not replay:
        after = await run_in_threadpool(newest_position, task)
    feeds: Feeds = request.app.state.feeds
    return EventStream(feeds.watch(task, context, after, error_renderer(request)), headers=HEADERS)


@router.get("/tasks/{task}/logs/stream", response_class=EventStream, summary="Watch a log live")
async def watch_task_log(
    request: Request,
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    after: Annotated[
        int, Query(ge=0, le=2**62, description="start after the chunk with this `seq`")
    ] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStream:
    """Send only the log: `log` events with chunks like those of `GET …/logs`, `status` and `end`.

    To continue, send `after` or `Last-Event-ID`; if both are sent, `Last-Event-ID` is used.
    """
    position = Position(chunk=after) if last_event_id is None else Position.read(last_event_id)
    feeds: Feeds = request.app.state.feeds
    return EventStream(
        feeds.watch(task, context, position, error_renderer(request), log_only=True),
        headers=HEADERS,
    )
