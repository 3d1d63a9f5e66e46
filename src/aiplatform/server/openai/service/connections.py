"""HTTP to our own model servers: connections that are kept alive, over unix sockets or TCP.

This client is for engines alone, never for addresses that users give. It is written on asyncio's
protocols and httptools because it handles every token of every answer: per chunk it costs a tenth
of what a general client does, and on a machine that serves its own model that time is the model's.
"""

import asyncio
from typing import cast
from urllib.parse import urlsplit

import httptools

from aiplatform.server.openai.rules import CONNECT_SECONDS, SILENCE_SECONDS

IDLE_KEPT = 32
"""Unused connections kept per engine."""

BUFFER_BYTES = 1 << 18
"""Reading from the engine stops while the caller is this far behind."""


class EngineLost(Exception):
    """The engine can't be reached, closed the connection, or speaks no HTTP."""


class EngineTimeout(Exception):
    """The engine said nothing for :data:`SILENCE_SECONDS`."""


class Connection(asyncio.Protocol):
    """One connection, with one exchange at a time: :meth:`send`, then :meth:`read` to the end."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.exchanges = 0
        self.reusable = False
        self.heard = False
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._head = False
        self._complete = True
        self._lost: Exception | None = None
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        # A cast, since uvloop's transports derive from nothing of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Something came from the engine."""
        self.heard = True
        if self._complete:
            self._drop(EngineLost("the engine spoke out of turn"))
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._drop(EngineLost(f"the engine's answer is no HTTP: {error}"))
            return
        if self._size > BUFFER_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has gone."""
        self._lost = self._lost or EngineLost(str(exc or "the engine closed the connection"))
        self.reusable = False
        self._transport = None
        self._wake()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Status and headers are known."""
        self.status = self._parser.get_status_code()
        self._head = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body, without its framing."""
        self._pieces.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        """The answer has ended."""
        self._complete = True
        self.reusable = self._parser.should_keep_alive()

    # What the service calls

    @property
    def is_open(self) -> bool:
        """Whether another exchange may be tried."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> None:
        """Send a whole request and wait for the head of the answer.

        Raises:
            EngineLost, EngineTimeout: see there; or what :meth:`fail` was given.
        """
        self.exchanges += 1
        self.heard = self.reusable = False
        self._head = self._complete = False
        self.headers = {}
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is None:
            raise self._lost or EngineLost("not connected")
        self._transport.write(request)
        while not self._head:
            await self._more()

    async def read(self) -> bytes:
        """What came since the last call, waiting for something; empty at the end of the answer.

        Raises:
            EngineLost, EngineTimeout: see there; or what :meth:`fail` was given.
        """
        while not self._pieces:
            if self._complete and self._failure is None:
                return b""
            await self._more()
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def fail(self, error: Exception) -> None:
        """End the exchange from outside: whoever reads gets ``error``, the engine a closed door."""
        self._failure = error
        self._pieces.clear()
        self._drop(error)

    def close(self) -> None:
        """Hang up. An engine that is still answering stops then."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._lost is not None:
            raise self._lost
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self._waiter
        except TimeoutError as error:
            raise EngineTimeout from error
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _drop(self, error: Exception) -> None:
        self._lost = self._lost or error
        self.close()
        self._wake()


class Connections:
    """Connections to all engines, kept per address while they are good."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}

    async def get(self, endpoint: str) -> Connection:
        """A connection for one exchange: a kept one, else a new one.

        Raises:
            EngineLost: when the engine can't be reached.
        """
        return self._take(endpoint) or await _connect(endpoint)

    def give_back(self, endpoint: str, connection: Connection) -> None:
        """Keep the connection for the next exchange if it is good for one, else hang up."""
        idle = self._idle.setdefault(endpoint, [])
        if connection.reusable and connection.is_open and len(idle) < IDLE_KEPT:
            idle.append(connection)
        else:
            connection.close()
            self._forget_closed(endpoint)

    def close(self) -> None:
        """Hang up everywhere."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    def _take(self, endpoint: str) -> Connection | None:
        idle = self._idle.get(endpoint, [])
        while idle:
            connection = idle.pop()
            if connection.is_open:
                return connection
        self._idle.pop(endpoint, None)
        return None

    def _forget_closed(self, endpoint: str) -> None:
        """An engine that is gone is never asked again, so its list must not stay behind."""
        left = [connection for connection in self._idle.get(endpoint, []) if connection.is_open]
        if left:
            self._idle[endpoint] = left
        else:
            self._idle.pop(endpoint, None)


async def _connect(endpoint: str) -> Connection:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            if endpoint.startswith("unix:"):
                path = endpoint.removeprefix("unix:")
                _, connection = await loop.create_unix_connection(Connection, path)
            else:
                url = urlsplit(endpoint)
                _, connection = await loop.create_connection(
                    Connection, url.hostname or "", url.port or 80
                )
    except (OSError, TimeoutError) as error:
        raise EngineLost(f"can't reach the engine: {error}") from error
    return connection
