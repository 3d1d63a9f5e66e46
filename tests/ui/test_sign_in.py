"""Tests of signing in and out, and of pages from other sites that use the browser's cookie."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aiplatform.server.core.session_cookie import NAME
from tests.e2e.conftest import PASSWORD, Platform
from tests.ui.conftest import Window, signed_in_state

if TYPE_CHECKING:
    from playwright.sync_api import Page

MakeUser = Callable[..., str]
USERNAME = "input[autocomplete=username]"
CURRENT = "input[autocomplete=current-password]"
FRESH = "input[autocomplete=new-password]"


def sign_in(page: "Page", username: str, password: str = PASSWORD) -> None:
    """Fill in the sign-in form and submit it."""
    page.fill(USERNAME, username)
    page.fill(CURRENT, password)
    page.press(CURRENT, "Enter")


def session_cookie(page: "Page") -> Any:
    """Return the session cookie as the browser keeps it, or None."""
    return next((one for one in page.context.cookies() if one["name"] == NAME), None)


class TestSignIn:
    def test_visitor_signs_in_and_comes_back_to_the_address(
        self, open_window: Window, make_user: MakeUser
    ) -> None:
        username = make_user()
        with open_window() as window:
            page = window.page
            page.goto("/projects")
            page.wait_for_url("**/sign-in**")
            sign_in(page, username, "not the password")
            page.get_by_role("alert").wait_for()
            sign_in(page, username)
            page.wait_for_url("**/projects")
            cookie = session_cookie(page)
            assert (cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (
                True,
                "Lax",
                False,
            )
            assert page.evaluate("document.cookie") == ""
            assert page.evaluate("JSON.stringify([localStorage, sessionStorage])").find("aip_") < 0
            page.reload()
            page.get_by_role("main").wait_for()
            assert page.url.endswith("/projects")

    def test_first_password_is_replaced_before_anything_else(
        self, open_window: Window, make_user: MakeUser
    ) -> None:
        username = make_user(must_change_password=True)
        with open_window() as window:
            page = window.page
            page.goto("/")
            sign_in(page, username)
            page.wait_for_url("**/password**")
            # The address changes before the page does, and the sign-in page has a field like
            # CURRENT.
            page.locator(FRESH).wait_for()
            page.fill(CURRENT, PASSWORD)
            page.fill(FRESH, "four unusual words together")
            page.press(FRESH, "Enter")
            page.get_by_role("main").wait_for()
            page.wait_for_url(lambda url: "/password" not in url)

    @pytest.mark.parametrize(
        ("language", "theme", "tag"), [("zh", "dark", "zh-CN"), ("en", "light", "en")]
    )
    def test_language_and_theme_follow_the_account(
        self,
        open_window: Window,
        platform: Platform,
        make_user: MakeUser,
        language: str,
        theme: str,
        tag: str,
    ) -> None:
        state = signed_in_state(platform, make_user(), PASSWORD)
        other = {"language": "en" if language == "zh" else "zh"}
        with open_window(state=state, **other) as window:
            page = window.page
            page.goto("/projects")
            page.get_by_role("main").wait_for()
            body = {"language": language, "theme": theme}
            status = page.evaluate(
                """body => fetch('/api/v1/browser-session', {
                    method: 'PATCH', body: JSON.stringify(body),
                    headers: {'Content-Type': 'application/json', 'X-AIPlatform-UI': '1'},
                }).then(answer => answer.status)""",
                body,
            )
            assert status == 200
            page.reload()
            page.wait_for_selector(f"html[lang^={tag[:2]}][data-mantine-color-scheme={theme}]")

    def test_session_that_ends_elsewhere_ends_the_page(
        self, open_window: Window, platform: Platform, make_user: MakeUser
    ) -> None:
        username = make_user()
        state = signed_in_state(platform, username, PASSWORD)
        with open_window(state=state) as window:
            page = window.page
            page.goto("/")
            page.get_by_role("main").wait_for()
            token = httpx.post(
                f"{platform.url}/api/v1/auth/token",
                data={"username": username, "password": PASSWORD},
            ).json()["access_token"]
            httpx.delete(
                f"{platform.url}/api/v1/users/me/sessions",
                headers={"Authorization": f"Bearer {token}"},
            )
            page.wait_for_url("**/sign-in**")


@pytest.fixture
def foreign_page() -> Iterator[str]:
    """Serve a page on another port of this machine, which counts as the same site for cookies."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class TestOtherPages:
    REQUESTS = {
        "plain request": "{mode: 'no-cors', method: 'POST', body: '{\"name\": \"stolen\"}'}",
        "form": "{mode: 'no-cors', method: 'POST', body: new URLSearchParams({name: 'stolen'})}",
        "header": "{method: 'POST', headers: {'X-AIPlatform-UI': '1'}, body: '{}'}",
    }

    @pytest.mark.parametrize("how", REQUESTS)
    def test_page_on_another_port_changes_nothing(
        self,
        open_window: Window,
        platform: Platform,
        make_user: MakeUser,
        api: httpx.Client,
        foreign_page: str,
        how: str,
    ) -> None:
        username = make_user()
        state = signed_in_state(platform, username, PASSWORD)
        with open_window(state=state) as window:
            page = window.page
            page.goto(foreign_page)
            sent = []
            page.on("request", lambda request: sent.append(request.url))
            outcome = page.evaluate(
                f"""url => fetch(url, {{credentials: 'include', ...{self.REQUESTS[how]}}})
                    .then(answer => answer.type, error => 'refused')""",
                f"{platform.url}/api/v1/projects",
            )
            assert outcome in {"opaque", "refused"}
            assert any(platform.url in url for url in sent)
            window.faults.clear()  # a foreign page may send requests elsewhere
        projects = api.get("projects", params={"limit": 200}).json()["items"]
        assert "stolen" not in [project["name"] for project in projects]

    def test_page_on_another_port_reads_nothing(
        self, open_window: Window, platform: Platform, admin_state: Any, foreign_page: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(foreign_page)
            for mode in ("cors", "no-cors"):
                outcome = page.evaluate(
                    """([url, mode]) => fetch(url, {mode, credentials: 'include'})
                        .then(answer => answer.type, () => 'refused')""",
                    [f"{platform.url}/api/v1/users/me", mode],
                )
                assert outcome == "refused"
            window.faults.clear()
