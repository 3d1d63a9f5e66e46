"""A real browser for the tests, and checks of the pages that it shows."""

import os
import shutil
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from aiplatform.server.ui.pages import STATIC

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

PROMISED = "TEST_BROWSER"
"""Environment variable: the path of a Chromium, or ``required`` if one must be installed."""
NAMES = (
    "chromium-headless-shell",  # the same engine without windows, which needs a third less work
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
ARGUMENTS = [
    # Chromium's sandbox does not work for root, the user of continuous integration.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOADING = "[role=status][aria-label='Loading'], [role=status][aria-label='加载中']"
SETTLE_MS = 250
AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
"""The rules of WCAG 2.2 AA, as axe names them."""
EXPECTED = ("the server responded with a status of 401", "net::ERR_ABORTED")
"""Parts of console messages that healthy pages cause, such as a request without a session."""


def missing(what: str) -> NoReturn:
    """Skip the test with the message ``what``; fail if a browser is required, as in CI."""
    if os.environ.get(PROMISED) == "required":
        pytest.fail(what)
    pytest.skip(what)


def find_chromium() -> str:
    """Return the path of a Chromium, or skip the test with the reason."""
    named = os.environ.get(PROMISED, "")
    if named not in {"", "required"}:
        return named
    for name in NAMES:
        if (found := shutil.which(name)) is not None:
            return found
    missing(
        "no Chromium is installed (Debian: apt-get install chromium-headless-shell), nor named by "
        f"{PROMISED}"
    )


def require_page() -> None:
    """Skip the test if the web interface is not built."""
    if not (STATIC / "index.html").is_file():
        missing("the web interface is not built (make setup)")


@dataclass
class Watched:
    """A page, and the faults observed in it."""

    page: "Page"
    url: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("request", self._on_request)

    def _on_console(self, message: "ConsoleMessage") -> None:
        if message.type in {"error", "warning"} and not any(
            part in message.text for part in EXPECTED
        ):
            self.faults.append(f"console: {message.text}")

    def _on_request(self, request: "Request") -> None:
        parts = urllib.parse.urlsplit(request.url)
        own = urllib.parse.urlsplit(self.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.netloc != own.netloc:
            self.faults.append(f"request to elsewhere: {request.url}")

    def check(self) -> None:
        """Fail if the page wrote errors to the console or sent requests to another server."""
        found, self.faults = self.faults, []
        assert not found, "\n".join(found)

    def settle(self) -> None:
        """Wait until the page has loaded. The network is never idle, because events stream."""
        self.page.wait_for_timeout(SETTLE_MS)
        self.page.wait_for_function(f"() => !document.querySelector({LOADING!r})")
        self.page.wait_for_timeout(SETTLE_MS)

    def violations(self) -> list[str]:
        """Return the violations of WCAG 2.2 AA that axe finds in the page in its current state."""
        if not AXE.is_file():
            missing("axe-core is not installed (make setup)")
        self.page.evaluate(AXE.read_text("utf-8"))
        # Without this choice, axe also describes all elements without a fault, which takes as long
        # as finding the faults.
        options = {"runOnly": TAGS, "resultTypes": ["violations"]}
        result: dict[str, Any] = self.page.evaluate(
            "options => axe.run(document, options)", options
        )
        return [
            f"{found['id']}: {found['help']}: {node['html'][:200]}"
            for found in result["violations"]
            for node in found["nodes"]
        ]


@contextmanager
def window(
    browser: "Browser",
    url: str,
    *,
    state: Any = None,
    language: str = "en",
    theme: str = "light",
    width: int = 1440,
    for_axe: bool = False,
) -> Iterator[Watched]:
    """Open a window with its own cookies, and check its page at the end.

    Args:
        browser: the browser.
        url: address of the platform.
        state: cookies of a signed-in user, from ``context.storage_state()``.
        language: preferred language of the browser.
        theme: preferred theme of the device, ``light`` or ``dark``.
        width: width in CSS pixels.
        for_axe: True to disable the Content Security Policy, so that the test can run axe in the
            page.
    """
    context = browser.new_context(
        base_url=url,
        storage_state=state,
        locale="zh-CN" if language == "zh" else "en-GB",
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": width, "height": 900},
        bypass_csp=for_axe,
        reduced_motion="reduce",
    )
    watched = Watched(context.new_page(), url)
    watched.page.set_default_timeout(15_000)
    try:
        yield watched
        watched.check()
    finally:
        context.close()
