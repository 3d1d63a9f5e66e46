"""Helpers for the tests of the web interface's routes."""

from typing import Any

from aiplatform.server.core.session_cookie import NAME, CookieTokens
from tests.factories import PASSWORD
from tests.openapi_checks import CheckedClient

PATH = "/api/v1/browser-session"
ORIGIN = "http://127.0.0.1:8400"
FROM_PAGE = {"X-AIPlatform-UI": "1", "Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}
"""Headers that the web interface sends with a request that changes something."""


class Browser:
    """A fake browser that keeps the session cookie and sends the web interface's headers."""

    def __init__(self, client: CheckedClient) -> None:
        self.client = client
        self.cookie: str | None = None

    @property
    def tokens(self) -> CookieTokens:
        """The tokens contained in the cookie."""
        assert self.cookie is not None
        access, _, refresh = self.cookie.partition(".")
        return CookieTokens(access, refresh)

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request with the cookie, and keep a new cookie from the response."""
        headers = {**FROM_PAGE, **options.pop("headers", {})}
        if self.cookie is not None:
            headers["Cookie"] = f"{NAME}={self.cookie}"
        answer = self.client.request(method, path, headers=headers, **options)
        # The shared test client would send this browser's cookie for other browsers.
        kept = answer.cookies.get(NAME)
        self.client.cookies.clear()
        if kept is not None:
            self.cookie = kept
        return answer

    def sign_in(self, username: str, password: str = PASSWORD, **body: Any) -> Any:
        """Sign in with user name and password."""
        return self.request("POST", PATH, json={"username": username, "password": password, **body})

    def read(self, **options: Any) -> Any:
        """Read the session, which also renews its tokens if they are due."""
        return self.request("GET", PATH, **options)
