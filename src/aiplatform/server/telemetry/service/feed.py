"""Live streams of tasks: one reader per task and API process, for any number of watchers.

The reader turns new rows into frames, bytes that are sent to every watcher unchanged. A watcher
that comes later or reads too slowly is *behind*: it reads page by page until it reaches the feed's
position, and then gets the same frames as the others.

About once a second, one statement checks the permissions of all watchers. Ended sessions and API
keys are handled by :class:`CredentialWatcher`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound, Problem
from aiplatform.server.core.events import Listener
from aiplatform.server.identity.errors import Unauthenticated
from aiplatform.server.identity.service import CredentialWatcher
from aiplatform.server.projects.access import ProjectContext, find_revocations
from aiplatform.server.telemetry.service.frames import (
    Page,
    Position,
    State,
    frame,
    newest_position,
    read_page,
    state_frames,
)

log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""Seconds until the next read if a row is committed but newer than a running transaction."""
READ_SECONDS = 0.2
"""Least seconds between two reads: nobody would notice more frequent ones."""
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": still here\n\n"
SLOW_BYTES = 1 << 20
"""Largest number of bytes that wait for a watcher; one that reads more slowly is behind."""


@dataclass(slots=True, eq=False)
class Watcher:
    """One open stream. ``gone`` is set when its context is no longer valid."""

    context: ProjectContext
    position: Position
    state: State | None = None
    behind: bool = True
    frames: deque[bytes] = field(default_factory=deque)
    waiting: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    gone: Problem | None = None

    def give(self, data: bytes) -> None:
        """Queue ``data`` for sending, unless too much waits already."""
        if self.waiting + len(data) > SLOW_BYTES:
            self.behind = True
            self.frames.clear()
            self.waiting = 0
        else:
            self.frames.append(data)
            self.waiting += len(data)
        self.woken.set()

    def take(self) -> bytes:
        """Remove and return all waiting data."""
        data = b"".join(self.frames)
        self.frames.clear()
        self.waiting = 0
        return data


class Feed:
    """One task on this API process: its reader and its watchers."""

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
        """Return the parts of a position that this feed uses."""
        return Position(chunk=position.chunk) if self.log_only else position

    async def advance(self) -> Page:
        """Read one page, and give new frames to all watchers that are not behind."""
        async with self._reading:
            if self.state is None:
                # Watchers read the history themselves, each from its own position.
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
                # Streams end within seconds if the database stays away, see CredentialWatcher.
                log.warning("could not read what is new", error=str(error)[:200])
            await asyncio.sleep(min(pause, READ_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), pause)
            changed.clear()

    async def _check(self) -> None:
        """Dismiss watchers that have lost the permission to watch."""
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
    """The feeds of this API process, one per watched task; in ``app.state.feeds``."""

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
        """Yield frames from ``after`` on, until the task ends or the caller may not watch it."""
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
                    continue  # a watcher that may not watch any more gets no data that still waits
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
        """Return a page that the watcher has not seen; it is behind until it reaches the feed."""
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
