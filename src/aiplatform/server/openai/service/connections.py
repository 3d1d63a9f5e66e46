"""Persistent HTTP connections to model servers over Unix sockets or TCP.

This client is only for the platform's own model servers, never for addresses from users. It is
written with asyncio protocols and httptools because it handles every token of every answer. For
each chunk, it needs a tenth of the CPU time of a general-purpose client, which leaves that time to
a model on the same machine.
"""

import asyncio
from typing import cast
from urllib.parse import urlsplit

import httptools

from aiplatform.server.openai.rules import CONNECT_SECONDS, SILENCE_SECONDS

IDLE_KEPT = 32
"""Maximum number of unused connections kept per model server."""

BUFFER_BYTES = 1 << 18
"""Number of unread bytes above which reading from the model server pauses."""


class ConnectionLostError(Exception):
    """The model server can't be reached, closed the connection, or does not speak HTTP."""


class ResponseTimeoutError(Exception):
    """The model server sent nothing for :data:`SILENCE_SECONDS`."""


class Connection(asyncio.Protocol):
    """A connection with one exchange at a time: :meth:`send`, then :meth:`read` to the end."""

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

    # Called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of the new connection."""
        # A cast, because uvloop's transports are not derived from asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse data from the model server."""
        self.heard = True
        if self._complete:
            self._drop(ConnectionLostError("the model server sent data without a request"))
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._drop(ConnectionLostError(f"the answer of the model server is not HTTP: {error}"))
            return
        if self._size > BUFFER_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection was lost."""
        self._lost = self._lost or ConnectionLostError(
            str(exc or "the model server closed the connection")
        )
        self.reusable = False
        self._transport = None
        self._wake()

    # Called by the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header of the answer."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Note that the status and headers are complete."""
        self.status = self._parser.get_status_code()
        self._head = True

    def on_body(self, body: bytes) -> None:
        """Store a part of the answer's body, without the framing of chunked encoding."""
        self._pieces.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        """Note that the answer is complete."""
        self._complete = True
        self.reusable = self._parser.should_keep_alive()

    # Called by the service

    @property
    def is_open(self) -> bool:
        """True if the connection can be used for another exchange."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> None:
        """Send a complete request and wait for the headers of the answer.

        Raises:
            ConnectionLostError: when the connection is lost.
            ResponseTimeoutError: when the model server sends nothing.
            Exception: the error that was passed to :meth:`fail`.
        """
        self.exchanges += 1
        self.heard = self.reusable = False
        self._head = self._complete = False
        self.headers = {}
        self._parser = httptools.HttpResponseParser(self)
        if self._transport is None:
            raise self._lost or ConnectionLostError("not connected")
        self._transport.write(request)
        while not self._head:
            await self._more()

    async def read(self) -> bytes:
        """Return the data received since the last call, or wait for more; empty at the end.

        Raises:
            ConnectionLostError: when the connection is lost.
            ResponseTimeoutError: when the model server sends nothing.
            Exception: the error that was passed to :meth:`fail`.
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
        """Close the connection and make a waiting :meth:`read` raise ``error``."""
        self._failure = error
        self._pieces.clear()
        self._drop(error)

    def close(self) -> None:
        """Close the connection. If the model server is still answering, it stops."""
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
            raise ResponseTimeoutError from error
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
    """Connections to all model servers, kept per address while they are usable."""

    def __init__(self) -> None:
        self._idle: dict[str, list[Connection]] = {}

    async def get(self, endpoint: str) -> Connection:
        """Return a connection for one exchange, reusing a kept one if possible.

        Raises:
            ConnectionLostError: when the model server can't be reached.
        """
        return self._take(endpoint) or await _connect(endpoint)

    def give_back(self, endpoint: str, connection: Connection) -> None:
        """Keep the connection for the next exchange if it is usable, otherwise close it."""
        idle = self._idle.setdefault(endpoint, [])
        if connection.reusable and connection.is_open and len(idle) < IDLE_KEPT:
            idle.append(connection)
        else:
            connection.close()
            self._forget_closed(endpoint)

    def close(self) -> None:
        """Close all connections."""
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
        """Remove closed connections, and the list of a model server that has none left.

        Addresses of stopped model servers are never used again, so their lists would accumulate.
        """
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
        raise ConnectionLostError(f"can't reach the model server: {error}") from error
    return connection
