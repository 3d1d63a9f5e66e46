"""Database access on the event loop, for statements that many requests run at the same time.

It uses psycopg directly. A thread and an ORM would take longer than the rest of a small request.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, Generic, Self, TypeVar

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from aiplatform.server.core.database import KEEPALIVE_OPTIONS
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.events import libpq_url

CONNECTIONS = 8
"""Number of connections. Statements here take a millisecond or two, so a few are enough."""

WAIT_SECONDS = 5.0
"""Seconds that a statement waits for a connection; enough for a restart of the database."""

RECONNECT_SECONDS = 0.5
"""Seconds for which the pool itself retries a failed connection.

The pool doubles its pause after each failure. After a database outage, it could therefore wait for
as long as the outage lasted before retrying. Once these seconds have passed, :class:`AsyncDatabase`
requests a new connection instead.
"""

QUERY_SECONDS = 10.0
"""Time limit in seconds for a query, because a hanging database does not close its connections."""

MAX_BATCH = 128
"""Largest number of requests in one batch."""

Argument = TypeVar("Argument")
Result = TypeVar("Result")
T = TypeVar("T")


class AsyncDatabase:
    """An API process's connections for short statements. Each statement has its own transaction."""

    def __init__(self, url: str) -> None:
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            libpq_url(url),
            kwargs={
                "autocommit": True,
                "row_factory": namedtuple_row,
                "prepare_threshold": 0,
                "connect_timeout": 5,
                "application_name": "aiplatform direct",
                **KEEPALIVE_OPTIONS,
            },
            min_size=1,
            max_size=CONNECTIONS,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=_configure,
            open=False,
            name="direct",
        )

    async def __aenter__(self) -> Self:
        # The database may be unreachable now; each statement waits for a connection.
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def run(self, action: Callable[[Any], Awaitable[T]]) -> T:
        """Run ``action`` on a connection, and again on another one if the database was restarted.

        Raises:
            psycopg.Error: the database refused the statement.
            PoolTimeout: the database can't be reached. It is a subclass of psycopg.Error.
        """
        stale = 0
        while True:
            async with self._connection() as connection:
                try:
                    return await action(connection)
                except psycopg.OperationalError:
                    stale += 1
                    if not connection.closed or stale > CONNECTIONS:
                        raise

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """Yield a connection from the pool.

        While the database is unreachable, this keeps requesting one for up to ``WAIT_SECONDS``,
        because the pool connects only when a connection is requested.
        """
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                connection = await self._pool.getconn(timeout=2 * RECONNECT_SECONDS)
                break
            except PoolTimeout:
                if time.monotonic() >= until:
                    raise
        try:
            yield connection
        finally:
            await self._pool.putconn(connection)

    async def rows(self, statement: str, values: dict[str, Any]) -> Sequence[Any]:
        """Run a statement and return its rows; columns are attributes.

        Raises:
            psycopg.Error: see :meth:`run`. PoolTimeout is also raised if no response arrives in
                time.
        """
        try:
            async with asyncio.timeout(QUERY_SECONDS):
                return await self.run(lambda connection: fetch_rows(connection, statement, values))
        except TimeoutError as error:
            raise PoolTimeout(f"no answer within {QUERY_SECONDS:g} s") from error


async def fetch_rows(connection: Any, statement: str, values: dict[str, Any]) -> Sequence[Any]:
    """Run a statement on the given connection and return its rows."""
    cursor = await connection.execute(statement, values)
    rows: Sequence[Any] = await cursor.fetchall()
    return rows


async def _configure(connection: Any) -> None:
    # The plans do not depend on the parameters, and planning takes ten times as long as running.
    await connection.execute("SET plan_cache_mode = force_generic_plan")


class Batcher(Generic[Argument, Result]):
    """A function that handles concurrent calls in batches.

    ``handle`` gets the arguments of a batch and returns a result or an exception for each; if it
    raises, all calls in the batch fail. Up to ``lanes`` batches run at the same time; further calls
    wait for the next batch. A single call therefore does not wait, and a hundred concurrent calls
    share a round trip.
    """

    def __init__(
        self, handle: Callable[[list[Argument]], Awaitable[list[Result | Exception]]], lanes: int
    ) -> None:
        self._handle = handle
        self._free = lanes
        self._waiting: list[tuple[Argument, asyncio.Future[Result]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, argument: Argument) -> Result:
        """Add a call to a batch and return its result."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((argument, future))
        if self._free:
            self._free -= 1
            # A new context, so that the batch does not belong to the trace and log of its first
            # caller.
            task = asyncio.create_task(self._run(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = (
                    self._waiting[:MAX_BATCH],
                    self._waiting[MAX_BATCH:],
                )
                await self._handle_batch(batch)
        finally:
            self._free += 1

    async def _handle_batch(self, batch: list[tuple[Argument, "asyncio.Future[Result]"]]) -> None:
        try:
            results: list[Result | Exception] = await self._handle(
                [argument for argument, _ in batch]
            )
        except (psycopg.Error, Problem) as error:
            if len(batch) > 1 and not isinstance(error, PoolTimeout):
                # One value that can't be stored must not fail the other calls.
                for one in batch:
                    await self._handle_batch([one])
                return
            results = [error] * len(batch)
        except Exception as error:  # noqa: BLE001  (a bug; each caller gets the error)
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():  # the caller was cancelled
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
