"""Database sessions, base classes for all tables, advisory locks, and a cache for query results."""

import select
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from enum import IntEnum
from functools import cache
from typing import Annotated, Any, TypeVar
from uuid import UUID

import psycopg
from anyio import CancelScope, CapacityLimiter, fail_after
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from sqlalchemy import (
    BigInteger,
    DateTime,
    Engine,
    FetchedValue,
    create_engine,
    event,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    SessionTransaction,
    mapped_column,
    sessionmaker,
)

from aiplatform.protocol.encoding import dumps, loads
from aiplatform.server.core.errors import Unavailable
from aiplatform.server.core.settings import get_settings


class AdvisoryLock(IntEnum):
    """A PostgreSQL advisory lock, which only one transaction or session can hold at a time."""

    MIGRATION = 0x41495031
    """Lock for running a migration."""
    ACCOUNTS = 0x41495032
    """Lock for creating the first administrator, because API processes may start together."""
    REAPER = 0x41495033
    """Lock for being the reaper. A worker holds it for as long as it runs the reaper."""
    EXTERNAL_RUNS = 0x4149503A
    """Lock for starting an external run; its second key is a hash of the run's name."""
    KEYS = 0x41495034
    """Lock for changing the key file."""
    BIN = 0x41495039
    """Lock for creating the project in which the bin keeps deleted objects."""
    AUDIT_SEAL = 0x41495036
    """Lock for sealing the audit trail, held for one seal."""
    AUDIT_ARCHIVE = 0x41495037
    """Lock for archiving sealed audit rows, held for one archive."""
    AUDIT_VERIFICATION = 0x4149503B
    """Lock for verifying the audit trail on request, held by the verifying process."""


Result = TypeVar("Result")
_CACHE = "aiplatform.query_cache"


@contextmanager
def query_cache(session: Session) -> Iterator[None]:
    """Cache the results of :func:`cached` during the block.

    The transaction must not change data that it reads through the cache.
    """
    session.info[_CACHE] = {}
    try:
        yield
    finally:
        del session.info[_CACHE]


def cached(session: Session, key: tuple[Any, ...], query: Callable[[], Result]) -> Result:
    """Return the cached result for ``key``, or call ``query``; see :func:`query_cache`."""
    cache: dict[tuple[Any, ...], Any] | None = session.info.get(_CACHE)
    if cache is None:
        return query()
    if key not in cache:
        cache[key] = query()
    result: Result = cache[key]
    return result


WAIT_SECONDS = 15
"""Seconds that a request waits for a database connection before it is answered with 503."""


KEEPALIVE_OPTIONS: dict[str, Any] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Options with which libpq closes a dead connection within half a minute.

A network that drops packets reports no error. With TCP's defaults, a failed write is noticed only
after 15 minutes. On a connection that only listens, the failure is noticed only after two hours.
"""

SERVER_KEEPALIVE_STATEMENTS = """
SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3
"""
"""Statements that set the same options as ``KEEPALIVE_OPTIONS`` at the server's end.

Otherwise a dead connection could hold its advisory locks.
"""


class Base(DeclarativeBase):
    """Base class of all tables. Migrations are written by hand; models only map their tables."""

    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[str]: JSONB,
        UUID: PG_UUID(as_uuid=True),
    }


class Identified:
    """A mixin with ``id``, the internal serial key, and ``uuid``, the public identifier."""

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=FetchedValue(), unique=True)


class Created:
    """A mixin with a column for the time at which the row was inserted."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class Updated(Created):
    """A mixin with the times of insertion and last change; the latter is the resource's ETag."""

    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.current_timestamp(), onupdate=func.clock_timestamp()
    )


BigKey = Annotated[int, mapped_column(BigInteger, primary_key=True)]
"""Serial key of a table that grows fast."""


PING_AFTER_SECONDS = 5.0
"""Idle seconds after which a connection is tested before it is used again.

A test before every use would make a small request a tenth slower. A connection that the server
closed is recognised without a test. A broken network is not recognised: on a connection that was
used within these seconds, the next statement fails.
"""
_IDLE_SINCE = "aiplatform.idle_since"

MAX_PREPARED_STATEMENTS = 400
"""Number of prepared statements that a connection keeps.

A worker runs about 150 different statements for a task and its periodic work. With psycopg's
default of 100, each would be discarded before it is used again. A rollback discards all prepared
statements, so work that happens for every task or request should not end with a
rollback.
"""


def _has_unread_data(connection: psycopg.Connection) -> bool:
    """Return True if the server has sent data that was not requested.

    Usually this means that it has closed the connection.
    """
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


