"""Streams of server-sent events that go on where they broke."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx

from aiplatform.client.errors import ServerUnavailable, Unauthenticated, error_in, unreachable
from aiplatform.client.streams import ServerEvent, events
from aiplatform.client.transport import Transport, back_off

_GIVE_UP_SECONDS = 120.0


def follow(
    http: Transport,
    path: str,
    *,
    last_id: str | None,
    silence: float,
    deadline: float | None = None,
) -> Iterator[ServerEvent | None]:
    """Events and heartbeats (``None``) of a stream, over broken connections and new tokens.

    It ends by ``deadline`` or when the caller stops; the caller knows which event is the last.

    Args:
        http: the server.
        path: of the stream.
        last_id: begin after this event.
        silence: seconds without a byte after which a connection counts as broken.
        deadline: when to stop, by ``time.monotonic()``.

    Raises:
        ServerUnavailable: when the server stays away for two minutes.
        ApiError: when one may not watch, or no longer.
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
        # The stream ended early: the server is being restarted, or a proxy cut it.
        time.sleep(back_off(failures))
        failures += 1


def data_of(text: str) -> dict[str, Any]:
    """The JSON of an event; anything but an object is kept under ``value``."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"value": value}


def _recover(http: Transport, problem: str, token: str) -> None:
    """The server ended a stream: go on with a new token where the old one expired.

    Raises:
        ApiError: when the reason is another one, or the session is good for none.
    """
    document = data_of(problem)
    error = error_in(document, int(document.get("status") or 0))
    if not isinstance(error, Unauthenticated) or http.tokens.renew(token) is None:
        raise error
