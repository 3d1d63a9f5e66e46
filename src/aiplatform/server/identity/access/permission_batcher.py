"""Batched look-ups of the principals of concurrent requests."""

from typing import Any
from uuid import UUID

from aiplatform.server.core.async_database import AsyncDatabase, Batcher
from aiplatform.server.core.database import requests_await_sessions
from aiplatform.server.core.statements import Compiled


class PermissionBatcher:
    """A batcher for the permission queries of concurrent requests.

    A query never starts before its requests have arrived. A token that was revoked before a request
    arrived is therefore refused, as if the request had been checked alone.
    """

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database
        self._lanes: dict[str, Batcher[dict[str, Any], Any]] = {}

    async def row(self, statement: Compiled, token_hash: bytes, parameters: dict[str, UUID]) -> Any:
        """Return the row that ``statement`` finds for the token and the named resources, or None.

        Raises:
            psycopg.Error: when the database does not answer.
        """
        lane = self._lanes.get(statement.text)
        if lane is None:
            types = {"token_hash": "bytea", **dict.fromkeys(parameters, "uuid")}
            lane = self._lanes[statement.text] = self._lane(statement, types)
        return await lane.call({"token_hash": token_hash, **parameters})

    def _lane(self, one: Compiled, types: dict[str, str]) -> Batcher[dict[str, Any], Any]:
        many = one.for_arrays(**types)

        async def look_up(asked: list[dict[str, Any]]) -> list[Any]:
            if len(asked) == 1:
                rows = await self._database.rows(one.text, one.values(**asked[0]))
                return [rows[0] if rows else None]
            values = many.values(**{name: [each[name] for each in asked] for name in types})
            found = {row.place: row for row in await self._database.rows(many.text, values)}
            return [found.get(place) for place in range(1, len(asked) + 1)]

        # One query at a time: requests that arrive during a query are looked up together by the
        # next one, so a busy process catches up.
        return Batcher(look_up, lanes=1, patient=requests_await_sessions)
