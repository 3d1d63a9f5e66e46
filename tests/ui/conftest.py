"""Fixtures for the tests of the web interface: one real platform and one browser per process."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest

from tests.e2e.conftest import PASSWORD, Platform, running_platform
from tests.factories import number
from tests.ui.browser import ARGUMENTS, Watched, find_chromium, require_page, window

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Window = Callable[..., AbstractContextManager[Watched]]
FROM_PAGE = {"X-AIPlatform-UI": "1", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """Start this process's browser."""
    require_page()
    executable = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def platform(browser: "Browser") -> Iterator[Platform]:
    """Run this process's platform; nothing is started if there is no browser."""
    with running_platform(
        AIPLATFORM_RATE_LIMIT_LOGIN="off",
        AIPLATFORM_RATE_LIMIT_ANONYMOUS="off",
        AIPLATFORM_RATE_LIMIT_NORMAL="off",
    ) as running:
        yield running


@pytest.fixture(scope="session")
def admin_state(platform: Platform) -> dict[str, Any]:
    """Return a browser state with the administrator's session cookie."""
    return signed_in_state(platform, "admin", PASSWORD)


class HasUrl(Protocol):
    """A platform of any kind that has a URL."""

    @property
    def url(self) -> str: ...


def signed_in_state(platform: HasUrl, username: str, password: str) -> dict[str, Any]:
    """Sign in through the API, and return the cookies as a state for ``browser.new_context``."""
    answer = httpx.post(
        f"{platform.url}/api/v1/browser-session",
        json={"username": username, "password": password},
        headers=FROM_PAGE,
    )
    assert answer.status_code == 200, answer.text
    cookies = [
        {
            "name": name,
            "value": value,
            "domain": "127.0.0.1",
            "path": "/",
            "expires": -1,
            "httpOnly": True,
            "secure": False,
            "sameSite": "Lax",
        }
        for name, value in answer.cookies.items()
    ]
    return {"cookies": cookies, "origins": []}


@pytest.fixture
def open_window(browser: "Browser", platform: Platform) -> Window:
    """Return a function that opens a window of the browser; see :func:`window`."""

    def open_one(**options: Any) -> AbstractContextManager[Watched]:
        return window(browser, platform.url, **options)

    return open_one


@pytest.fixture(scope="session")
def api(platform: Platform) -> Iterator[httpx.Client]:
    """Return an API client that is signed in as the administrator."""
    with httpx.Client(base_url=f"{platform.url}/api/v1/", timeout=30) as client:
        answer = client.post("auth/token", data={"username": "admin", "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        yield client


@pytest.fixture
def make_user(api: httpx.Client) -> Callable[..., str]:
    """Return a function that creates an account with :data:`PASSWORD` and returns its name."""

    def make(**fields: Any) -> str:
        name = f"user{number()}"
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD, **fields}
        answer = api.post("users", json=body)
        assert answer.status_code == 201, answer.text
        return name

    return make
