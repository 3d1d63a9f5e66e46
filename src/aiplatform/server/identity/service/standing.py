"""Streams end when the session that opened them does: one look at all of them together.

Whoever ends sessions calls :func:`sessions_changed`; after its commit every API process looks which
of the watched sessions still stand, and it looks once a second anyway, so a lost wake-up costs a
second. The cost is a statement for sessions and one for API keys, however many streams there are.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Self

import structlog
from anyio import fail_after
from anyio.to_thread import run_sync
from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.core.events import Listener, notify, wait
from aiplatform.server.identity.access import SEEN, key_lives
from aiplatform.server.identity.models import ApiKey, AuthSession, User

log = structlog.get_logger(__name__)
TOPIC = "sessions"
SEEN_SECONDS = 15.0
"""Between two notes of which sessions were used; a write for each request would be too dear."""
UNCHECKED_SECONDS = 5.0
"""How long streams go on while the database can't be asked: not for as long as it is away."""


def sessions_changed(session: Session) -> None:
    """Have all API processes look, once this transaction has committed."""
    notify(session, TOPIC)


Credential = tuple[int, int]
"""Ids of a session and an API key; one of them is 0."""


def living(session: Session, credentials: Iterable[Credential]) -> set[Credential]:
    """Which of the credentials still stand, and are of users who are active."""
    given = list(credentials)
    active = func.coalesce(User.is_active, False)
    sessions = session.scalars(
        select(AuthSession.id)
        .join(User, User.id == AuthSession.user_id)
        .where(AuthSession.id.in_([one for one, _ in given if one]))
        .where(AuthSession.ended_at.is_(None), active)
    )
    stand: set[Credential] = {(one, 0) for one in sessions}
    if keys := [key for _, key in given if key]:
        found = session.scalars(
            select(ApiKey.id)
            .join(User, User.id == ApiKey.user_id)
            .where(ApiKey.id.in_(keys), key_lives(), active)
        )
        stand |= {(0, key) for key in found}
    return stand


class Standing:
    """Knows the sessions that have streams open in this process.

    ::

        async with standing.watch(principal.session_id) as ended:
            while not ended.is_set():
                ...
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._watched: dict[Credential, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="standing")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._note_seen()

    @contextlib.asynccontextmanager
    async def watch(
        self, session_id: int, *, key_id: int = 0, wakes: asyncio.Event | None = None
    ) -> AsyncIterator[asyncio.Event]:
        """An event that is set once the session, or the API key, has ended; ``wakes`` with it.

        So a stream that waits for news, on an event of its own, need not wait for two things.
        """
        credential = (session_id, key_id)
        ended = asyncio.Event()
        events = {ended} if wakes is None else {ended, wakes}
        self._watched.setdefault(credential, set()).update(events)
        try:
            yield ended
        finally:
            others = self._watched[credential]
            others -= events
            if not others:
                del self._watched[credential]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        checked = noted = loop.time()
        async with self._listener.watch(TOPIC) as woken:
            while True:
                await wait(woken)
                if loop.time() - noted > SEEN_SECONDS:
                    noted = loop.time()
                    await self._note_seen()
                watched = set(self._watched)
                if not watched:
                    checked = loop.time()
                    continue
                try:
                    # One that froze, or is cut off without a word, answers nothing at all.
                    with fail_after(UNCHECKED_SECONDS):
                        stand = await run_sync(_look, watched, abandon_on_cancel=True)
                except (SQLAlchemyError, TimeoutError) as error:
                    log.warning("could not look after streams", error=str(error)[:200])
                    if loop.time() - checked >= UNCHECKED_SECONDS:
                        self._end(watched)
                    continue
                checked = loop.time()
                self._end(watched - stand)

    async def _note_seen(self) -> None:
        ids = set()
        while SEEN:
            ids.add(SEEN.pop())
        if ids:
            try:
                await run_sync(_write_seen, ids)
            except SQLAlchemyError as error:
                log.warning("could not note used sessions", error=str(error)[:200])

    def _end(self, credentials: set[Credential]) -> None:
        for credential in credentials:
            for event in self._watched.get(credential, ()):
                event.set()


def _look(credentials: set[Credential]) -> set[Credential]:
    with transaction() as session:
        return living(session, credentials)


def _write_seen(ids: set[int]) -> None:
    with transaction() as session:
        # Another process may note the same ones, and who renews a session need not wait.
        free = (
            select(AuthSession.id)
            .where(AuthSession.id.in_(ids))
            .with_for_update(key_share=True, skip_locked=True)
        )
        session.execute(
            update(AuthSession)
            .where(AuthSession.id.in_(free))
            .values(last_seen_at=func.clock_timestamp())
            .execution_options(synchronize_session=False)
        )
