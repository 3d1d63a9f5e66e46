"""Live streams of inboxes: one task per API process reads new notifications for all watchers.

A position consists of the numbers of a transaction and a notification. Transactions get their
numbers before they commit. Therefore only notifications from transactions before the oldest running
one are read, because no notification can later appear at an earlier position than these. A
wake-up costs one statement for all watchers together, and a watcher needs no separate thread or
connection.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Language, Problem
from aiplatform.server.core.events import Listener
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import Unauthenticated
from aiplatform.server.identity.service import CredentialWatcher
from aiplatform.server.notifications import queries
from aiplatform.server.notifications.errors import TooManyStreams
from aiplatform.server.notifications.schemas import render

log = structlog.get_logger(__name__)
POLL_SECONDS = 1.0
SETTLE_SECONDS = 0.05
"""Seconds until the next read while a running transaction holds back committed notifications."""
HEARTBEAT_SECONDS = 15.0
MAX_STREAMS = 20
"""Maximum number of streams per user on one API process."""
PAGE = 500
HEARTBEAT = b": still here\n\n"


class Position(NamedTuple):
    """A position in the stream of notifications. Everything up to it has been sent."""

    transaction: int
    notification: int

    def __str__(self) -> str:
        """Return the position as text for the ``id`` of a server-sent event."""
        return f"{self.transaction}-{self.notification}"

    @classmethod
    def read(cls, text: str | None) -> "Position | None":
        """Return the position in an event's id, or None if the text is not such an id."""
        match = re.fullmatch(r"(\d{1,19})-(\d{1,10})", text or "")
        return None if match is None else cls(int(match[1]), int(match[2]))


def frame(event: str, data: object, position: Position | None = None) -> bytes:
    """Encode a server-sent event.

    An event without a position gets no ``id``, because it describes the current state, not history.
    """
    number = "" if position is None else f"id: {position}\n"
    return f"event: {event}\n{number}data: {dumps(data)}\n\n".encode()


@dataclass(slots=True, eq=False)
class Watcher:
    """An open stream of a user's notifications."""

    user_id: int
    language: Language
    position: Position
    frames: deque[bytes] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def enqueue(self, data: bytes) -> None:
        """Queue ``data`` for sending."""
        self.frames.append(data)
        self.woken.set()


