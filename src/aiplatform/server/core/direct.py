"""The database on the event loop: for statements that many requests ask at a time.

Over psycopg itself, without a thread or an ORM in between, which cost more than all else about a
small request. While one batch is with the database the next one gathers; so a request that comes
alone does not wait, and a hundred that come together share a round trip.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from typing import Any, Generic, Self, TypeVar

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from aiplatform.server.core.database import ALIVE
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.events import libpq_url

CONNECTIONS = 8
"""Statements here take a millisecond or two, so few connections serve many callers."""

WAIT_SECONDS = 5.0
"""How long a statement waits for a connection: a restart of the database is over by then."""

RECONNECT_SECONDS = 0.5
"""How long the pool goes on by itself with a connection that failed, before it is asked for anew.

Left to itself it would wait twice as long after each failure, and so for as long again as the
database was away.
"""

ANSWER_SECONDS = 10.0
"""How long something that is only looked up may take: a database that froze tells nobody."""

MAX_TOGETHER = 128
"""Requests of one batch."""

GATHER_SECONDS = 0.01

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
T = TypeVar("T")


class Direct:
    """An API process's connections for this; each statement is a transaction by itself."""

    def __init__(self, url: str) -> None:
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            libpq_url(url),
            kwargs={
                "autocommit": True,
                "row_factory": namedtuple_row,
                "prepare_threshold": 0,
                "connect_timeout": 5,
                "application_name": "aiplatform direct",
                **ALIVE,
            },
            min_size=1,
            max_size=CONNECTIONS,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=_configure,
            open=False,
            name="direct",
        )

    async def __aenter__(self) -> Self:
        # A database that is away is waited for by whoever asks something.
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def run(self, action: Callable[[Any], Awaitable[T]]) -> T:
        """``action`` on a connection; on another one when a restart of the database cut it.

        Raises:
            psycopg.Error: when the database refuses.
            PoolTimeout: when it can't be reached; one of these errors, too.
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
        """A connection, asked for again and again, since asking is what makes the pool connect."""
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
        """What the statement finds; columns are attributes.

        Raises:
            psycopg.Error: see :meth:`run`; PoolTimeout also when no answer came.
        """
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self.run(lambda connection: fetched(connection, statement, values))
        except TimeoutError as error:
            raise PoolTimeout(f"no answer within {ANSWER_SECONDS:g} s") from error


async def fetched(connection: Any, statement: str, values: dict[str, Any]) -> Sequence[Any]:
    """The same on a connection that is held."""
    cursor = await connection.execute(statement, values)
    rows: Sequence[Any] = await cursor.fetchall()
    return rows


async def _configure(connection: Any) -> None:
    # Plans do not depend on what is in the parameters, and making one costs tenfold.
    await connection.execute("SET plan_cache_mode = force_generic_plan")


class Batches(Generic[Asked, Answer]):
    """Hands what gathered while it was busy to ``handle``, which answers each or raises for all.

    ``lanes`` batches may be under way at a time. While ``patient`` says so, each is given
    :data:`GATHER_SECONDS` to gather. Those that were answered together often ask again together:
    the next batch waits up to ``siblings`` seconds for as many, so that it does not go with the
    first of them and leave the others to one of their own. After one that came alone it does not.
    """

    def __init__(
        self,
        handle: Callable[[list[Asked]], Awaitable[list[Answer | Exception]]],
        lanes: int,
        patient: Callable[[], bool] = lambda: False,
        siblings: float = 0.0,
    ) -> None:
        self._handle = handle
        self._patient = patient
        self._siblings = siblings
        self._expected = 0
        self._all_here = asyncio.Event()
        self._free = lanes
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, asked: Asked) -> Answer:
        """The answer to one, out of some batch."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if len(self._waiting) >= self._expected:
            self._all_here.set()
        if self._free:
            self._free -= 1
            # Not in the context of who happens to come first: neither its trace nor its log lines.
            task = asyncio.create_task(self._run(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._patient():
                    await asyncio.sleep(GATHER_SECONDS)
                if self._siblings and len(self._waiting) < self._expected:
                    await self._gather()
                batch, self._waiting = (
                    self._waiting[:MAX_TOGETHER],
                    self._waiting[MAX_TOGETHER:],
                )
                await self._answer(batch)
                together = min(len(batch) + len(self._waiting), MAX_TOGETHER)
                self._expected = together if together > 1 else 0
        finally:
            self._free += 1

    async def _gather(self) -> None:
        self._all_here.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._siblings):
                await self._all_here.wait()

    async def _answer(self, batch: list[tuple[Asked, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers: list[Answer | Exception] = await self._handle([asked for asked, _ in batch])
        except (psycopg.Error, Problem) as error:
            if len(batch) > 1 and not isinstance(error, PoolTimeout):
                # One that can't be stored must not be the others' failure.
                for one in batch:
                    await self._answer([one])
                return
            answers = [error] * len(batch)
        except Exception as error:  # noqa: BLE001  (a fault of ours; each who asked is told)
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():  # whoever asked has gone
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
