"""Tests of the user's own pages: inbox, invitations and account."""

from collections.abc import Callable
from typing import Any

import httpx
import pyotp
import pytest

from tests.e2e.conftest import PASSWORD, Platform
from tests.factories import number
from tests.ui.conftest import Window, signed_in_state

MakeUser = Callable[..., str]


@pytest.fixture
def person(platform: Platform, make_user: MakeUser) -> tuple[str, Any]:
    """Create an account; return its name and cookies."""
    name = make_user()
    return name, signed_in_state(platform, name, PASSWORD)


class TestInbox:
    def test_message_arrives_while_one_looks_and_is_read_and_deleted(
        self, open_window: Window, api: httpx.Client, person: tuple[str, Any]
    ) -> None:
        username, state = person
        name = f"inbox{number()}"
        project = api.post("projects", json={"name": name}).json()["uuid"]
        with open_window(state=state) as window:
            page = window.page
            page.goto("/inbox")
            page.get_by_text("You have read everything.").wait_for()
            answer = api.put(f"projects/{project}/members/{username}", json={"role": "viewer"})
            assert answer.status_code < 300, answer.text
            page.get_by_text("1 message is unread.").wait_for()
            page.get_by_role("main").get_by_text(name).first.click()
            page.get_by_text("You have read everything.").wait_for()
            page.get_by_role("dialog").get_by_role("button", name="Delete").click()
            page.get_by_text("Nothing yet").wait_for()

    def test_person_who_is_invited_joins_from_the_inbox(
        self,
        open_window: Window,
        platform: Platform,
        make_user: MakeUser,
        person: tuple[str, Any],
    ) -> None:
        username, state = person
        owner = make_user()
        with httpx.Client(base_url=f"{platform.url}/api/v1/") as client:
            form = {"username": owner, "password": PASSWORD}
            token = client.post("auth/token", data=form).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            project = client.post("projects", json={"name": f"shared{number()}"}).json()["uuid"]
            answer = client.put(f"projects/{project}/members/{username}", json={"role": "viewer"})
            assert answer.status_code < 300, answer.text
        with open_window(state=state) as window:
            page = window.page
            page.goto("/inbox")
            page.get_by_role("button", name="Join").click()
            page.wait_for_url(f"**/p/{project}")

    def test_choice_of_channel_is_kept_after_a_reload(
        self, open_window: Window, person: tuple[str, Any]
    ) -> None:
        _, state = person
        with open_window(state=state) as window:
            page = window.page
            page.goto("/inbox?tab=preferences")
            box = page.get_by_role("table", name="Events").get_by_role("checkbox").nth(1)
            box.wait_for()
            before = box.is_checked()
            with page.expect_response("**/notifications/preferences") as answer:
                box.click()
            assert answer.value.status == 200, answer.value.text()
            page.reload()
            box.wait_for()
            assert box.is_checked() is not before


class TestAccount:
    def test_key_is_shown_once_works_and_is_revoked(
        self, open_window: Window, platform: Platform, admin_state: Any
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto("/account?tab=keys")
            page.get_by_role("button", name="Create API key").first.click()
            form = page.get_by_role("dialog")
            form.get_by_label("Name").fill("nightly")
            form.get_by_role("group", name="Projects").get_by_role("checkbox").first.check()
            form.get_by_role("button", name="Create API key").click()
            shown = page.get_by_role("dialog", name="The new API key")
            key = shown.locator("pre").inner_text()
            with_key = {"Authorization": f"Bearer {key}"}
            answer = httpx.get(f"{platform.url}/api/v1/projects", headers=with_key)
            assert answer.status_code == 200, answer.text
            shown.get_by_role("button", name="I have kept it").click()
            assert key not in page.content()
            page.get_by_role("button", name="Revoke").click()
            page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
            page.get_by_role("dialog").wait_for(state="hidden")
            again = httpx.get(f"{platform.url}/api/v1/projects", headers=with_key)
            assert again.status_code == 401

    def test_second_factor_is_switched_on_with_a_code_of_the_app(
        self, open_window: Window, person: tuple[str, Any]
    ) -> None:
        _, state = person
        with open_window(state=state) as window:
            page = window.page
            page.goto("/account?tab=security")
            page.get_by_role("button", name="Set up").click()
            page.get_by_role("dialog").get_by_label("Your password").fill(PASSWORD)
            page.get_by_role("button", name="Next").click()
            secret = page.get_by_role("dialog").locator("pre").inner_text().strip()
            link = page.get_by_role("link", name="open it in an app on this device")
            assert f"secret={secret}" in (link.get_attribute("href") or "")
            drawn = page.get_by_role("img", name="Code for the authenticator app")
            # Such an address needs at least 29 modules and a quiet zone of 4 on each side.
            assert int((drawn.get_attribute("viewBox") or "").split()[2]) >= 37
            code = pyotp.TOTP(secret).now()
            page.get_by_label("The code that the app shows now").fill(code)
            page.get_by_role("button", name="Switch on").click()
            codes = page.get_by_role("dialog", name="Recovery codes").locator("pre").inner_text()
            assert len(codes.split()) >= 8
            page.get_by_role("button", name="I have kept it").click()
            page.get_by_text("recovery codes left").wait_for()

    def test_other_session_is_ended(
        self, open_window: Window, platform: Platform, person: tuple[str, Any]
    ) -> None:
        username, state = person
        signed_in_state(platform, username, PASSWORD)
        with open_window(state=state) as window:
            page = window.page
            page.goto("/account?tab=sessions")
            rows = page.get_by_role("table", name="Sessions").locator("tbody tr")
            page.get_by_role("button", name="End", exact=True).wait_for()
            assert rows.count() == 2
            page.get_by_role("button", name="End all other sessions").click()
            page.get_by_role("button", name="End", exact=True).wait_for(state="hidden")
            assert rows.count() == 1
