"""One stream of server-sent events for several topics; each topic has its own iterator.

A browser allows six connections to a server, so all of its tabs share one stream. Bytes of all
topics are sent together, at most every :data:`COALESCE_SECONDS`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import structlog

from aiplatform.server.core.errors import Problem
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import Unauthenticated
from aiplatform.server.identity.service import CredentialWatcher
from aiplatform.server.ui.service.events import HEARTBEAT, add_positions, translate

log = structlog.get_logger(__name__)
COALESCE_SECONDS = 0.25
HEARTBEAT_SECONDS = 15.0
MAX_WAITING = 1 << 20
"""Number of bytes that may be queued for a slow browser. Beyond it, reading of topics pauses."""


@dataclass(slots=True)
class Outbox:
    """A queue of events waiting to be sent, with the position that each topic has reached."""

    positions: dict[str, str]
    open_topics: int
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    async def fill(self, topic: str, frames: AsyncIterator[bytes]) -> None:
        """Queue all frames of a topic, as they arrive, until its stream ends."""
        try:
            async for data in frames:
                chunk, position = translate(topic, data)
                if not chunk:
                    continue
                while self.size > MAX_WAITING:
                    self.room.clear()
                    await self.room.wait()
                self.chunks.append(chunk)
                self.size += len(chunk)
                if position is not None:
                    self.positions[topic] = position
                self.news.set()
        finally:
            self.open_topics -= 1
            self.news.set()

    def take(self) -> bytes:
        """Remove and return all queued events, with the positions for ``Last-Event-ID``."""
        data = add_positions(b"".join(self.chunks), self.positions)
        self.chunks.clear()
        self.size = 0
        self.room.set()
        return data


async def serve(
    topics: Sequence[tuple[str, AsyncIterator[bytes]]],
    positions: dict[str, str],
    credentials: CredentialWatcher,
    principal: Principal,
    render_problem: Callable[[Problem], bytes],
) -> AsyncIterator[bytes]:
    """Yield the events of all topics until all have ended or the principal's session ends.

    Args:
        topics: name and frames of each topic.
        positions: positions from which the topics continue.
        credentials: the watcher that reports the end of the session.
        principal: the caller, whose session is watched.
        render_problem: a function that returns a problem as an event.
    """
    outbox = Outbox(dict(positions), len(topics))
    loop = asyncio.get_running_loop()
    pumps = [asyncio.create_task(outbox.fill(topic, frames)) for topic, frames in topics]
    sent = loop.time() - COALESCE_SECONDS
    try:
        async with credentials.watch(principal.session_id, wakes=outbox.news) as session_ended:
            yield HEARTBEAT  # the browser sees that the stream is open
            while not session_ended.is_set():
                if not outbox.chunks:
                    if outbox.open_topics == 0:
                        return
                    outbox.news.clear()
                    try:
                        await asyncio.wait_for(outbox.news.wait(), HEARTBEAT_SECONDS)
                    except TimeoutError:
                        yield HEARTBEAT
                    continue
                pause = sent + COALESCE_SECONDS - loop.time()
                if pause > 0:
                    await asyncio.sleep(pause)
                if not session_ended.is_set():
                    sent = loop.time()
                    yield outbox.take()
            yield render_problem(Unauthenticated())
    finally:
        for pump in pumps:
            pump.cancel()
        for pump in pumps:
            with contextlib.suppress(asyncio.CancelledError):
                try:
                    await pump
                except Exception:
                    log.exception("a topic of a stream failed")
