"""Live task streams: one reader per task and API process, for any number of watchers.

The reader reads new rows page by page and turns them into frames, bytes that are sent unchanged to
every watcher. A watcher that joins later or reads too slowly is *behind*: it reads pages itself
until it reaches the feed's position, and from then on gets the same frames as the others.

About once a second, one statement checks the permissions of all watchers. Streams whose session or
API key has ended are closed by :class:`CredentialWatcher`.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from uuid import UUID

import structlog
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import LogLevel, TaskStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound, Problem
from aiplatform.server.core.events import Listener
from aiplatform.server.identity.errors import Unauthenticated
from aiplatform.server.identity.service import CredentialWatcher
from aiplatform.server.projects.access import ProjectContext, find_revocations
from aiplatform.server.queue import queries as queue_queries
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.rules import MOVABLE
from aiplatform.server.queue.service.reasons import Waiting, waiting_reasons
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.models import MetricPoint
from aiplatform.server.telemetry.rules import Level


@dataclass(frozen=True, slots=True)
class Position:
    """The numbers of the last event, metric point and log chunk that were sent."""

    event: int = 0
    point: int = 0
    chunk: int = 0

    def __str__(self) -> str:
        """Return the position in the form of a server-sent event's ``id``."""
        return f"{self.event}-{self.point}-{self.chunk}"

    @classmethod
    def read(cls, text: str | None) -> "Position":
        """Return the position from an event id that a client sent; the start if it is invalid."""
        match = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(\d{1,18})", text or "")
        return cls() if match is None else cls(*map(int, match.groups()))

    def within(self, other: "Position") -> "Position":
        """Return this position with each number capped at that of ``other``."""
        return Position(
            min(self.event, other.event),
            min(self.point, other.point),
            min(self.chunk, other.chunk),
        )


@dataclass(frozen=True, slots=True)
class State:
    """The current state of a task. It is sent once, and again whenever it changes.

    ``waiting`` is None if nothing keeps the task from starting.
    """

    status: str
    error: str | None
    progress: float
    detail: dict[str, Any] | None
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The new rows after a position, as frames, and the current state of the task.

    ``reached`` is the position of the last row. ``more`` is true if further rows can be read now,
    and ``settled`` is true if no committed event is held back by a running transaction.
    """

    state: State
    frames: bytes
    reached: Position
    more: bool
    settled: bool

    @property
    def ended(self) -> bool:
        """True if everything has been sent and nothing will follow."""
        final = TaskStatus(self.state.status).is_final
        return final and self.settled and not self.more


def frame(kind: str, data: object, position: Position) -> bytes:
    """Return a server-sent event as bytes."""
    return f"event: {kind}\nid: {position}\ndata: {dumps(data)}\n\n".encode()


def state_frames(state: State, before: State | None, position: Position) -> bytes:
    """Return the frames for those parts of the state that have changed."""
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
    """Read the rows after a position, from all tables or only from the log.

    Raises:
        NotFound: the task has been deleted.
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
    """Return the reason why the task does not start; None if nothing prevents it.

    The reason may name other tasks, because watchers may see all of the project's tasks.
    """
    if TaskStatus(task.status) not in MOVABLE:
        return None
    ahead = queue_queries.tasks_ahead(session, task.id)
    places = {} if ahead is None else {task.id: ahead + 1}
    found = waiting_reasons(session, [task], places, names=True).get(task.id)
    return found if found is not None and found.blocked else None


def newest_position(uuid: UUID) -> Position:
    """Return the position of the task's newest rows; see :func:`queries.newest_ids`."""
    with transaction() as session:
        return Position(*queries.newest_ids(session, uuid))


def _group_by_step(points: Sequence[MetricPoint]) -> list[list[MetricPoint]]:
    """Group adjacent points with the same step and time, which the runtime reported together."""
    groups: list[list[MetricPoint]] = []
    for point in points:
        last = groups[-1][0] if groups else None
        if last is not None and (point.step, point.recorded_at) == (last.step, last.recorded_at):
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""Seconds until the next read if a committed event is newer than a running transaction.

