"""A fake model server. A request's last message is JSON that says how to respond.

``{"tokens": 5, "delay": 0.01, "die_after": 3}`` means five tokens, one every 10 ms, and a broken
connection after the third. ``{"status": 400}`` means an error response, ``{"silent": true}`` no
response.
"""

import asyncio
import json
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized"}


@dataclass
class Seen:
    """A request that the server received. ``hung_up`` is set if the client disconnected early."""

    headers: dict[str, str]
    body: dict[str, Any]
    hung_up: threading.Event = field(default_factory=threading.Event)


class FakeModelServer:
    """A fake model server on a Unix socket, in its own thread and event loop."""

    def __init__(self, token: str = "engine-token") -> None:
        self.token = token
        self.seen: list[Seen] = []
        self.connections = 0
        self._directory = tempfile.TemporaryDirectory(prefix="aip-engine-")
        self.socket = Path(self._directory.name) / "engine.sock"
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def endpoint(self) -> str:
        """The server's address in the format in which a runtime reports it."""
        return f"unix:{self.socket}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.die()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._directory.cleanup()

    def die(self) -> None:
        """Stop listening and drop all connections, like a server whose process is killed."""
        self._call(self._die())

    def hang_up_idle(self) -> None:
        """Drop all connections but keep listening, like a server that closes idle connections."""
        self._call(self._drop())

    def _call(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.socket)

    async def _die(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self.socket.unlink(missing_ok=True)
        await self._drop()

    async def _drop(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        self._writers.clear()
        await asyncio.sleep(0.05)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                pairs = (line.partition(":")[::2] for line in head[1:] if line)
                headers = {name.lower(): value.strip() for name, value in pairs}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                seen = Seen(headers, body)
                self.seen.append(seen)
                try:
                    await self._answer(reader, writer, seen)
                except ConnectionError:
                    # If the client disconnects between two checks in _sleep, a write fails first.
                    seen.hung_up.set()
                    raise
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen
    ) -> None:
        text = seen.body["messages"][-1]["content"]
        orders = json.loads(text) if text.startswith("{") else {}
        if orders.get("silent"):
            await self._sleep(reader, seen, 3600)
        if seen.headers.get("authorization") != f"Bearer {self.token}":
            _whole(writer, 401, {"error": {"message": "who are you?"}})
        elif orders.get("status", 200) != 200:
            fault = {"message": "max_tokens is too large", "type": "invalid_request_error"}
            _whole(writer, orders["status"], {"error": {**fault, "param": "max_tokens"}})
        elif seen.body.get("stream"):
            await self._stream(reader, writer, seen, orders)
        else:
            await self._sleep(reader, seen, orders.get("delay", 0))
            words = [f"w{i} " for i in range(orders.get("tokens", 3))]
            message = {"role": "assistant", "content": "".join(words)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            kind = "chat.completion"
            _whole(writer, 200, _frame(seen, kind, [choice], usage=_usage(len(words))))
        await writer.drain()

    async def _stream(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: Seen,
        orders: dict[str, Any],
    ) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        count = orders.get("tokens", 3)
        kind = "chat.completion.chunk"
        for number in range(count):
            if number == orders.get("die_after", -1):
                _chunk(writer, b'data: {"id": "torn')
                await writer.drain()
                writer.transport.abort()
                return
            delta = {"content": f"w{number} "}
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            event = b"data: " + _dumps(_frame(seen, kind, [choice])) + b"\n\n"
            if orders.get("halves"):
                _chunk(writer, event[:-1])
                await asyncio.sleep(0.002)
                event = event[-1:]
            _chunk(writer, event)
            await writer.drain()
            if orders.get("delay"):
                await self._sleep(reader, seen, orders["delay"])
        if (seen.body.get("stream_options") or {}).get("include_usage"):
            usage = _frame(seen, kind, [], usage=_usage(count))
            _chunk(writer, b"data: " + _dumps(usage) + b"\n\n")
        _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")

    @staticmethod
    async def _sleep(reader: asyncio.StreamReader, seen: Seen, seconds: float) -> None:
        """Wait for ``seconds``; raise ConnectionError if the client disconnects."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.02))
            if reader.at_eof():
                raise ConnectionError


def _usage(count: int) -> dict[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}


def _frame(seen: Seen, kind: str, choices: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": kind,
        "created": 1,
        "model": unquote(seen.headers.get("x-model-name", seen.body["model"])),
        "choices": choices,
        **more,
    }


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


def _whole(writer: asyncio.StreamWriter, status: int, value: Any) -> None:
    body = _dumps(value)
    writer.write(
        f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
