"""Wake-ups between processes through LISTEN and NOTIFY. The data is in rows; only ids are sent.

NOTIFY within a transaction serialises all commits, so it is never used there. After the commit, the
id is passed to a thread with its own connection, which sends each topic at most once per
:data:`COALESCE_SECONDS`. Listeners also poll, so a lost notification delays an event by about a
second but does not lose it.
"""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from typing import Self

import psycopg
import structlog
from sqlalchemy.orm import Session

from aiplatform.server.core.database import KEEPALIVE_OPTIONS, after_commit
from aiplatform.server.core.settings import get_settings

log = structlog.get_logger(__name__)
CHANNEL = "aiplatform"
COALESCE_SECONDS = 0.05
POLL_SECONDS = 1.0


def libpq_url(url: str) -> str:
    """Return the URL in libpq's form, without the name of SQLAlchemy's driver."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


class Notifier:
    """A daemon thread that collects topics and sends them as notifications."""

    def __init__(self, url: str) -> None:
        self._url = libpq_url(url)
        self._topics: set[str] = set()
        self._pending = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def notify(self, topic: str) -> None:
        """Schedule a notification for ``topic`` and return immediately."""
        with self._lock:
            self._topics.add(topic)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="notifier", daemon=True)
                self._thread.start()
        self._pending.set()

    def _run(self) -> None:
        connection: psycopg.Connection | None = None
        while True:
            self._pending.wait()
            self._pending.clear()
            with self._lock:
                topics, self._topics = self._topics, set()
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(
                        self._url, autocommit=True, connect_timeout=5, **KEEPALIVE_OPTIONS
                    )
                connection.execute(
                    "SELECT pg_notify(%s, topic) FROM unnest(%s::text[]) AS topic",
                    (CHANNEL, sorted(topics)),
                )
            except psycopg.Error as error:
                # These wake-ups may be lost, because listeners also poll.
                log.warning("notify failed", error=str(error).strip())
                connection = None
            threading.Event().wait(COALESCE_SECONDS)


@cache
def get_notifier() -> Notifier:
    """Return the notifier of this process, which must not fork after this call."""
    return Notifier(get_settings().database_url)


def notify(session: Session, topic: str) -> None:
    """Notify the watchers of ``topic`` after the session's transaction has committed."""
    after_commit(session, lambda: get_notifier().notify(topic))


Follower = Callable[[str | None], None]
"""Callback for a family of topics, such as all that begin with ``task:``.

It is called with the rest of the topic after the colon, or with None if notifications may have been
lost.
"""


class Listener:
    """The database connection on which an API process receives notifications for all watchers.

    A watcher's event is set after each notification for its topic. It is also set after the
    connection was lost, because notifications may have been missed.
    """

    def __init__(self, url: str) -> None:
        self._url = libpq_url(url)
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._followers: dict[str, set[Follower]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="listener")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @contextlib.asynccontextmanager
    async def watch(self, topic: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set after notifications for ``topic``. The watcher clears it."""
        event = asyncio.Event()
        self._watchers.setdefault(topic, set()).add(event)
        try:
            yield event
        finally:
            watchers = self._watchers[topic]
            watchers.discard(event)
            if not watchers:
                del self._watchers[topic]

    @contextlib.contextmanager
    def follow(self, family: str, follower: Follower) -> Iterator[None]:
        """Call ``follower`` for each notification of a topic ``family:…`` during the block."""
        self._followers.setdefault(family, set()).add(follower)
        try:
            yield
        finally:
            self._followers[family].discard(follower)

    async def _run(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=5, **KEEPALIVE_OPTIONS
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._wake_all()
                    async for notification in connection.notifies():
                        for event in self._watchers.get(notification.payload, ()):
                            event.set()
                        family, _, rest = notification.payload.partition(":")
                        for follower in self._followers.get(family, ()):
                            follower(rest)
            except (psycopg.Error, OSError) as error:
                log.warning("listener lost its connection", error=str(error).strip())
                self._wake_all()
                await asyncio.sleep(1)

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for event in watchers:
                event.set()
        for followers in self._followers.values():
            for follower in followers:
                follower(None)


async def wait(event: asyncio.Event) -> None:
    """Wait until ``event`` is set or the poll interval has passed, then clear it."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), POLL_SECONDS)
    event.clear()
