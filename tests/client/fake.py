"""A server with scripted responses that runs in the test's process.

Each response is checked against the application's OpenAPI document, so that tests can't use
responses that the application would never send. Tests mark deliberate exceptions with
:func:`malformed`.
"""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.openapi_checks import Partial, checked_answer, platform

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Broken(httpx.SyncByteStream):
    """A response body that breaks off after some bytes, as if the server had been killed."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self._chunks = chunks
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._error is not None:
            raise self._error


def answer(data: Any = None, status: int = 200, **headers: str) -> httpx.Response:
    """Return a response; the server adds headers and the members that a :class:`Partial` lacks."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}

    if data is None:
        return httpx.Response(status, headers=names)
    return httpx.Response(status, json=data, headers=names, extensions={"data": data})


def problem(status: int, code: str, detail: str, **params: Any) -> httpx.Response:
    body = {"type": f"urn:aiplatform:problem:{code}", "title": "Title", "status": status}
    data = Partial({**body, "detail": detail, "code": code, **params})
    media_type = "application/problem+json"
    return answer(data, status, content_type=media_type)


def page(*items: Any, next_cursor: str | None = None) -> httpx.Response:
    return answer({"items": list(items), "next_cursor": next_cursor})


def malformed(reason: str, response: httpx.Response) -> httpx.Response:
    """Return a response that the application never sends, with the reason for testing it."""
    assert reason
    response.extensions["malformed"] = reason
    return response


def sse(*events: tuple[str | None, str, Any], error: Exception | None = None) -> httpx.Response:
    """Return a stream of (id, event, data) that ends with ``error``, if given."""
    text = "".join(
        (f"id: {key}\n" if key else "") + f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        for key, kind, data in events
    )
    return httpx.Response(
        200,
        headers={"Content-Type": "text/event-stream"},
        stream=Broken(text.encode(), error=error),
    )


class FakeServer(httpx.BaseTransport):
    """A server with a script of responses for each ``METHOD /path``; the last one is repeated.

    Request bodies are read in chunks, as over a network.
    """

    def __init__(self) -> None:
        platform()  # load it now, and not while a test measures time
        self.scripts: dict[str, list[Answer]] = {}
        self.requests: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self._lock = threading.Lock()

    def on(self, route: str, *answers: Answer) -> "FakeServer":
        method, path = route.split(" ", 1)
        if not path.startswith("/"):
            path = f"/api/v1/{path}"
        self.scripts[f"{method} {path}"] = list(answers)
        return self

    def count(self, route: str) -> int:
        method, path = route.split(" ", 1)
        if not path.startswith("/"):
            path = f"/api/v1/{path}"
        return sum(r.method == method and r.url.path == path for r in self.requests)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        body = b"".join(request.stream)
        with self._lock:
            self.requests.append(request)
            self.bodies.append(body)
            script = self.scripts.get(f"{request.method} {request.url.path}")
            if script is None:
                return problem(404, "resource.not_found", f"{request.method} {request.url.path}")
            given = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(given, Exception):
            raise given
        return checked_answer(request, given(request) if callable(given) else given)
