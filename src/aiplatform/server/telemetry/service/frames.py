"""Frames for the watchers of a task, read from the database page by page, and positions.

A position has a number for each table that is read. So it is known exactly what a client has seen,
and nothing is sent twice.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import LogLevel, TaskStatus
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.queue import queries as queue_queries
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.rules import MOVABLE
from aiplatform.server.queue.service.reasons import Waiting, waiting_reasons
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.models import MetricPoint
from aiplatform.server.telemetry.rules.log_levels import Level


@dataclass(frozen=True, slots=True)
class Position:
    """The numbers of the last event, metric point and log chunk that were sent."""

    event: int = 0
    point: int = 0
    chunk: int = 0

    def __str__(self) -> str:
        """Return the position as the ``id`` of a server-sent event."""
        return f"{self.event}-{self.point}-{self.chunk}"

    @classmethod
    def read(cls, text: str | None) -> "Position":
        """Parse the id of the last event that a client saw; anything invalid is the beginning."""
        match = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(\d{1,18})", text or "")
        return cls() if match is None else cls(*map(int, match.groups()))

    def within(self, other: "Position") -> "Position":
        """Return a position that is in no part beyond the other."""
        return Position(
            min(self.event, other.event),
            min(self.point, other.point),
            min(self.chunk, other.chunk),
        )


@dataclass(frozen=True, slots=True)
class State:
    """The current state of a task. It is sent once, and again when it changes.

    ``waiting`` is None if nothing keeps the task from starting.
    """

    status: str
    error: str | None
    progress: float
    detail: dict[str, Any] | None
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The rows from one position to another, as frames, and the state of the task."""

    state: State
    frames: bytes
    reached: Position
    more: bool
    settled: bool

    @property
    def ended(self) -> bool:
        """True if everything was sent and nothing will follow."""
        final = TaskStatus(self.state.status).is_final
        return final and self.settled and not self.more


def frame(kind: str, data: object, position: Position) -> bytes:
    """Return a server-sent event as bytes."""
    return f"event: {kind}\nid: {position}\ndata: {dumps(data)}\n\n".encode()


def state_frames(state: State, before: State | None, position: Position) -> bytes:
    """Return the frames for the parts of the state that have changed."""
    out = b""
    if before is None or state.status != before.status:
        out += frame("status", {"status": state.status, "error": state.error}, position)
    if before is None or (state.progress, state.detail) != (before.progress, before.detail):
        data = {"value": state.progress, **(state.detail or {})}
        out += frame("progress", data, position)
    if state.waiting is not None and (before is None or state.waiting != before.waiting):
        out += frame("waiting", asdict(state.waiting), position)
    return out


def read_page(uuid: UUID, after: Position, log_only: bool) -> Page:
    """Read the rows that follow ``after``: of all tables, or only of the log.

    Raises:
        NotFound: when the task was deleted.
    """
    with transaction() as session:
        task = queue_queries.task_by_uuid(session, uuid)
        if task is None:
            raise NotFound(resource="task")
        chunks = session.scalars(queries.chunks_after(task.id, after.chunk)).all()
        events: Sequence[Any] = ()
        points: Sequence[Any] = ()
        last_event = after.event
        if not log_only:
            events = session.scalars(queue_queries.settled_events(task.id, after.event)).all()
            points = session.scalars(queries.points_after(task.id, after.point)).all()
            last_event = queue_queries.last_event(session, task.id)
        waiting = None if log_only else _waiting(session, task)
    reached = after
    out: list[bytes] = []
    for row in events:
        reached = replace(reached, event=row.id)
        data = {"kind": row.kind, "data": row.data, "time": row.created_at}
        out.append(frame("event", data, reached))
    for group in _group_by_step(points):
        reached = replace(reached, point=group[-1].id)
        data = {
            "step": group[0].step,
            "values": {point.key: point.value for point in group},
            "time": group[0].recorded_at.timestamp(),
        }
        out.append(frame("metrics", data, reached))
    for chunk in chunks:
        reached = replace(reached, chunk=chunk.seq)
        level = Level(chunk.level)
        data = {
            "seq": chunk.seq,
            "attempt": chunk.attempt,
            "stream": chunk.stream,
            "level": None if level is Level.NONE else LogLevel(level.name.lower()),
            "text": chunk.text,
            "time": chunk.recorded_at,
        }
        out.append(frame("log", data, reached))
    state = State(
        task.status,
        task.error_message,
        task.progress,
        task.scheduling.progress_detail,
        waiting,
    )
    return Page(
        state,
        b"".join(out),
        reached,
        more=(
            len(events) == queue_queries.EVENTS_PER_PAGE
            or len(points) == queries.POINTS_PER_PAGE
            or len(chunks) == queries.CHUNKS_PER_PAGE
        ),
        settled=reached.event >= last_event,
    )


def _waiting(session: Session, task: Task) -> Waiting | None:
    """Return what keeps the task from starting. Watchers may see all tasks of its project."""
    if TaskStatus(task.status) not in MOVABLE:
        return None
    ahead = queue_queries.tasks_ahead(session, task.id)
    places = {} if ahead is None else {task.id: ahead + 1}
    found = waiting_reasons(session, [task], places, names=True).get(task.id)
    return found if found is not None and found.blocked else None


def newest_position(uuid: UUID) -> Position:
    """Return the position of the task's newest readable rows."""
    with transaction() as session:
        return Position(*queries.newest_ids(session, uuid))


def _group_by_step(points: Sequence[MetricPoint]) -> list[list[MetricPoint]]:
    """Group points of the same step and moment, as the runtime reported them."""
    groups: list[list[MetricPoint]] = []
    for point in points:
        last = groups[-1][0] if groups else None
        if last is not None and (point.step, point.recorded_at) == (last.step, last.recorded_at):
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups
