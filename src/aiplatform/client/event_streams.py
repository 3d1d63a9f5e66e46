"""Streams of server-sent events: their parser, and a reader that continues after interruptions."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from aiplatform.client.errors import ServerUnavailable, Unauthenticated, error_in, unreachable
from aiplatform.client.transport import Transport, back_off


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A server-sent event.

    ``id`` is the last id that the stream has sent, perhaps with an earlier event.
    """

    event: str
    data: str
    id: str | None


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""Yield the lines of a stream, which end in ``\n``, ``\r\n`` or ``\r``.

    A chunk may end in the middle of a line. ``str.splitlines`` would also split at U+2028 and
    U+0085, which JSON text may contain.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A carriage return at the end may be the first half of ``\r\n``.
        held = b"\r" if rest.endswith(b"\r") else b""
        complete = rest[: len(rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = complete.split(b"\n")
        rest += held
        for line in whole:
            yield line.decode("utf-8", "replace")


def events(chunks: Iterable[bytes]) -> Iterator[ServerEvent | None]:
    """Yield the events of a stream, and ``None`` for each comment.

    Servers send comments as heartbeats. An incomplete event at the end of the stream is dropped, as
    the standard requires.
    """
    kind = ""
    data: list[str] = []
    last_id: str | None = None
    for line in lines(chunks):
        if not line:
            if data:
                yield ServerEvent(kind or "message", "\n".join(data), last_id)
            kind = ""
            data = []
            continue
        if line.startswith(":"):
            yield None
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id" if "\x00" not in value:
                last_id = value


_GIVE_UP_SECONDS = 120.0


def follow(
    http: Transport,
    path: str,
    *,
    last_id: str | None,
    silence: float,
    deadline: float | None = None,
) -> Iterator[ServerEvent | None]:
    """Yield the events and heartbeats (``None``) of a stream; reconnect and renew tokens if needed.

    The stream ends at ``deadline`` or when the caller stops iterating, because only the caller can
    tell which event is the last.

    Args:
        http: the connection to the server.
        path: the path of the stream in the API.
        last_id: start after the event with this id.
        silence: seconds without any data after which a connection counts as broken.
        deadline: the value of ``time.monotonic()`` at which to stop.

    Raises:
        ServerUnavailable: if the server can't be reached for two minutes.
        ApiError: if the user lacks, or has lost, permission to watch the stream.
    """
    heard = time.monotonic()
    failures = 0
    while True:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        patience = silence
        if deadline is not None:
            patience = max(0.05, min(silence, deadline - time.monotonic()))
        token = http.tokens.current()
        try:
            with http.stream("GET", path, headers=headers, read_timeout=patience) as response:
                for event in events(response.iter_raw()):
                    heard = time.monotonic()
                    if event is not None and event.event == "error":
                        _recover(http, event.data, token)
                        break
                    if event is not None:
                        failures = 0
                        last_id = event.id or last_id
                    yield event
                    if deadline is not None and time.monotonic() >= deadline:
                        return
        except (httpx.TransportError, ServerUnavailable) as error:
            if deadline is not None and time.monotonic() >= deadline:
                return
            if time.monotonic() - heard > _GIVE_UP_SECONDS:
                if isinstance(error, httpx.TransportError):
                    raise unreachable(http.url, error) from error
                raise
        # The stream ended early: the server is restarting, or a proxy closed the connection.
        time.sleep(back_off(failures))
        failures += 1


def data_of(text: str) -> dict[str, Any]:
    """Return the JSON of an event; anything but an object is returned as ``{"value": …}``."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"value": value}


def _recover(http: Transport, problem: str, token: str) -> None:
    """Renew an expired token after the server ended a stream.

    Raises:
        ApiError: if the stream ended for another reason, or the session can't be renewed.
    """
    document = data_of(problem)
    error = error_in(document, int(document.get("status") or 0))
    if not isinstance(error, Unauthenticated) or http.tokens.renew(token) is None:
        raise error
