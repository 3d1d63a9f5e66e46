"""A watcher that ends streams once the session or API key that opened them is no longer valid.

Code that ends sessions calls :func:`sessions_changed`. After the commit, every API process checks
all sessions and keys that it watches, using one statement for each kind, however many streams there
are. It also checks once a second, so that a lost wake-up costs only a second.
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
from aiplatform.server.identity.access import key_is_valid, used_sessions
from aiplatform.server.identity.models import ApiKey, AuthSession, User

log = structlog.get_logger(__name__)
TOPIC = "sessions"
RECORD_SECONDS = 15.0
"""Seconds between two updates of ``last_seen_at``. An update per request would be too costly."""
UNCHECKED_SECONDS = 5.0
"""Seconds after which streams end if the database can't be reached."""


def sessions_changed(session: Session) -> None:
    """Make all API processes check their streams once this transaction has committed."""
    notify(session, TOPIC)


Credential = tuple[int, int]
"""Ids of a session and an API key; one of them is 0."""


def valid_credentials(session: Session, credentials: Iterable[Credential]) -> set[Credential]:
    """Return the credentials that are still valid and belong to active users."""
    given = list(credentials)
    active = func.coalesce(User.is_active, False)
    sessions = session.scalars(
        select(AuthSession.id)
        .join(User, User.id == AuthSession.user_id)
        .where(AuthSession.id.in_([one for one, _ in given if one]))
        .where(AuthSession.ended_at.is_(None), active)
    )
    valid: set[Credential] = {(one, 0) for one in sessions}
    if keys := [key for _, key in given if key]:
        found = session.scalars(
            select(ApiKey.id)
            .join(User, User.id == ApiKey.user_id)
            .where(ApiKey.id.in_(keys), key_is_valid(), active)
        )
        valid |= {(0, key) for key in found}
    return valid


class CredentialWatcher:
    """The sessions and API keys with open streams in this process.

    ::

        async with credential_watcher.watch(principal.session_id) as ended:
            while not ended.is_set():
                ...
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._watched: dict[Credential, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="credential-watcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._record_used_sessions()

    @contextlib.asynccontextmanager
    async def watch(
        self, session_id: int, *, key_id: int = 0, wakes: asyncio.Event | None = None
    ) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set once the session or the API key has ended.

        The caller's event ``wakes`` is set at the same time, so that a stream need wait only for
        that event.
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
                if loop.time() - noted > RECORD_SECONDS:
                    noted = loop.time()
                    await self._record_used_sessions()
                watched = set(self._watched)
                if not watched:
                    checked = loop.time()
                    continue
                try:
                    # A frozen or disconnected database may never respond.
                    with fail_after(UNCHECKED_SECONDS):
                        valid = await run_sync(
                            _read_valid_credentials, watched, abandon_on_cancel=True
                        )
                except (SQLAlchemyError, TimeoutError) as error:
                    log.warning("could not look after streams", error=str(error)[:200])
                    if loop.time() - checked >= UNCHECKED_SECONDS:
                        self._end(watched)
                    continue
                checked = loop.time()
                self._end(watched - valid)

    async def _record_used_sessions(self) -> None:
        ids = set()
        while used_sessions:
            ids.add(used_sessions.pop())
        if ids:
            try:
                await run_sync(_write_last_seen, ids)
            except SQLAlchemyError as error:
                log.warning("could not note used sessions", error=str(error)[:200])

    def _end(self, credentials: set[Credential]) -> None:
        for credential in credentials:
            for event in self._watched.get(credential, ()):
                event.set()


def _read_valid_credentials(credentials: set[Credential]) -> set[Credential]:
    with transaction() as session:
        return valid_credentials(session, credentials)


def _write_last_seen(ids: set[int]) -> None:
    with transaction() as session:
        # Skip rows locked by others: another process may be writing the same ones, and a client
        # that renews its session must not wait.
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
