"""A browser's session cookie, and the middleware that turns it into a bearer token.

The cookie contains a session's tokens. A browser sends it automatically, even in requests from
other sites' pages, so the cookie authenticates a request only if a page of this server sent it. A
request that changes data must also have a header that no HTML form can send.
"""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from aiplatform.server.core.errors import Problem
from aiplatform.server.core.problems import render
from aiplatform.server.core.request_checks import SAFE_METHODS, came_by_https

NAME = "aiplatform_session"
HEADER = "X-AIPlatform-UI"


class NotFromPage(Problem):
    """The request changes state with the session cookie, but no page of this server sent it."""

    status = 403
    code = "request.not_from_page"


@dataclass(frozen=True, slots=True)
class CookieTokens:
    """The access token and the refresh token of a session, as stored in the cookie."""

    access: str
    refresh: str

    @classmethod
    def read(cls, connection: HTTPConnection) -> "CookieTokens | None":
        """Return the tokens in the request's cookie, or None if there are no usable tokens."""
        access, _, refresh = connection.cookies.get(NAME, "").partition(".")
        return cls(access, refresh) if access and refresh else None

    def set_on(self, response: Response, request: Request, lifetime: timedelta) -> None:
        """Set the cookie on ``response``. Scripts can't read it."""
        response.set_cookie(
            NAME,
            f"{self.access}.{self.refresh}",
            max_age=int(lifetime.total_seconds()),
            secure=_uses_https(request),
            httponly=True,
            # Not strict: a browser returning from single sign-on must not appear signed out.
            samesite="lax",
        )


def remove(response: Response, request: Request) -> None:
    """Remove the cookie from the browser."""
    response.delete_cookie(NAME, secure=_uses_https(request), httponly=True, samesite="lax")


def _uses_https(request: Request) -> bool:
    # ``Origin`` has the right scheme even if a TLS-terminating proxy is not configured as trusted.
    return came_by_https(request) or request.headers.get("origin", "").startswith("https://")


class SessionCookie:
    """ASGI middleware that authenticates requests from this server's pages by the cookie.

    It adds the access token as the header ``Authorization``, so that all later code handles
    browsers and programs alike. It stores the tokens in the request's state as ``cookie_tokens``. A
    request that already has the header is not changed.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; other scopes pass through."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            tokens = None
            if "cookie" in headers and "authorization" not in headers:
                tokens = CookieTokens.read(HTTPConnection(scope))
            if tokens is not None:
                changes = scope["method"] not in SAFE_METHODS
                if changes and not (headers.get(HEADER) == "1" and _is_same_origin(headers)):
                    await render(Request(scope), NotFromPage())(scope, receive, send)
                    return
                if changes or not _is_embedded_elsewhere(headers):
                    scope.setdefault("state", {})["cookie_tokens"] = tokens
                    bearer = (b"authorization", f"Bearer {tokens.access}".encode("latin-1"))
                    scope["headers"] = [*scope["headers"], bearer]
        await self.app(scope, receive, send)


def _is_same_origin(headers: Headers) -> bool:
    """Return True if the browser reports that a page of this server sent the request.

    The origins in ``AIPLATFORM_CORS_ORIGINS`` may send tokens, but may not use the cookie.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # The scheme is not compared, because it differs behind a proxy that terminates TLS.
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _is_embedded_elsewhere(headers: Headers) -> bool:
    """Return True if another origin's page loads the address; False if a user follows a link.

    Another port on the same host is another origin but the same site, so browsers send the cookie
    with its requests.
    """
    elsewhere = headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}
    return elsewhere and headers.get("sec-fetch-mode", "") != "navigate"