class Hub:
    """The open streams of this API process, and the one asyncio task that serves them."""

    def __init__(self, listener: Listener, credentials: CredentialWatcher) -> None:
        self._listener = listener
        self._credentials = credentials
        self._watchers: dict[int, set[Watcher]] = {}
        self._tail: Position | None = None
        self._changed: set[int] = set()
        self._missed = False
        self._woken = asyncio.Event()
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def watching(self) -> int:
        """The number of open streams."""
        return sum(map(len, self._watchers.values()))

    def watch(
        self,
        principal: Principal,
        language: Language,
        last_event_id: str | None,
        *,
        follow: bool = True,
    ) -> AsyncIterator[bytes]:
        """Return the stream of the principal's events from now on, or after ``last_event_id``.

        Raises:
            TooManyStreams: when the principal already has :data:`MAX_STREAMS` streams open.
        """
        if len(self._watchers.get(principal.user_id, ())) >= MAX_STREAMS:
            raise TooManyStreams(limit=MAX_STREAMS)
        return self._serve(principal, language, Position.read(last_event_id), follow=follow)

    async def _enter(self, user_id: int, language: Language) -> Watcher:
        async with self._starting:
            if self._tail is None:
                self._tail = await run_sync(_current_position)
                self._task = asyncio.create_task(self._run(), name="notifications")
        # There is no await between reading the tail and adding the watcher. Notifications after the
        # tail therefore reach the watcher, and earlier ones can be read from the database.
        watcher = Watcher(user_id, language, self._tail)
        self._watchers.setdefault(user_id, set()).add(watcher)
        return watcher

    async def _serve(
        self, principal: Principal, language: Language, after: Position | None, *, follow: bool
    ) -> AsyncIterator[bytes]:
        if after is not None:
            after = await run_sync(_check_position, after)
        watcher = await self._enter(principal.user_id, language)
        tail = watcher.position
        # Another process may have sent notifications that this one has not read yet.
        watcher.position = max(tail, after or tail)
        try:
            key_id = 0 if principal.key is None else principal.key.key_id
            async with self._credentials.watch(
                principal.session_id, key_id=key_id, wakes=watcher.woken
            ) as ended:
                unread = await run_sync(_unread, watcher.user_id)
                while after is not None and after < tail:
                    page, after = await run_sync(_page, watcher, after, tail)
                    yield b"".join(page)
                yield frame("ready", {"unread": unread}, max(tail, after or tail))
                while follow and not ended.is_set():
                    await watcher.woken.wait()
                    watcher.woken.clear()
                    data = b"".join(watcher.frames)
                    watcher.frames.clear()
                    if data and not ended.is_set():
                        yield data
                if ended.is_set():
                    yield frame("error", _problem(Unauthenticated(), language))
        finally:
            self._leave(watcher)

    def _leave(self, watcher: Watcher) -> None:
        mine = self._watchers.get(watcher.user_id, set())
        mine.discard(watcher)
        if not mine:
            self._watchers.pop(watcher.user_id, None)

    def _note_change(self, user: str | None) -> None:
        """Remember that a user's inbox changed; None means that changes may have been missed.

        The database listener calls this.
        """
        if user is None:
            self._missed = True
        elif user.isdecimal() and int(user) in self._watchers:
            self._changed.add(int(user))
        self._woken.set()

    def close(self) -> None:
        """Stop serving all streams."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        beat = loop.time()
        with self._listener.follow("inbox", self._note_change), self._reset_tail_at_end():
            while self._watchers or self._starting.locked():
                try:
                    settled = await self._distribute_news()
                except SQLAlchemyError as error:
                    # If the database is unreachable for long, CredentialWatcher soon ends the
                    # streams.
                    log.warning("could not read what is new", error=str(error)[:200])
                    settled = True
                if loop.time() - beat >= HEARTBEAT_SECONDS:
                    beat = loop.time()
                    for mine in self._watchers.values():
                        for watcher in mine:
                            watcher.enqueue(HEARTBEAT)
                await self._wait(POLL_SECONDS if settled else SETTLE_SECONDS)

    @contextlib.contextmanager
    def _reset_tail_at_end(self) -> Iterator[None]:
        # However the task ends, the next watcher starts a new task, at the position that is then
        # current.
        try:
            yield
        finally:
            self._tail = None

    async def _wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()

    async def _distribute_news(self) -> bool:
        """Read new notifications and send them to the watchers.

        Return False if more can be read soon, because a page was full or a transaction is still
        running.
        """
        changed, self._changed = self._changed, set()
        if self._missed:
            self._missed = False
            changed |= set(self._watchers)
        assert self._tail is not None
        try:
            news = await run_sync(_news, self._tail, changed)
        except SQLAlchemyError:
            self._changed |= changed
            raise
        self._tail = news.tail
        for position, user_id, texts in news.rows:
            for watcher in self._watchers.get(user_id, ()):
                if position > watcher.position:
                    watcher.position = position
                    watcher.enqueue(texts[watcher.language])
        for user_id, unread in news.unread.items():
            data = frame("unread", {"unread": unread})
            for watcher in self._watchers.get(user_id, ()):
                watcher.enqueue(data)
        return news.settled


@dataclass(frozen=True, slots=True)
class News:
    """The result of one read of new notifications.

    ``settled`` is True if the read covered all committed notifications. ``unread`` maps user ids to
    numbers of unread notifications.
    """

    tail: Position
    rows: list[tuple[Position, int, dict[Language, bytes]]]
    unread: dict[int, int]
    settled: bool


def _current_position() -> Position:
    with transaction() as session:
        return Position(queries.oldest_running(session), 0)


def _check_position(after: Position) -> Position | None:
    """Return the position, or None if its transaction number is too high for this database."""
    with transaction() as session:
        return after if after.transaction <= queries.newest_transaction(session) else None


def _unread(user_id: int) -> int:
    with transaction() as session:
        return queries.count_unread(session, {user_id})[user_id]


def _page(watcher: Watcher, after: Position, tail: Position) -> tuple[list[bytes], Position | None]:
    """Return a page of a user's events between two positions, and the position to continue from.

    The position is None at the end.
    """
    with transaction() as session:
        rows = queries.notifications_between(
            session, after, tail, limit=PAGE, user_id=watcher.user_id
        )
    page = [_frames(row, watcher.language)[watcher.language] for row in rows]
    last = rows[-1] if len(rows) == PAGE else None
    return page, None if last is None else Position(int(last.position), last[0].id)


def _news(tail: Position, changed: set[int]) -> News:
    with transaction() as session:
        oldest = queries.oldest_running(session)
        rows = queries.notifications_between(session, tail, Position(oldest, 0), limit=PAGE)
        users = changed | {row[0].user_id for row in rows}
        unread = queries.count_unread(session, users) if users else {}
        full = len(rows) == PAGE
        end = max(tail, Position(oldest, 0))
        settled = not full and not queries.has_unread_commits(session, end)
    found = [
        (Position(int(row.position), row[0].id), row[0].user_id, _frames(row, "en", "zh"))
        for row in rows
    ]
    reached = found[-1][0] if full else end
    return News(reached, found, unread, settled)


def _frames(row: queries.NotificationRow, *languages: Language) -> dict[Language, bytes]:
    position = Position(int(row.position), row[0].id)
    return {
        language: frame("notification", render(row[0], row[1], language), position)
        for language in languages
    }


def _problem(problem: Problem, language: Language) -> dict[str, object]:
    return {
        "type": f"urn:aiplatform:problem:{problem.code}",
        "title": problem.title[language],
        "status": problem.status,
        "code": problem.code,
        "detail": problem.text(language),
    }
