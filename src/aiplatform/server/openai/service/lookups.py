"""Who asks, and what they may ask: read on the event loop, without a thread or an ORM in between.

The rest of the server uses sync sessions in threads. Here that was measured to cost more than the
5 ms that the whole way to the first token may add: on a machine whose cores a model keeps busy,
each change of thread and each round trip waits for a core. This takes one round trip and no thread.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row
from psycopg_pool import AsyncConnectionPool

from aiplatform.server.core.events import libpq_url
from aiplatform.server.core.settings import get_settings
from aiplatform.server.openai import queries
from aiplatform.server.openai.queries import Compiled

CONNECTIONS = 4
"""A look-up takes a millisecond or two, so few connections serve many callers."""

WAIT_SECONDS = 5.0
Rows = Sequence[Any]


class Lookups:
    """Connections of this domain's own, each statement a transaction."""

    def __init__(self) -> None:
        self._pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            libpq_url(get_settings().database_url),
            kwargs={
                "autocommit": True,
                "row_factory": namedtuple_row,
                "prepare_threshold": 0,
                "connect_timeout": 5,
                "application_name": "aiplatform chat",
            },
            min_size=1,
            max_size=CONNECTIONS,
            timeout=WAIT_SECONDS,
            open=False,
            name="chat",
        )

    async def open(self) -> None:
        """Begin to connect. A database that is away is waited for by whoever looks something up."""
        await self._pool.open()

    async def close(self) -> None:
        """Hang up."""
        await self._pool.close()

    async def named(self, token: str, name: str, uuid: UUID | None) -> Rows:
        """See :func:`queries.named`.

        Raises:
            psycopg.Error: when the database does not answer.
        """
        return await self._rows(queries.named(), token, name=name, uuid=uuid)

    async def ready(self, token: str) -> Rows:
        """See :func:`queries.ready`.

        Raises:
            psycopg.Error: when the database does not answer.
        """
        return await self._rows(queries.ready(), token)

    async def _rows(self, query: Compiled, token: str, **parameters: Any) -> Rows:
        values = query.values(token, **parameters)
        stale = 0
        while True:
            async with self._pool.connection() as connection:
                try:
                    cursor = await connection.execute(query.text, values)
                    rows: Rows = await cursor.fetchall()
                except psycopg.OperationalError:
                    # Connections that a restart of the database has cut are found out by use.
                    stale += 1
                    if not connection.closed or stale > CONNECTIONS:
                        raise
                else:
                    return rows
