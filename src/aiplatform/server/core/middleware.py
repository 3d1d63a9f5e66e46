"""Middleware for every request: request ids, body limits, security headers, metrics and traces.

It is plain ASGI, because middleware that wraps requests in objects would buffer streams.
"""

import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from uuid import uuid4

import structlog
from prometheus_client import Counter, Histogram
from pydantic_core import from_json
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiplatform.server.core import tracing
from aiplatform.server.core.clients import client_address
from aiplatform.server.core.errors import Problem, TooLarge
from aiplatform.server.core.problems import render
from aiplatform.server.core.request_checks import came_by_https

log = structlog.get_logger("aiplatform.access")

REQUESTS = Counter("aiplatform_requests", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram("aiplatform_request_seconds", "Time to the first byte", ["method", "route"])

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Responses are data. No browser may run them, show them in a frame, or submit forms from them.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'; sandbox",
    "Cache-Control": "no-store",
}
"""Headers of every response, unless the route sets them itself."""

HSTS = "max-age=31536000"
MAX_DEPTH = 200
"""Largest nesting depth of JSON in requests, which is the limit of pydantic's parser.

Stored data may be nested up to 254 levels.
"""


class RequestContext:
    """ASGI middleware that binds a request id to the log, sets headers, and counts requests."""

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
                if came_by_https(HTTPConnection(scope)):
                    headers.setdefault("Strict-Transport-Security", HSTS)
                route = getattr(scope.get("route"), "path", "none")
                SECONDS.labels(scope["method"], route).observe(time.perf_counter() - started)
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                REQUESTS.labels(scope["method"], route, status).inc()
                # Routes that programs call a thousand times a second would fill most of the log.
                quiet = status < 400 and scope.get("state", {}).get("unlogged", False)
                (log.debug if quiet else log.info)(
                    "request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                )


class TraceRequests:
    """ASGI middleware that records a span for each request and continues the caller's trace.

    OpenTelemetry's instrumentation of FastAPI would also record query strings, which contain codes
    during single sign-on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method: str = scope["method"]
        status = 0

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with tracing.span(
            method,
            "server",
            parent=Headers(scope=scope).get("traceparent"),
            attributes={"http.request.method": method, "url.path": scope["path"]},
        ) as span:
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                # The route is known only after the request has been handled.
                route = getattr(scope.get("route"), "path", None)
                if span is not None and route is not None:
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                if span is not None and status:
                    span.set_attribute("http.response.status_code", status)
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    tracing.fail(f"answered {status}")


class CountDenials:
    """ASGI middleware that reports requests refused because they have no valid token.

    For each such request, it calls ``note`` with the client's address, its user agent, and the
    route's method and path. Requests for the paths in ``except_for`` are not reported.
    """

    def __init__(
        self,
        app: ASGIApp,
        note: Callable[[str | None, str | None, str], None],
        except_for: Collection[str],
    ) -> None:
        self.app = app
        self.note = note
        self.except_for = except_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""

        async def send_and_count(message: Message) -> None:
            refused = (
                message["type"] == "http.response.start"
                and message["status"] == HTTPStatus.UNAUTHORIZED
            )
            if refused and scope["path"] not in self.except_for:
                connection = HTTPConnection(scope)
                route = getattr(scope.get("route"), "path", None) or scope["path"][:200]
                agent = connection.headers.get("user-agent")
                self.note(client_address(connection), agent, f"{scope['method']} {route}")
            await send(message)

        await self.app(scope, receive, send_and_count if scope["type"] == "http" else send)


class TooDeep(Problem):
    """The JSON is nested more deeply than the parser allows, which no real request needs."""

    status = 400
    code = "request.too_deep"


class BodyLimit:
    """ASGI middleware that refuses bodies over ``limit`` bytes and too deeply nested JSON.

    Requests for which ``streams`` returns True are exempt: their routes read the body in pieces and
    enforce their own limit.
    """

    def __init__(self, app: ASGIApp, limit: int, streams: Callable[[Scope], bool]) -> None:
        self.app = app
        self.limit = limit
        self.streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""
        if scope["type"] != "http" or self.streams(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        if not declared and "transfer-encoding" not in headers:
            await self.app(scope, receive, send)
            return
        if declared.isascii() and declared.isdigit() and int(declared) > self.limit:
            await render(Request(scope), TooLarge(limit=self.limit))(scope, receive, send)
            return
        # Read the whole body here: the framework would also read it before the route's guard runs.
        pieces: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            piece: bytes = message.get("body", b"")
            size += len(piece)
            if size > self.limit:
                await render(Request(scope), TooLarge(limit=self.limit))(scope, receive, send)
                return
            pieces.append(piece)
            more = message.get("more_body", False)
        body = b"".join(pieces)
        if is_too_deep(body):
            await render(Request(scope), TooDeep(limit=MAX_DEPTH))(scope, receive, send)
            return
        waiting = True

        async def replay() -> Message:
            nonlocal waiting
            if not waiting:
                return await receive()
            waiting = False
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


def is_too_deep(body: bytes) -> bool:
    """Return True if ``body`` is JSON with more than :data:`MAX_DEPTH` nested levels.

    The body is only parsed if it contains more than :data:`MAX_DEPTH` brackets.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return False
    try:
        # The parser stops at that depth by itself and is fast even on malicious input.
        from_json(body)
    except ValueError as error:
        return "recursion limit" in str(error)
    return False
