"""Forwarding of chat requests to a model server that implements OpenAI's API itself."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from aiplatform.runtime.serving.app import BASE, MODEL, ChatServer, Refusal, public_name

ANSWERED_NAME = re.compile(rf'"model":\s*"(?:{MODEL}|{BASE})"'.encode())
"""Pattern for the model's name in a response: one of the names that the server was started with."""


CLIENT_CLOSED_REQUEST = 499
"""Status of a response that nobody receives, because the client has disconnected."""

T = TypeVar("T")


class ClientGone(Exception):
    """The client has disconnected before the answer was complete."""


class Upstream:
    """A model server that answers chat requests.

    ``name`` is the program's name in error messages. There is no time limit for answers.
    """

    def __init__(self, name: str, url: str, socket: str | None = None) -> None:
        self.name = name
        transport = None if socket is None else httpx.AsyncHTTPTransport(uds=socket)
        self.http = httpx.AsyncClient(
            base_url=url,
            timeout=None,  # noqa: S113  (answers take as long as they take)
            trust_env=False,
            transport=transport,
        )


class Relay(ChatServer):
    """A server with the routes of :class:`ChatServer` that forwards chat requests."""

    def __init__(self, token: str, names: list[str]) -> None:
        self.token = token
        self.names = names
        self.started = int(time.time())
        self.running: set[Any] = set()

    async def forward(
        self, request: Request, upstream: Upstream, path: str, body: bytes
    ) -> Response:
        """Send ``body`` to a model server and return its answer with the client's model name.

        Raises:
            Refusal: The server does not answer.
        """
        public = public_name(request)
        outgoing = upstream.http.build_request(
            "POST", path, content=body, headers={"content-type": "application/json"}
        )
        self.running.add(outgoing)
        streams = False
        try:
            answer = await unless_gone(request, upstream.http.send(outgoing, stream=True))
            media_type = answer.headers.get("content-type", "application/json")
            streams = media_type.startswith("text/event-stream")
            if streams:
                return StreamingResponse(
                    self._events(answer, public, upstream.name),
                    answer.status_code,
                    media_type=media_type,
                )
            try:
                whole = await unless_gone(request, answer.aread())
            finally:
                await answer.aclose()
        except ClientGone:
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        except httpx.TransportError as error:
            raise Refusal(503, f"{upstream.name} does not answer: {error}") from error
        finally:
            if not streams:
                self.running.discard(outgoing)
        if answer.status_code >= 400 and (refusal := self.refusal_of(answer.status_code, whole)):
            return refusal.response()
        return Response(with_public_name(whole, public), answer.status_code, media_type=media_type)

    def refusal_of(self, status: int, body: bytes) -> Refusal | None:  # noqa: ARG002
        """Return an error that replaces the model server's, or None to pass that one on."""
        return None

    async def _events(
        self, answer: httpx.Response, public: str | None, name: str
    ) -> AsyncIterator[bytes]:
        """Yield the model server's events. If the connection breaks, the last event is an error."""
        try:
            async for piece in renamed_pieces(answer, public):
                yield piece
        except httpx.TransportError:
            error = {"message": f"{name} ended.", "type": "server_error", "code": None}
            yield b"\n\ndata: " + json.dumps({"error": error}).encode() + b"\n\n"
        finally:
            self.running.discard(answer.request)
            await answer.aclose()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of ``work``; cancel it if the client of ``request`` disconnects first.

    The cancellation closes the connection to the model server, which then stops the answer.

    Raises:
        ClientGone: The client has disconnected.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        gone.cancel()
        working.cancel()


async def _disconnected(request: Request) -> None:
    """Wait until the client disconnects. Its request must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def renamed_pieces(answer: httpx.Response, public: str | None) -> AsyncIterator[bytes]:
    """Yield a stream's bytes, with the model name that the client used.

    The stream is split only after line ends, so that no model name is split.
    """
    rest = b""
    async for piece in answer.aiter_bytes():
        whole, end, rest = (rest + piece).rpartition(b"\n")
        if end:
            yield with_public_name(whole + end, public)
    if rest:
        yield with_public_name(rest, public)


def with_public_name(answer: bytes, public: str | None) -> bytes:
    """Return a response with its model name replaced, without parsing it.

    Inside an answer's text, quotation marks are escaped, so the pattern can't match there.
    """
    if public is None:
        return answer
    named = b'"model":' + json.dumps(public, ensure_ascii=False).encode()
    return ANSWERED_NAME.sub(lambda _: named, answer)
