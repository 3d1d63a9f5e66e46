"""Tasks live: one reader per task and API process, however many watch it.

A look at the database makes frames, bytes that go to every watcher as they are. Whoever comes
later, or reads too slowly, is *behind*: it reads by itself, page by page, up to where the feed is,
and then gets the same frames as all others.

Who watches is asked about once a second, in one statement for all; sessions and keys that end are
seen to by :class:`Standing`.
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
from aiplatform.server.identity.service import Standing
from aiplatform.server.projects.access import ProjectContext, who_may_no_more
from aiplatform.server.tasks.service.frames import (
    Look,
    Position,
    State,
    frame,
    look,
    newest,
    state_frames,
)

log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""How soon to look again for what is committed but not yet below the oldest running transaction."""
LOOK_SECONDS = 0.2
"""Between two looks: more often, nobody sees the difference."""
HEARTBEAT_SECONDS = 15.0
HEARTBEAT = b": still here\n\n"
SLOW_BYTES = 1 << 20
"""What waits for a watcher at most; one that reads more slowly is behind."""


@dataclass(slots=True, eq=False)
class Watcher:
    """One open stream. ``gone`` is set when its context does not hold any more."""

    context: ProjectContext
    position: Position
    state: State | None = None
    behind: bool = True
    frames: deque[bytes] = field(default_factory=deque)
    waiting: int = 0
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    gone: Problem | None = None

    def give(self, data: bytes) -> None:
        """Have ``data`` sent, unless too much waits already."""
        if self.waiting + len(data) > SLOW_BYTES:
            self.behind = True
            self.frames.clear()
            self.waiting = 0
        else:
            self.frames.append(data)
            self.waiting += len(data)
        self.woken.set()

    def take(self) -> bytes:
        """All that waits."""
        data = b"".join(self.frames)
        self.frames.clear()
        self.waiting = 0
        return data


class Feed:
    """One task on this API process: its reader and whoever watches."""

    def __init__(self, uuid: UUID, permission: Permission, *, log_only: bool) -> None:
        self.uuid = uuid
        self.log_only = log_only
        self.permission = permission
        self.watchers: set[Watcher] = set()
        self.reached = Position()
        self.state: State | None = None
        self.ended = False
        self._looking = asyncio.Lock()

    def part(self, position: Position) -> Position:
        """What of a position this feed goes by."""
        return Position(chunk=position.chunk) if self.log_only else position

    async def advance(self) -> Look:
        """Look once, and give what was found to all who are not behind."""
        async with self._looking:
            if self.state is None:
                # Watchers read the history by themselves, each from where it was.
                self.reached = self.part(await run_sync(newest, self.uuid))
            found = await run_sync(look, self.uuid, self.reached, self.log_only)
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
        """Read on until nobody watches."""
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
                # Streams end within seconds if the database stays away, see Standing.
                log.warning("could not read what is new", error=str(error)[:200])
            await asyncio.sleep(min(pause, LOOK_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), pause)
            changed.clear()

    async def _check(self) -> None:
        """Dismiss those who may not watch any more."""
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
        return who_may_no_more(session, contexts, permission, hidden=NotFound(resource="task"))


class Feeds:
    """All tasks that are watched on this API process, for ``app.state.feeds``."""

    def __init__(self, listener: Listener, standing: Standing, permission: Permission) -> None:
        self._listener = listener
        self._standing = standing
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
        """Frames from ``after`` on, to the end of the task or of the right to watch it."""
        return self._serve(uuid, context, after, render_problem, log_only=log_only)

    def close(self) -> None:
        """Serve nobody any more."""
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
            self._standing.watch(
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
                    continue  # what a slow reader has not taken by then it does not get
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
        """A page of what the watcher has not seen; it is behind until it stands with the feed."""
        if feed.state is None:
            return b""  # the reader's first look is on its way, and wakes all
        if watcher.position.within(feed.reached) != watcher.position:
            # Another process may have sent what this one has yet to read.
            await feed.advance()
            watcher.position = watcher.position.within(feed.reached)
        if watcher.position == feed.reached:
            data = state_frames(feed.state, watcher.state, feed.reached)
            watcher.state = feed.state
            watcher.behind = False
            return data
        try:
            found = await run_sync(look, feed.uuid, watcher.position, feed.log_only)
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
