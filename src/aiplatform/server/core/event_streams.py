"""Responses that are streams of server-sent events."""

from collections.abc import Callable

from fastapi import Request
from fastapi.responses import StreamingResponse

from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.problems import document

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Headers that keep caches and proxies from holding back events."""


class EventStream(StreamingResponse):
    """A response that streams server-sent events, as bytes because many watchers share them."""

    media_type = "text/event-stream"


def error_renderer(request: Request) -> Callable[[Problem], bytes]:
    """Return a function that encodes a problem as an ``error`` event in the caller's language."""

    def render(problem: Problem) -> bytes:
        return f"event: error\ndata: {dumps(document(request, problem))}\n\n".encode()

    return render
