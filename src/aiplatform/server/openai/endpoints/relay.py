"""Sends an answer on while the client listens, and lets the engine go when it does not."""

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
"""What the log says of a request whose client left before there was anything to answer."""


class ClientGone(Exception):
    """The client has hung up."""


async def until_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, which is cancelled when the client hangs up first.

    Raises:
        ClientGone: then.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_hung_up(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        gone.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Relay(Response):
    """A stream that has begun, as an HTTP answer. It ends the answer, however that goes."""

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__(
            status_code=answer.status, media_type=answer.media_type, headers=STREAM_HEADERS
        )
        del self.headers["content-length"]
        self.answer = answer
        self.language = language_of(request)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send head and events as they come; what breaks the stream off is told as its last."""
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
            with contextlib.suppress(ClientGone):
                await until_gone(receive, relay())
        finally:
            self.answer.end(failure)