@cache
def get_engine() -> Engine:
    """Return the engine of this process, which must not fork after this call."""
    settings = get_settings()
    engine = create_engine(
        settings.sqlalchemy_url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        pool_timeout=WAIT_SECONDS,
        # The most recently used connection has warm plans and caches.
        pool_use_lifo=True,
        json_serializer=dumps,
        json_deserializer=loads,
        # Errors are logged, and parameters contain password hashes and personal data.
        hide_parameters=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": "aiplatform",
            # A statement that has run twice is likely to run again, and planning a claim takes as
            # long as running it.
            "prepare_threshold": 1,
            **KEEPALIVE_OPTIONS,
        },
    )

    @event.listens_for(engine, "connect")
    def _utc(connection: Any, record: Any) -> None:
        connection.prepared_max = MAX_PREPARED_STATEMENTS
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
        connection.commit()
        _note_idle(connection, record)

    @event.listens_for(engine, "checkin")
    def _note_idle(_connection: Any, record: Any) -> None:
        record.info[_IDLE_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _check_connection(connection: Any, record: Any, _proxy: Any) -> None:
        idle = time.monotonic() - record.info[_IDLE_SINCE]
        try:
            if idle > PING_AFTER_SECONDS or _has_unread_data(connection):
                engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise DisconnectionError from error  # the pool makes a new one

    return engine


@cache
def session_factory() -> sessionmaker[Session]:
    """Return this process's session factory. Objects remain readable after the commit."""
    return sessionmaker(get_engine(), expire_on_commit=False)


AfterCommit = Callable[[], None]
_AFTER_COMMIT = "aiplatform.after_commit"


def after_commit(session: Session, action: AfterCommit) -> None:
    """Register ``action`` to run after the session's transaction has committed.

    An action must not fail because the broker or a listener is unavailable. The reaper repeats lost
    wake-ups, and polling replaces lost notifications.
    """
    session.info.setdefault(_AFTER_COMMIT, []).append(action)


@event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    # A rollback to a savepoint keeps the actions: those of the transaction around it still apply.
    if not transaction.nested:
        session.info.pop(_AFTER_COMMIT, None)


def commit(session: Session) -> None:
    """Commit, then run the actions that :func:`after_commit` registered."""
    session.commit()
    for action in session.info.pop(_AFTER_COMMIT, []):
        action()


@contextmanager
def transaction() -> Iterator[Session]:
    """Yield a session that commits at the end of the block, or rolls back on an error; for jobs."""
    with session_factory()() as session:
        yield session
        commit(session)


def max_sessions(pool_size: int) -> int:
    """Return how many sessions requests may hold open; the pool has ``2 * pool_size`` connections.

    A request keeps its connection while it waits for a thread. If other requests occupied all
    threads and waited there for a connection, all of them would wait forever. Requests therefore
    wait for a session outside of threads, and some connections are reserved for code that takes and
    returns one within a single thread.
    """
    return pool_size + pool_size // 2


_limiters: RunVar[tuple[CapacityLimiter, CapacityLimiter]] = RunVar("aiplatform_sessions")


@asynccontextmanager
async def session_slot() -> AsyncIterator[CapacityLimiter]:
    """Hold one of the limited number of sessions during the block.

    Yield the limiter for the threads that end sessions; see :func:`get_session`.

    Raises:
        Unavailable: no session became free within :data:`WAIT_SECONDS`.
    """
    try:
        sessions, endings = _limiters.get()
    except LookupError:
        number = max_sessions(get_settings().database_pool_size)
        sessions, endings = CapacityLimiter(number), CapacityLimiter(number)
        _limiters.set((sessions, endings))
    borrower = object()
    try:
        with fail_after(WAIT_SECONDS):
            await sessions.acquire_on_behalf_of(borrower)
    except TimeoutError as error:
        raise Unavailable(service="The database", service_zh="数据库") from error
    try:
        yield endings
    finally:
        sessions.release_on_behalf_of(borrower)


async def get_session() -> AsyncIterator[Session]:
    """Yield a session to an endpoint, and commit before the response is sent.

    This is a FastAPI dependency. Use it with ``scope="function"``: with FastAPI's default scope the
    commit would follow the response, and a failed commit would already have been reported as a
    success.
    """
    async with session_slot() as endings:
        session = session_factory()()
        done = False
        try:
            yield session
            done = True
        finally:
            if _is_over(session):
                session.close()
            else:
                # If the client disconnects in the meantime, the transaction must still be ended.
                with CancelScope(shield=True):
                    await run_sync(_end, session, done, limiter=endings)


def _is_over(session: Session) -> bool:
    """Return True if the session has no open transaction and no pending after-commit actions.

    Closing such a session does not block.
    """
    return not session.in_transaction() and _AFTER_COMMIT not in session.info


def _end(session: Session, done: bool) -> None:
    with session:
        if done:
            commit(session)
