"""Chromium for benchmarks of the web interface."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from common.platform import NotMeasurable

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    # Chromium's sandbox does not work for root.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Yield a browser.

    Raises:
        NotMeasurable: No Chromium is installed or named by ``TEST_BROWSER``.
    """
    named = os.environ.get("TEST_BROWSER", "")
    found = named if "/" in named else next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise NotMeasurable("no Chromium is installed (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def signed_in(url: str, username: str, password: str) -> Any:
    """Return the cookies of a signed-in user for ``browser.new_context``."""
    answer = httpx.post(
        f"{url}/api/v1/browser-session",
        json={"username": username, "password": password},
        headers={"X-AIPlatform-UI": "1", "Sec-Fetch-Site": "same-origin"},
    ).raise_for_status()
    cookies = [
        {"name": name, "value": value, "url": url, "httpOnly": True, "sameSite": "Lax"}
        for name, value in answer.cookies.items()
    ]
    return {"cookies": cookies, "origins": []}
