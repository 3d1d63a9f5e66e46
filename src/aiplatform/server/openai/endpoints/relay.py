"""Relaying an answer to the client. If the client disconnects, the model server stops."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from aiplatform.server.core.errors import Problem
from aiplatform.server.core.problems import language_of
from aiplatform.server.openai.endpoints.failures import error_event
from aiplatform.server.openai.service import Answer

T = TypeVar("T")
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
CLIENT_CLOSED_REQUEST = 499
"""Logged status code of a request whose client disconnected before the answer began."""


class ClientDisconnected(Exception):
    """A request whose client has closed the connection."""


async def run_until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of ``work``; cancel it if the client closes the connection first.

    Raises:
        ClientDisconnected: when the client closed the connection.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnected
        return working.result()
    finally:
        gone.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Relay(Response):
    """The response for a streamed answer that has begun. It always calls :meth:`Answer.end`."""

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__(
            status_code=answer.status, media_type=answer.media_type, headers=STREAM_HEADERS
        )
        del self.headers["content-length"]
        self.answer = answer
        self.language = language_of(request)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers, and events as they arrive. An error is sent as the last event."""
        failure: Problem | None = None

        async def relay() -> None:
            nonlocal failure
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            try:
                while events := await self.answer.read():
                    await send({"type": "http.response.body", "body": events, "more_body": True})
            except Problem as problem:
                failure = problem
                last = error_event(problem, self.language)
                await send({"type": "http.response.body", "body": last, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            with contextlib.suppress(ClientDisconnected):
                await run_until_disconnect(receive, relay())
        finally:
            self.answer.end(failure)
