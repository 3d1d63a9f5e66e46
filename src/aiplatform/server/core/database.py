"""Sessions. Services flush, the edge commits; what leaves the process leaves after the commit."""

import select
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from functools import cache
from typing import Annotated, Any
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

WAIT_SECONDS = 15
"""How long a request waits for a connection before it is told to come again."""


ALIVE: dict[str, Any] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""For libpq: a connection over which nothing comes any more is given up in half a minute.

A network that drops packets tells nobody; by TCP's own figures it takes a quarter of an hour to
notice while something was sent, and two hours while one only listens.
"""

ALIVE_THERE = """
SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3
"""
"""The same for the server's end, where a lock of the session would be held as long."""


class Base(DeclarativeBase):
    """All tables. Migrations are written by hand; the models map what they made."""

    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[str]: JSONB,
        UUID: PG_UUID(as_uuid=True),
    }


class Identified:
    """The serial key that stays inside and the uuid that is shown, as the contract has them."""

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=FetchedValue(), unique=True)


class Created:
    """When the row was made."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class Updated(Created):
    """When the row was made and last changed; the ETag of the resource."""

    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.current_timestamp(), onupdate=func.clock_timestamp()
    )


BigKey = Annotated[int, mapped_column(BigInteger, primary_key=True)]
"""A serial key of a table that grows fast."""


UNASKED_SECONDS = 5.0
"""A connection that rested for longer is asked whether it still works before it is used again.

To ask each time costs a small request a tenth of its time. What the server has ended shows without
asking; a network that was cut does not, and within these seconds the statement itself finds out.
"""
_RESTS_SINCE = "aiplatform.rests_since"

STATEMENTS_KEPT = 400
"""How many statements a connection keeps prepared: all that a process runs again and again.

A worker runs some 150 different ones for a task and its sweeps; with psycopg's own 100 each would
push out the next before it comes again. A transaction that is rolled back loses them all, so what
happens with every task or request had better not end so.
"""


def _has_said_something(connection: psycopg.Connection) -> bool:
    """Whether the server wrote while nobody asked: that it ends the connection, most often."""
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


@cache
def get_engine() -> Engine:
    """The engine of this process. Call it after any fork."""
    settings = get_settings()
    engine = create_engine(
        settings.sqlalchemy_url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        pool_timeout=WAIT_SECONDS,
        # The connection that was used last: what it has planned and read is still at hand.
        pool_use_lifo=True,
        json_serializer=dumps,
        json_deserializer=loads,
        # An error's text goes to the log, and parameters are passwords' hashes and people's data.
        hide_parameters=True,
        connect_args={
            "connect_timeout": 10,
            "application_name": "aiplatform",
            # What is asked a second time will be asked again; plans of a claim take as long as it.
            "prepare_threshold": 1,
            **ALIVE,
        },
    )

    @event.listens_for(engine, "connect")
    def _utc(connection: Any, record: Any) -> None:
        connection.prepared_max = STATEMENTS_KEPT
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
        connection.commit()
        _rests(connection, record)

    @event.listens_for(engine, "checkin")
    def _rests(_connection: Any, record: Any) -> None:
        record.info[_RESTS_SINCE] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _still_answers(connection: Any, record: Any, _proxy: Any) -> None:
        rested = time.monotonic() - record.info[_RESTS_SINCE]
        try:
            if rested > UNASKED_SECONDS or _has_said_something(connection):
                engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise DisconnectionError from error  # the pool makes a new one

    return engine


@cache
def session_factory() -> sessionmaker[Session]:
    """Makes sessions on :func:`get_engine`; objects stay readable after the commit."""
    return sessionmaker(get_engine(), expire_on_commit=False)


AfterCommit = Callable[[], None]
_AFTER_COMMIT = "aiplatform.after_commit"


def after_commit(session: Session, action: AfterCommit) -> None:
    """Run ``action`` once this session's transaction has committed; never if it rolls back.

    An action must not fail for want of the broker or of a listener: a lost wake-up is made up for
    by the sweep, a lost notification by polling.
    """
    session.info.setdefault(_AFTER_COMMIT, []).append(action)


@event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    # Not for a savepoint: what the transaction around it registered still holds.
    if not transaction.nested:
        session.info.pop(_AFTER_COMMIT, None)


def commit(session: Session) -> None:
    """Commit, then run what was waiting for it."""
    session.commit()
    for action in session.info.pop(_AFTER_COMMIT, []):
        action()


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that commits at the end and rolls back on an error: the edge for jobs."""
    with session_factory()() as session:
        yield session
        commit(session)


def sessions_at_once(pool_size: int) -> int:
    """How many requests may hold a session, of the ``2 * pool_size`` connections there are.

    A request keeps its connection while it waits for a thread, so those who wait for a connection
    in a thread must never be able to take all threads: requests wait outside, and some connections
    are left to those who take one and give it back in the same thread.
    """
    return pool_size + pool_size // 2


_limiters: RunVar[tuple[CapacityLimiter, CapacityLimiter]] = RunVar("aiplatform_sessions")


@asynccontextmanager
async def admitted() -> AsyncIterator[CapacityLimiter]:
    """One of the sessions that there may be; and the threads that end them, one for each.

    Raises:
        Unavailable: when none became free in time.
    """
    try:
        sessions, endings = _limiters.get()
    except LookupError:
        number = sessions_at_once(get_settings().database_pool_size)
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


def sessions_awaited() -> bool:
    """Whether requests wait for a session, so that what comes before that costs them no time."""
    try:
        sessions, _ = _limiters.get()
    except LookupError:
        return False
    return sessions.statistics().tasks_waiting > 0


async def get_session() -> AsyncIterator[Session]:
    """FastAPI dependency, to be used with ``scope="function"``: it commits before the answer.

    With FastAPI's default scope the commit would follow the answer, and a failed commit would still
    have been told as a success.
    """
    async with admitted() as endings:
        session = session_factory()()
        done = False
        try:
            yield session
            done = True
        finally:
            if _is_over(session):
                session.close()
            else:
                # Whoever goes away meanwhile must not leave a transaction open behind them.
                with CancelScope(shield=True):
                    await run_sync(_end, session, done, limiter=endings)


def _is_over(session: Session) -> bool:
    """Whether closing it is nothing to wait for: it has no connection, nor owes a thing."""
    return not session.in_transaction() and _AFTER_COMMIT not in session.info


def _end(session: Session, done: bool) -> None:
    with session:
        if done:
            commit(session)
