"""Tests of the administrators' pages: users, roles, workers, audit, health."""

from collections.abc import Callable
from typing import Any

import httpx

from tests.e2e.conftest import Platform
from tests.factories import number
from tests.ui.conftest import Window

MakeUser = Callable[..., str]


class TestUsers:
    def test_invitation_shows_its_link_once(self, open_window: Window, admin_state: Any) -> None:
        address = f"guest{number()}@example.com"
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto("/users?tab=invitations")
            page.get_by_role("button", name="Invite").first.click()
            page.get_by_role("dialog").get_by_label("E-mail address").fill(address)
            page.get_by_role("button", name="Create the link").click()
            link = page.get_by_role("dialog", name="The link for").locator("pre").inner_text()
            assert "invitation#" in link
            page.get_by_role("button", name="I have kept it").click()
            row = page.get_by_role("row", name=address)
            row.get_by_role("button", name="Revoke").click()
            row.get_by_text("Revoked").wait_for()

    def test_account_is_deactivated_and_works_again(
        self, open_window: Window, admin_state: Any, make_user: MakeUser
    ) -> None:
        name = make_user()
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/users/{name}")
            page.get_by_role("button", name="Deactivate the account").click()
            page.get_by_text("Deactivated: can't sign in").wait_for()
            page.get_by_role("button", name="Reactivate the account").click()
            page.get_by_role("button", name="Deactivate the account").wait_for()

    def test_owner_is_deleted_after_naming_who_gets_the_projects(
        self, open_window: Window, admin_state: Any, api: httpx.Client, make_user: MakeUser
    ) -> None:
        owner, heir = make_user(), make_user()
        project = api.post("projects", json={"name": f"left{number()}"}).json()["uuid"]
        for name in (owner, heir):
            api.put(f"projects/{project}/members/{name}", json={"role": "developer"})
        api.post(f"projects/{project}/transfer", json={"user": owner})
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/users/{owner}")
            page.get_by_role("button", name="Delete the account").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_text("It owns a project").wait_for()
            dialog.get_by_label("Who gets its projects").fill(heir)
            dialog.get_by_label(f"Type {owner} to confirm").fill(owner)
            dialog.get_by_role("button", name="Delete the account").click()
            page.wait_for_url("**/users")
        assert api.get(f"projects/{project}").json()["owner"]["username"] == heir


def test_custom_role_is_created_changed_and_deleted(
    open_window: Window, admin_state: Any, api: httpx.Client
) -> None:
    name = f"annotator{number()}"
    with open_window(state=admin_state) as window:
        page = window.page
        page.goto("/roles")
        page.get_by_role("button", name="Create role").click()
        form = page.get_by_role("dialog")
        form.get_by_label("Name").fill(name)
        form.get_by_role("group", name="Datasets").get_by_role("checkbox").nth(1).check()
        form.get_by_role("button", name="Create role").click()
        page.get_by_role("button", name=name).click()
        form.get_by_label("Description").fill("For people who label rows")
        form.get_by_role("button", name="Save").click()
        form.get_by_role("button", name="Save").and_(form.locator(":disabled")).wait_for()
        assert api.get(f"roles/{name}").json()["description"] == "For people who label rows"
        form.get_by_role("button", name="Delete role").click()
        page.get_by_role("dialog").last.get_by_role("button", name="Delete role").click()
        page.get_by_role("button", name=name).wait_for(state="hidden")
    assert api.get(f"roles/{name}").status_code == 404


def test_worker_is_cordoned_and_resumed(
    open_window: Window, admin_state: Any, api: httpx.Client
) -> None:
    worker = api.get("workers").json()["items"][0]
    with open_window(state=admin_state) as window:
        page = window.page
        page.goto("/workers")
        page.get_by_role("link", name=worker["name"]).click()
        try:
            # The page shows the new state before the API has answered.
            with page.expect_response("**/cordon"):
                page.get_by_role("button", name="Cordon").click()
            page.get_by_role("button", name="Resume").wait_for()
            assert api.get(f"workers/{worker['uuid']}").json()["state"] == "cordoned"
            page.get_by_role("button", name="Resume").click()
            page.get_by_role("button", name="Cordon").wait_for()
        finally:
            api.post(f"workers/{worker['uuid']}/resume")


class TestAudit:
    def test_filter_finds_an_entry_whose_details_open(
        self, open_window: Window, admin_state: Any, api: httpx.Client
    ) -> None:
        name = f"audited{number()}"
        api.post("projects", json={"name": name})
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto("/audit")
            page.get_by_label("Filter").fill('action = "project:created"')
            page.get_by_label("Filter").press("Enter")
            page.wait_for_url("**filter=**")
            page.get_by_role("main").get_by_text(name).click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_text("project:created").first.wait_for()
            dialog.get_by_role("button", name="All about this thing").click()
            page.get_by_role("main").get_by_text(name).first.wait_for()

    def test_filter_that_can_not_be_read_is_explained_at_the_field(
        self, open_window: Window, admin_state: Any
    ) -> None:
        with open_window(state=admin_state) as window:
            window.page.goto("/audit?filter=colour+%3D+%22red%22")
            window.page.get_by_text("colour").first.wait_for()
            assert not window.page.get_by_role("alert").count()
            # The browser reports the refused filter.
            window.faults.clear()


def test_health_names_the_parts_of_the_platform(open_window: Window, admin_state: Any) -> None:
    with open_window(state=admin_state) as window:
        page = window.page
        page.goto("/about")
        page.get_by_text("Database", exact=True).wait_for()
        page.get_by_role("button", name="See what would be freed").click()
        page.get_by_text("Would be deleted now").wait_for()


class TestVerification:
    def test_button_verifies_the_trail(
        self, open_window: Window, admin_state: Any, api: httpx.Client
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto("/audit")
            page.get_by_role("button", name="Verify now").click()
            page.get_by_text("Intact", exact=True).wait_for(timeout=90_000)
            page.get_by_text("checked").wait_for()
        found = api.get("audit/verification").json()
        assert found["state"] == "intact"
        assert found["user"]["username"] == "admin"

    def test_broken_trail_shows_its_first_findings(
        self, open_window: Window, admin_state: Any, platform: Platform
    ) -> None:
        result = (
            '{"rows": 12, "seals": 2, "findings": ['
            '{"kind": "altered", "text": "row 7", "row": 7, "seal": 2, "entry": null}], "more": 3}'
        )
        platform.sql(
            "INSERT INTO audit_verifications (username, ended_at, result)"
            " VALUES ('lin', now(), %s) RETURNING id",
            result,
        )
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto("/audit")
            page.get_by_text("Not intact").wait_for()
            page.get_by_text("Entry changed · entry 7 · seal 2").wait_for()
            page.get_by_text("and 3 more").wait_for()
            window.settle()
            assert window.violations() == []


def test_licences_are_searched_by_name(open_window: Window, admin_state: Any) -> None:
    with open_window(state=admin_state) as window:
        page = window.page
        page.goto("/about")
        table = page.get_by_role("table", name="Licences")
        table.get_by_role("row").filter(has_text="fastapi").first.wait_for()
        page.get_by_label("Package or licence").fill("react-dom")
        named = page.get_by_role("cell", name="react-dom", exact=True)
        row = table.get_by_role("row").filter(has=named)
        row.get_by_text("MIT").wait_for()
        assert table.get_by_role("row").filter(has_text="fastapi").count() == 0