Such an event can't be sent yet; see :func:`queries.settled_events`.
"""
READ_SECONDS = 0.2
"""Minimum seconds between two reads. Users would not notice a shorter interval."""
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": still here\n\n"
SLOW_BYTES = 1 << 20
"""Largest number of bytes queued for a watcher; beyond that, the watcher is *behind*."""


@dataclass(slots=True, eq=False)
class Watcher:
    """One open stream of a client.

    ``behind`` is explained in the module's docstring. ``gone`` is set when the stream must end: the
    caller may no longer watch the task, or the task was deleted.
    """

    context: ProjectContext
    position: Position
    state: State | None = None
    behind: bool = True
    frames: deque[bytes] = field(default_factory=deque)
    waiting: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    gone: Problem | None = None

    def give(self, data: bytes) -> None:
        """Queue ``data`` for sending.

        If too much is queued, drop all of it and mark the watcher as behind.
        """
        if self.waiting + len(data) > SLOW_BYTES:
            self.behind = True
            self.frames.clear()
            self.waiting = 0
        else:
            self.frames.append(data)
            self.waiting += len(data)
        self.woken.set()

    def take(self) -> bytes:
        """Remove and return all queued data."""
        data = b"".join(self.frames)
        self.frames.clear()
        self.waiting = 0
        return data


class Feed:
    """The live stream of one task in this API process: its reader and its watchers."""

    def __init__(self, uuid: UUID, permission: Permission, *, log_only: bool) -> None:
        self.uuid = uuid
        self.log_only = log_only
        self.permission = permission
        self.watchers: set[Watcher] = set()
        self.reached = Position()
        self.state: State | None = None
        self.ended = False
        self._reading = asyncio.Lock()

    def part(self, position: Position) -> Position:
        """Return the position, with 0 in place of each number that this feed does not use."""
        return Position(chunk=position.chunk) if self.log_only else position

    async def advance(self) -> Page:
        """Read one page and give its frames to all watchers that are not behind."""
        async with self._reading:
            if self.state is None:
                # The feed starts at the newest rows. Watchers read all earlier rows themselves.
                self.reached = self.part(await run_sync(newest_position, self.uuid))
            found = await run_sync(read_page, self.uuid, self.reached, self.log_only)
            data = found.frames
            changed = state_frames(found.state, self.state, found.reached)
            self.reached, self.state = found.reached, found.state
            self.ended = found.ended
            for watcher in self.watchers:
                if watcher.behind:
                    watcher.woken.set()
                    continue
                if data or changed:
                    watcher.give(changed + data)
                if not watcher.behind:
                    watcher.position, watcher.state = found.reached, found.state
                if self.ended:
                    watcher.woken.set()
            return found

    async def run(self, changed: asyncio.Event) -> None:
        """Read until the task is deleted, or until the feed is cancelled because nobody watches."""
        loop = asyncio.get_running_loop()
        checked = loop.time()
        while True:
            pause = POLL_SECONDS
            try:
                found = await self.advance()
                if found.more:
                    continue
                if not found.settled:
                    pause = SETTLE_SECONDS
                if loop.time() - checked >= POLL_SECONDS:
                    checked = loop.time()
                    await self._check()
            except NotFound as problem:
                self._dismiss(self.watchers, problem)
                return
            except SQLAlchemyError as error:
                # If the database is unreachable for long, CredentialWatcher soon ends the streams.
                log.warning("could not read what is new", error=str(error)[:200])
            await asyncio.sleep(min(pause, READ_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), pause)
            changed.clear()

    async def _check(self) -> None:
        """End the streams of watchers that have lost permission to watch."""
        asked = list(self.watchers)
        contexts = [watcher.context for watcher in asked]
        refusals = await run_sync(_refusals, contexts, self.permission)
        for watcher, refusal in zip(asked, refusals, strict=True):
            if refusal is not None:
                self._dismiss({watcher}, refusal)

    @staticmethod
    def _dismiss(watchers: set[Watcher], problem: Problem) -> None:
        for watcher in watchers:
            watcher.gone = problem
            watcher.woken.set()


def _refusals(contexts: list[ProjectContext], permission: Permission) -> list[Problem | None]:
    with transaction() as session:
        return find_revocations(session, contexts, permission, hidden=NotFound(resource="task"))


class Feeds:
    """The feeds of this API process, one per watched task; stored in ``app.state.feeds``."""

    def __init__(
        self, listener: Listener, credentials: CredentialWatcher, permission: Permission
    ) -> None:
        self._listener = listener
        self._credentials = credentials
        self._permission = permission
        self._feeds: dict[tuple[UUID, bool], Feed] = {}
        self._readers: dict[tuple[UUID, bool], asyncio.Task[None]] = {}

    def watch(
        self,
        uuid: UUID,
        context: ProjectContext,
        after: Position,
        render_problem: Callable[[Problem], bytes],
        *,
        log_only: bool = False,
    ) -> AsyncIterator[bytes]:
        """Yield frames from ``after`` on, until the task ends or the caller may no longer watch."""
        return self._serve(uuid, context, after, render_problem, log_only=log_only)

    def close(self) -> None:
        """Stop all readers."""
        for reader in self._readers.values():
            reader.cancel()

    @contextlib.asynccontextmanager
    async def _join(self, uuid: UUID, watcher: Watcher, *, log_only: bool) -> AsyncIterator[Feed]:
        key = (uuid, log_only)
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(uuid, self._permission, log_only=log_only)
        watcher.position = feed.part(watcher.position)
        feed.watchers.add(watcher)
        if key not in self._readers or self._readers[key].done():
            self._readers[key] = asyncio.create_task(self._read(feed), name=f"feed {uuid}")
        try:
            yield feed
        finally:
            feed.watchers.discard(watcher)
            if not feed.watchers and self._feeds.get(key) is feed:
                del self._feeds[key]
                self._readers.pop(key).cancel()

    async def _read(self, feed: Feed) -> None:
        async with self._listener.watch(f"task:{feed.uuid}") as changed:
            await feed.run(changed)

    async def _serve(
        self,
        uuid: UUID,
        context: ProjectContext,
        after: Position,
        render_problem: Callable[[Problem], bytes],
        *,
        log_only: bool,
    ) -> AsyncIterator[bytes]:
        watcher = Watcher(context, after)
        principal = context.principal
        key_id = 0 if principal.key is None else principal.key.key_id
        async with (
            self._join(uuid, watcher, log_only=log_only) as feed,
            self._credentials.watch(
                principal.session_id, key_id=key_id, wakes=watcher.woken
            ) as session_ended,
        ):
            while True:
                if session_ended.is_set():
                    yield render_problem(Unauthenticated())
                    return
                if watcher.gone is not None:
                    yield render_problem(watcher.gone)
                    return
                watcher.woken.clear()
                if watcher.behind:
                    data = await self._catch_up(feed, watcher)
                else:
                    data = watcher.take()
                if session_ended.is_set() or watcher.gone is not None:
                    continue  # data that is still queued is not sent once permission is lost
                if data:
                    yield data
                    continue
                if feed.ended and not watcher.behind and watcher.state is not None:
                    state = watcher.state
                    end = {"status": state.status, "error": state.error}
                    yield frame("end", end, watcher.position)
                    return
                try:
                    await asyncio.wait_for(watcher.woken.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield HEARTBEAT

    @staticmethod
    async def _catch_up(feed: Feed, watcher: Watcher) -> bytes:
        """Read the next page for a watcher that is behind and return its frames.

        When the watcher has reached the feed's position, it is no longer behind.
        """
        if feed.state is None:
            return b""  # the reader's first page is on its way, and wakes all watchers
        if watcher.position.within(feed.reached) != watcher.position:
            # The client may have received newer rows from another process.
            await feed.advance()
            watcher.position = watcher.position.within(feed.reached)
        if watcher.position == feed.reached:
            data = state_frames(feed.state, watcher.state, feed.reached)
            watcher.state = feed.state
            watcher.behind = False
            return data
        try:
            found = await run_sync(read_page, feed.uuid, watcher.position, feed.log_only)
        except NotFound as problem:
            watcher.gone = problem
            return b""
        except SQLAlchemyError as error:
            log.warning("could not read what was missed", error=str(error)[:200])
            await asyncio.sleep(POLL_SECONDS)
            return b""
        data = state_frames(found.state, watcher.state, watcher.position) + found.frames
        watcher.position, watcher.state = found.reached, found.state
        return data
