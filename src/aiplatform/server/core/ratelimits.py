"""Rate limits: per address for anonymous requests, per account for authenticated ones.

Requests are counted in fixed windows in the broker's Redis or Valkey, so that all API processes
share a count. If the broker is RabbitMQ or can't be reached, each process counts on its own. A
broken counter thus does not stop the platform, and requests are still limited.

The owner of a token is known only after the guard (the dependency that checks permissions) has
checked the token and stored the owner in the request's state. The middleware then remembers the
owner under a digest of the token, and uses it only for counting. The first request with a token
therefore counts towards the limit of the client's address.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import structlog
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from prometheus_client import Counter
from redis.exceptions import RedisError
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiplatform.server.core.clients import client_address, network_of
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.problems import render
from aiplatform.server.core.settings import limit_of

log = structlog.get_logger(__name__)
Bucket = Literal["login", "anonymous", "normal", "ingest"]
REFUSED = Counter("aiplatform_rate_limited", "Requests refused for their number", ["bucket"])
REMEMBERED_TOKENS = 20_000
AWAY_SECONDS = 5.0
"""Seconds for which Redis is not used after it has failed."""

TIMEOUT_SECONDS = 0.25


class RateLimited(Problem):
    """The client has sent more requests than are allowed in a time window."""

    status = 429
    code = "request.rate_limited"


@dataclass(frozen=True)
class Count:
    """The number of requests in the current time window (``used``), and the limit.

    ``seconds`` is the length of the window, and ``ends_in`` the time left in it.
    """

    bucket: Bucket
    limit: int
    seconds: int
    used: int
    ends_in: int

    @property
    def headers(self) -> dict[str, str]:
        """The response headers, as defined by the IETF's draft on rate limit headers."""
        left = max(0, self.limit - self.used)
        return {
            "RateLimit-Policy": f'"{self.bucket}";q={self.limit};w={self.seconds}',
            "RateLimit": f'"{self.bucket}";r={left};t={self.ends_in}',
        }


def storage_url(broker_url: str) -> str | None:
    """Return the broker's URL as the package ``limits`` expects it; None for other brokers."""
    parts = urlsplit(broker_url)
    match parts.scheme:
        case "redis" | "rediss":
            return broker_url
        case "redis+socket":
            number = parse_qs(parts.query).get("virtual_host", ["0"])[0]
            return f"redis+unix://{parts.path}?db={number}"
    return None


class Counters:
    """Counters in Redis, or in this process while Redis is unavailable or not configured."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        self._here: Storage | None = None
        self._shared: Storage | None = None
        self._away_until = 0.0

    async def add(self, key: str, seconds: int) -> int:
        """Add one to the counter of a window and return its new value."""
        if self.url is not None and time.monotonic() >= self._away_until:
            try:
                return await self._shared_storage(self.url).incr(key, seconds)
            except (RedisError, OSError, TimeoutError) as error:
                self._away_until = time.monotonic() + AWAY_SECONDS
                log.warning("rate limits are counted in this process", error=str(error)[:200])
        if self._here is None:
            self._here = MemoryStorage("async+memory://")
        return await self._here.incr(key, seconds)

    def _shared_storage(self, url: str) -> Storage:
        # Create the storage in the event loop that uses it, because its connections belong to that
        # loop.
        if self._shared is None:
            options: dict[str, Any] = {
                "socket_timeout": TIMEOUT_SECONDS,
                "socket_connect_timeout": TIMEOUT_SECONDS,
            }
            self._shared = RedisStorage(url, implementation="redispy", **options)
        return self._shared


class RateLimit:
    """ASGI middleware that refuses requests beyond a limit.

    ``bucket`` returns the name of the limit that applies to a request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: dict[Bucket, str],
        bucket: Callable[[Scope], Bucket],
        broker_url: str,
    ) -> None:
        self.app = app
        self.limits = {name: limit_of(text) for name, text in limits.items()}
        self.bucket = bucket
        self.counters = Counters(storage_url(broker_url))
        self.owners: OrderedDict[bytes, int] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        digest = token_digest(scope)
        owner = None if digest is None else self.owners.get(digest)
        count = await self.count(scope, owner)
        if count is not None and count.used > count.limit:
            refusal = RateLimited(
                limit=count.limit, seconds=count.seconds, retry_after=count.ends_in
            )
            answer = render(Request(scope), refusal)
            answer.headers.update({**count.headers, "Retry-After": str(count.ends_in)})
            await answer(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and count is not None:
                headers = MutableHeaders(scope=message)
                for name, value in count.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        state = scope.setdefault("state", {})
        await self.app(scope, receive, send_with_headers)
        if digest is not None:
            self._remember(digest, state.get("user_id"))

    async def count(self, scope: Scope, owner: int | None) -> Count | None:
        """Count the request. Return None if its bucket has no limit."""
        name = self.bucket(scope)
        if owner is None and name != "login":
            name = "anonymous"
        item = self.limits[name]
        if item is None:
            return None
        seconds = item.get_expiry()
        now = time.time()
        window = int(now // seconds)
        if owner is None or name == "login":
            who = network_of(client_address(HTTPConnection(scope))) or "local"
        else:
            who = f"user:{owner}"
        used = await self.counters.add(f"{name}:{window}:{who}", seconds)
        if used == item.amount + 1:  # once per window, or an attack would fill the log
            REFUSED.labels(name).inc()
            log.warning("rate limit reached", bucket=name, who=who)
        elif used > item.amount:
            REFUSED.labels(name).inc()
        ends_in = max(1, int((window + 1) * seconds - now + 0.999))
        return Count(name, item.amount, seconds, used, ends_in)

    def _remember(self, digest: bytes, owner: int | None) -> None:
        if owner is None:
            self.owners.pop(digest, None)
            return
        self.owners[digest] = owner
        self.owners.move_to_end(digest)
        if len(self.owners) > REMEMBERED_TOKENS:
            self.owners.popitem(last=False)


def token_digest(scope: Scope) -> bytes | None:
    """Return a digest of the request's credentials, or None if it has none."""
    credentials = Headers(scope=scope).get("authorization")
    if not credentials:
        return None
    return hashlib.blake2b(credentials.encode("latin-1", "replace"), digest_size=16).digest()
