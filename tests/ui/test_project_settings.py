"""Tests of a project's settings."""

from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Platform, chats
from tests.factories import number
from tests.ui.conftest import Window


@pytest.fixture
def project(api: httpx.Client) -> str:
    """Create a project and return its uuid."""
    answer = api.post("projects", json={"name": f"settings{number()}"})
    assert answer.status_code == 201, answer.text
    uuid: str = answer.json()["uuid"]
    return uuid


class TestSettings:
    def test_quota_is_set(
        self, open_window: Window, admin_state: Any, api: httpx.Client, project: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/settings?tab=usage")
            page.get_by_label("Storage, GB").fill("5")
            page.get_by_role("button", name="Save").click()
            page.get_by_text("Saved", exact=True).wait_for()
        assert api.get(f"projects/{project}/usage").json()["storage"]["limit"] == 5_000_000_000

    def test_rules_of_the_gate_are_set(
        self, open_window: Window, admin_state: Any, api: httpx.Client, project: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/settings?tab=gate")
            page.get_by_label("Lowest score").fill("80")
            page.get_by_role("button", name="Add a limit").click()
            page.get_by_label("Finding", exact=True).fill("near_duplicates")
            page.get_by_label("At most, % of rows").fill("2.5")
            page.get_by_role("button", name="Save").click()
            page.get_by_text("Saved", exact=True).wait_for()
        gate = api.get(f"projects/{project}/dataset-gate").json()
        assert gate["min_score"] == 80
        assert gate["limits"] == [{"finding": "near_duplicates", "max_share": 0.025}]

    def test_retention_keeps_the_rest_of_the_configuration(
        self, open_window: Window, admin_state: Any, api: httpx.Client, project: str
    ) -> None:
        api.patch(
            f"projects/{project}", json={"config": {"team": "shop"}}, headers={"If-Match": "*"}
        ).raise_for_status()
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/settings?tab=retention")
            page.get_by_label("Logs, days").fill("30")
            page.get_by_role("button", name="Save").click()
            page.get_by_text("Saved", exact=True).wait_for()
        config = api.get(f"projects/{project}").json()["config"]
        assert config["team"] == "shop"
        assert config["retention"]["log_days"] == 30

    def test_secret_goes_in_and_never_comes_out(
        self, open_window: Window, admin_state: Any, project: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/settings?tab=secrets")
            page.get_by_role("button", name="Store a secret").click()
            form = page.get_by_role("dialog")
            form.get_by_label("Name").fill("hub")
            form.get_by_label("Value", exact=True).fill("hf_very_secret_value")
            form.get_by_role("button", name="Store", exact=True).click()
            page.get_by_role("row", name="hub").wait_for()
            assert "hf_very_secret_value" not in page.content()

    def test_webhook_shows_its_secret_once_and_is_switched_off(
        self, open_window: Window, admin_state: Any, api: httpx.Client, project: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/settings?tab=webhooks")
            page.get_by_role("button", name="Create webhook").click()
            form = page.get_by_role("dialog")
            form.get_by_label("Name").fill("chat")
            form.get_by_label("Address").fill("https://example.com/hook")
            form.get_by_role("button", name="Create webhook").click()
            page.get_by_role("dialog", name="Secret of the webhook").wait_for()
            page.get_by_role("button", name="I have kept it").click()
            page.wait_for_url("**webhook=**")
            page.get_by_role("switch", name="Send events").click(force=True)
            page.get_by_role("row", name="chat").get_by_text("Off").wait_for()
        hook = api.get(f"projects/{project}/webhooks").json()["items"][0]
        assert hook["is_enabled"] is False

    def test_deleted_dataset_is_restored_from_the_bin(
        self, open_window: Window, admin_state: Any, platform: Platform, project: str
    ) -> None:
        with platform.client() as client:
            client.project = project
            dataset = client.datasets.upload("drafts", chats(4)).wait_ready()
            dataset.delete()
            with open_window(state=admin_state) as window:
                page = window.page
                page.goto(f"/p/{project}/settings?tab=bin")
                page.get_by_role("button", name="Restore").click()
                page.get_by_text("The bin is empty").wait_for()
            assert [one.name for one in client.datasets.list()] == ["drafts"]
