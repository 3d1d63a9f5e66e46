"""Tests of features that all pages share: palette, addresses, live changes, server restarts."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PASSWORD, Platform
from tests.factories import number
from tests.ui.conftest import Window, signed_in_state

MakeUser = Callable[..., str]
MARK = "window.kept = 'yes'"


@pytest.fixture(scope="module")
def project(api: httpx.Client) -> str:
    """Create a project and return its uuid."""
    answer = api.post("projects", json={"name": f"everywhere{number()}"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["uuid"])


@pytest.fixture
def run(api: httpx.Client, project: str) -> str:
    """Begin a run that reports a curve and three log lines; return its uuid."""
    uuid = begin_run(api, project, f"run{number()}")
    points = [{"key": "loss", "step": step, "value": 1 / step} for step in range(1, 20)]
    api.post(f"tasks/{uuid}/metrics", json={"points": points}).raise_for_status()
    lines = [{"text": f"line number {place}"} for place in range(3)]
    api.post(f"tasks/{uuid}/logs", json={"lines": lines}).raise_for_status()
    return uuid


def begin_run(api: httpx.Client, project: str, name: str) -> str:
    answer = api.post(f"projects/{project}/runs", json={"name": name})
    assert answer.is_success, answer.text
    return str(answer.json()["uuid"])


class TestPalette:
    def test_typing_a_name_leads_to_the_run(
        self, open_window: Window, admin_state: Any, api: httpx.Client, project: str, run: str
    ) -> None:
        name = api.get(f"tasks/{run}").json()["name"]
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}")
            page.get_by_role("main").get_by_role("heading").first.wait_for()
            page.keyboard.press("Control+k")
            page.get_by_role("combobox", name="Find").and_(page.locator(":focus")).wait_for()
            page.keyboard.type(name)
            page.get_by_role("option", name=name).wait_for()
            page.keyboard.press("Enter")
            page.wait_for_url(f"**/tasks/{run}")

    def test_action_changes_the_theme(self, open_window: Window, make_user: MakeUser) -> None:
        with open_window() as window:
            page = window.page
            page.goto("/sign-in")
            page.fill("input[autocomplete=username]", make_user())
            page.fill("input[autocomplete=current-password]", PASSWORD)
            page.press("input[autocomplete=current-password]", "Enter")
            page.get_by_role("heading", name=re.compile("Hello")).wait_for()
            page.keyboard.press("Control+k")
            page.get_by_role("combobox", name="Find").fill("dark")
            page.get_by_role("option", name="Dark theme").wait_for()
            page.keyboard.press("Enter")
            page.wait_for_selector("html[data-mantine-color-scheme=dark]")

    def test_viewer_is_not_offered_what_only_others_may_do(
        self, open_window: Window, platform: Platform, make_user: MakeUser
    ) -> None:
        state = signed_in_state(platform, make_user(role="viewer"), PASSWORD)
        with open_window(state=state) as window:
            page = window.page
            page.goto("/projects")
            page.get_by_role("main").get_by_role("heading").first.wait_for()
            assert page.get_by_role("button", name="Create project").count() == 0
            page.keyboard.press("Control+k")
            page.get_by_role("combobox", name="Find").fill("create")
            page.wait_for_timeout(500)
            assert page.get_by_role("option", name="Create project").count() == 0


class TestAddresses:
    def test_settings_of_charts_are_in_the_address(
        self, open_window: Window, admin_state: Any, project: str, run: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/tasks/{run}?tab=curves&log=true&smooth=0.5&x=relative")
            assert page.get_by_label("Log scale").is_checked()
            page.get_by_label("Clip outliers").check(force=True)
            page.wait_for_url(re.compile("clip=true"))
            assert "smooth=0.5" in page.url
            page.reload()
            page.get_by_role("toolbar", name="Charts").wait_for()
            assert page.get_by_label("Clip outliers").is_checked()

    def test_address_of_a_line_shows_the_line(
        self, open_window: Window, admin_state: Any, project: str, run: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            page.goto(f"/p/{project}/tasks/{run}?tab=log")
            page.get_by_text("line number 1").wait_for()
            page.locator("button[title='Copy a link to the line']").nth(1).click()
            page.wait_for_url(re.compile(r"line=\d+-\d+"))
            copied = page.evaluate("navigator.clipboard.readText()")
            page.goto(copied)
            marked = page.locator("[data-hit=true]")
            marked.wait_for()
            assert "line number 1" in (marked.text_content() or "")


class TestLive:
    def test_two_users_see_each_others_changes(
        self,
        open_window: Window,
        platform: Platform,
        admin_state: Any,
        api: httpx.Client,
        project: str,
        make_user: MakeUser,
    ) -> None:
        """Open a project as a developer and as an administrator; neither reloads the page."""
        name = make_user()
        found = api.get("users", params={"q": name}).json()["items"]
        uuid = next(user["uuid"] for user in found if user["username"] == name)
        member = api.put(f"projects/{project}/members/{uuid}", json={"role": "developer"})
        assert member.is_success, member.text
        state = signed_in_state(platform, name, PASSWORD)
        with open_window(state=state) as first, open_window(state=admin_state) as second:
            for window in (first, second):
                window.page.goto(f"/p/{project}/tasks")
                window.page.get_by_role("main").get_by_role("heading").first.wait_for()
                window.page.evaluate(MARK)
            title = f"seen{number()}"
            run = begin_run(api, project, title)
            for window in (first, second):
                window.page.get_by_role("link", name=title).wait_for()
            first.page.get_by_role("link", name=title).click()
            first.page.get_by_role("button", name="Cancel").click()
            row = second.page.get_by_role("row").filter(has_text=title)
            row.locator("[data-status=cancelling], [data-status=cancelled]").wait_for()
            api.post(f"tasks/{run}/end", json={"status": "cancelled"})
            first.page.locator("[data-status=cancelled]").first.wait_for()
            row.locator("[data-status=cancelled]").wait_for()
            for window in (first, second):
                assert window.page.evaluate("window.kept") == "yes"


class TestRestart:
    def test_half_filled_form_survives_a_restart_of_the_server(
        self, open_window: Window, platform: Platform, admin_state: Any
    ) -> None:
        """Kill the API while a user is typing; the supervisor restarts it."""
        name = f"typed{number()}"
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto("/projects?create=true")
            page.get_by_role("textbox", name="Name", exact=True).fill(name)
            page.evaluate(MARK)
            os.kill(platform.pid("api"), signal.SIGKILL)
            page.get_by_role("textbox", name="Description").fill("typed while nobody answered")
            wait_until_it_answers(platform.url)
            assert page.evaluate("window.kept") == "yes"
            assert page.get_by_role("textbox", name="Name", exact=True).input_value() == name
            page.get_by_role("dialog").get_by_role("button", name="Create project").click()
            page.wait_for_url(f"**/p/{name}")
            page.get_by_text("typed while nobody answered").wait_for()
            # The browser reports the requests that failed while the server was unreachable.
            window.faults.clear()

    def test_draft_survives_a_reload(self, open_window: Window, admin_state: Any) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto("/projects?create=true")
            page.get_by_role("textbox", name="Name", exact=True).fill("half a name")
            page.reload()
            field = page.get_by_role("textbox", name="Name", exact=True)
            field.wait_for()
            assert field.input_value() == "half a name"


def wait_until_it_answers(url: str) -> None:
    """Wait until the API responds after an outage, even if that is too short to notice."""
    gone = threading.Event()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            answered = httpx.get(f"{url}/api/v1/health", timeout=2).is_success
        except httpx.HTTPError:
            answered = False
            gone.set()
        if answered and (gone.is_set() or time.monotonic() > deadline - 50):
            return
        time.sleep(0.1)
    raise AssertionError("the API did not come back")
