"""Look-ups of callers and their deployments on the event loop, without threads or the ORM.

The rest of the server uses synchronous sessions in threads. Measurements showed that this takes
longer than the 5 ms that the API may add to the time to the first token: if a model keeps the cores
busy, each thread switch and each round trip waits for a core. These look-ups take one round trip
and no thread.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiplatform.server.core.async_database import AsyncDatabase
from aiplatform.server.core.statements import Compiled
from aiplatform.server.identity.access import RECORD_KEY_USE, hash_token
from aiplatform.server.openai import queries

Rows = Sequence[Any]


class Lookups:
    """The OpenAI-compatible API's SQL statements, run on the event loop."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database

    async def find_by_name(self, token: str, name: str, uuid: UUID | None) -> Rows:
        """Return the rows of :func:`queries.deployments_by_name`.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        return await self._rows(queries.deployments_by_name(), token, name=name, uuid=uuid)

    async def list_ready(self, token: str) -> Rows:
        """Return the rows of :func:`queries.ready_deployments`.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        return await self._rows(queries.ready_deployments(), token)

    async def find_endpoint(self, deployment_id: int) -> Any:
        """Return endpoint and token of a deployment if it is ready, otherwise None.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        query = queries.serving_endpoint()
        rows = await self._database.rows(query.text, query.values(id=deployment_id))
        return rows[0] if rows else None

    async def record_key_use(self, key_id: int) -> None:
        """Record that an API key was used.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        await self._database.run(
            lambda connection: connection.execute(RECORD_KEY_USE, {"key_id": key_id})
        )

    async def _rows(self, query: Compiled, token: str, **parameters: Any) -> Rows:
        values = query.values(token_hash=hash_token(token), **parameters)
        return await self._database.rows(query.text, values)
