"""Around every request: an id for the log, a limit on bodies, headers that browsers obey, figures.

Plain ASGI, since a middleware that wraps requests in objects would buffer streams.
"""

import time
from collections.abc import Callable
from uuid import uuid4

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiplatform.server.core.errors import TooLarge
from aiplatform.server.core.problems import render

log = structlog.get_logger("aiplatform.access")

REQUESTS = Counter("aiplatform_requests", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram("aiplatform_request_seconds", "Time to the first byte", ["method", "route"])

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class RequestContext:
    """Binds a request id to the log and counts what was answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = Headers(scope=scope).get("x-request-id", "")
        if not (8 <= len(request_id) <= 64 and request_id.isascii() and request_id.isprintable()):
            request_id = uuid4().hex
        started = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                route = getattr(scope.get("route"), "path", "none")
                SECONDS.labels(scope["method"], route).observe(time.perf_counter() - started)
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                REQUESTS.labels(scope["method"], route, status).inc()
                log.info(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                )


class BodyLimit:
    """Refuses bodies over ``limit`` bytes, but for routes that stream them and count themselves."""

    def __init__(self, app: ASGIApp, limit: int, streams: Callable[[Scope], bool]) -> None:
        self.app = app
        self.limit = limit
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""
        if scope["type"] != "http" or self.streams(scope):
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > self.limit:
            await self._refuse(scope, receive, send)
            return
        received = 0
        refused = False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.limit:
                raise TooLarge(limit=self.limit)
            return message

        async def send_unless_misread(message: Message) -> None:
            # The framework makes a 400 of whatever goes wrong while it reads a body.
            nonlocal refused
            if message["type"] == "http.response.start" and received > self.limit:
                refused = message["status"] != TooLarge.status
            if not refused:
                await send(message)

        await self.app(scope, counted, send_unless_misread)
        if refused:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        await render(request, TooLarge(limit=self.limit))(scope, receive, send)
