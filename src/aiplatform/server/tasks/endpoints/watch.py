"""A task live: status, progress, metrics, log and events as server-sent events.

The ``id`` of each event holds the positions in the three tables that are read, so a client that
reconnects with ``Last-Event-ID`` misses nothing and gets nothing twice.
"""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.events import Listener, wait
from aiplatform.server.core.problems import document
from aiplatform.server.identity.access import BearerToken
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks import access, queries
from aiplatform.server.tasks.models import LogChunk, MetricPoint, Task, TaskEvent

router = APIRouter(prefix="/api/v1")


@dataclass(slots=True)
class Watcher:
    """What one client has been sent."""

    event: int = 0
    point: int = 0
    chunk: int = 0
    status: str | None = None
    progress: tuple[float, Any] | None = None
    ended: bool = False
    more: bool = False

    @classmethod
    def resume(cls, last_event_id: str | None) -> "Watcher":
        """From the id of the last event that a client saw; anything else starts afresh."""
        match = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(\d{1,18})", last_event_id or "")
        if match is None:
            return cls()
        return cls(event=int(match[1]), point=int(match[2]), chunk=int(match[3]))

    @property
    def position(self) -> str:
        """The id of what was sent last."""
        return f"{self.event}-{self.point}-{self.chunk}"

    def sent(self, kind: str, data: Any) -> ServerSentEvent:
        """An event that carries the position reached with it."""
        return ServerSentEvent(event=kind, raw_data=dumps(data), id=self.position)


def news(
    request: Request, token: str | None, uuid: UUID, watcher: Watcher
) -> list[ServerSentEvent]:
    """What the client has not seen yet. Access is checked anew each time, in the same statement.

    Raises:
        Problem: when the caller may not watch any more.
    """
    with transaction() as session:
        context = access.WATCH.guard.authorize(request, session, token)
        task = queries.get_task(session, context, uuid)
        events = session.scalars(queries.settled_events(task.id, watcher.event)).all()
        points = session.scalars(queries.points_after(task.id, watcher.point)).all()
        chunks = session.scalars(queries.chunks_after(task.id, watcher.chunk)).all()
        last_event = session.scalar(
            select(func.max(TaskEvent.id)).where(TaskEvent.task_id == task.id)
        )
    out: list[ServerSentEvent] = []
    if task.status != watcher.status:
        watcher.status = task.status
        out.append(watcher.sent("status", {"status": task.status, "error": task.error_message}))
    progress = (task.progress, task.scheduling.progress_detail)
    if progress != watcher.progress:
        watcher.progress = progress
        out.append(watcher.sent("progress", {"value": progress[0], **(progress[1] or {})}))
    for row in events:
        watcher.event = row.id
        out.append(
            watcher.sent("event", {"kind": row.kind, "data": row.data, "time": row.created_at})
        )
    out.extend(_steps(watcher, points))
    for chunk in chunks:
        watcher.chunk = chunk.seq
        out.append(
            watcher.sent(
                "log",
                {
                    "seq": chunk.seq,
                    "stream": chunk.stream,
                    "text": chunk.text,
                    "time": chunk.recorded_at,
                },
            )
        )
    watcher.more = len(events) == 500 or len(points) == 2000 or len(chunks) == 500
    settled = last_event is None or watcher.event >= last_event
    watcher.ended = TaskStatus(task.status).is_final and settled and not watcher.more
    if watcher.ended:
        out.append(watcher.sent("end", {"status": task.status, "error": task.error_message}))
    return out


def _steps(watcher: Watcher, points: Any) -> list[ServerSentEvent]:
    """Points of one step and one moment together, as the runtime reported them."""
    out: list[ServerSentEvent] = []
    group: list[MetricPoint] = []

    def flush() -> None:
        if group:
            watcher.point = group[-1].id
            data = {
                "step": group[0].step,
                "values": {point.key: point.value for point in group},
                "time": group[0].recorded_at.timestamp(),
            }
            out.append(watcher.sent("metrics", data))
            group.clear()

    for point in points:
        if group and (point.step, point.recorded_at) != (group[0].step, group[0].recorded_at):
            flush()
        group.append(point)
    flush()
    return out


def skip_history(uuid: UUID, watcher: Watcher) -> None:
    """Stand after what is there now."""
    with transaction() as session:
        task_id = select(Task.id).where(Task.uuid == uuid).scalar_subquery()
        watcher.event = session.scalar(
            select(func.max(TaskEvent.id)).where(TaskEvent.task_id == task_id)
        ) or 0  # fmt: skip
        watcher.point = session.scalar(
            select(func.max(MetricPoint.id)).where(MetricPoint.task_id == task_id)
        ) or 0  # fmt: skip
        watcher.chunk = session.scalar(
            select(func.max(LogChunk.seq)).where(LogChunk.task_id == task_id)
        ) or 0  # fmt: skip


@router.get("/tasks/{task}/events", response_class=EventSourceResponse, summary="Watch a task live")
async def watch_task(
    request: Request,
    task: UUID,
    _: Annotated[ProjectContext, Depends(access.WATCH)],
    token: BearerToken,
    last_event_id: Annotated[str | None, Header()] = None,
    replay: Annotated[bool, Query(description="begin with what happened so far")] = True,
) -> AsyncIterator[ServerSentEvent]:
    """Events `status`, `progress`, `event`, `metrics`, `log`; `end` closes the stream.

    Each event's `id` resumes the stream after it. A caller who may not watch any more gets an
    `error` event within a second.
    """
    watcher = Watcher.resume(last_event_id)
    if last_event_id is None and not replay:
        await run_in_threadpool(skip_history, task, watcher)
    listener: Listener = request.app.state.listener
    async with listener.watch(f"task:{task}") as changed:
        while True:
            try:
                batch = await run_in_threadpool(news, request, token, task, watcher)
            except Problem as problem:
                yield ServerSentEvent(event="error", raw_data=dumps(document(request, problem)))
                return
            for event in batch:
                yield event
            if watcher.ended:
                return
            if not watcher.more:
                await wait(changed)
