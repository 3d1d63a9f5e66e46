"""Middleware that refuses requests with a wrong host, from other sites, or with oversized headers.

- An unknown name in ``Host`` is refused. Otherwise another site could make its own name resolve
  to this server, so that its pages could read the responses (DNS rebinding). IP addresses can't be
  rebound, so they are accepted.
- A state-changing request that another site makes the browser send is refused. Browsers name the
  requesting site in ``Sec-Fetch-Site`` and ``Origin``. Programs send neither header; every browser
  that holds a cookie sends at least one.
- The number and size of headers and the length of the URL are limited.
"""

import re
import socket
from collections.abc import Iterable
from functools import cache
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from aiplatform.server.core.clients import TrustedProxies, parse_address
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.problems import render
from aiplatform.server.core.settings import get_settings

log = structlog.get_logger(__name__)
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
MAX_URL_BYTES = 16 << 10
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class HostNotAllowed(Problem):
    """The request names a host that is not configured, for example through an unknown proxy."""

    status = 421
    code = "request.host_not_allowed"


class CrossOrigin(Problem):
    """The state-changing request was sent by another site's page."""

    status = 403
    code = "request.cross_origin"


class HeadersTooLarge(Problem):
    """The request has more headers, or longer ones, than any ordinary client sends."""

    status = 431
    code = "request.headers_too_large"


class AddressTooLong(Problem):
    """The URL is longer than any that the platform creates."""

    status = 414
    code = "request.address_too_long"


class RequestChecks:
    """ASGI middleware that refuses requests with a wrong host, origin or size."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self.app = app
        self.hosts = tuple(host.lower() for host in hosts)
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or the opening of a WebSocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(scope)
        if refusal is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            # The ASGI server responds with 403 when a WebSocket is closed before it was accepted.
            await send({"type": "websocket.close", "code": 1008, "reason": refusal.code})
        else:
            log.info("refused", code=refusal.code, path=scope["path"])
            await render(Request(scope), refusal)(scope, receive, send)

    def refusal(self, scope: Scope) -> Problem | None:
        """Return the problem of a request that must be refused, or None if it is acceptable."""
        raw = scope["headers"]
        size = sum(len(name) + len(value) for name, value in raw)
        if len(raw) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            return HeadersTooLarge(count=MAX_HEADERS, size=MAX_HEADER_BYTES)
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_URL_BYTES:
            return AddressTooLong(size=MAX_URL_BYTES)
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        host = host_name(hosts[0]) if len(hosts) == 1 else None
        if host is None or not self.knows(host):
            return HostNotAllowed(host=", ".join(hosts)[:200])
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and self.is_foreign(headers, hosts[0]):
            return CrossOrigin()
        return None

    def knows(self, host: str) -> bool:
        """Return True if the host name belongs to this server.

        If no names are configured, every IP address and all names of this machine are accepted.
        """
        if not self.hosts:
            return is_address(host) or host in own_names()
        return any(
            pattern in ("*", host)
            or (pattern.startswith("*.") and host.endswith(pattern[1:]) and len(host) > 2)
            for pattern in self.hosts
        )

    def is_foreign(self, headers: Headers, host: str) -> bool:
        """Return True if a browser sent this request for another site's page."""
        origin = headers.get("origin")
        if origin is not None and origin in self.origins:
            return False
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in {"same-origin", "none"}
        # The scheme is not compared, because it differs behind a proxy that terminates TLS.
        return origin is not None and urlsplit(origin).netloc.lower() != host.lower()


def host_name(header: str) -> str | None:
    """Return the name in a ``Host`` header, in lower case and without the port; None if invalid."""
    match = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", header.lower())
    return None if match is None else match[1].removesuffix(".")


def is_address(host: str) -> bool:
    """Return True if the host name is an IP address as written in URLs."""
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return True if a server listening on ``host`` can be reached only from this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


@cache
def own_names() -> frozenset[str]:
    """Return this machine's host names."""
    name = socket.gethostname().lower()
    return frozenset({"localhost", name, f"{name}.local", socket.getfqdn().lower()})


def came_by_https(connection: HTTPConnection) -> bool:
    """Return True if the client uses TLS, either directly or to a trusted proxy that reports it."""
    if connection.scope["scheme"] in {"https", "wss"}:
        return True
    if connection.headers.get("x-forwarded-proto", "").strip().lower() != "https":
        return False
    trusted = TrustedProxies.parse(get_settings().trusted_proxies)
    if connection.client is None or not connection.client.host:
        return trusted.unix
    peer = parse_address(connection.client.host)
    return peer is not None and trusted.trusts(peer)
