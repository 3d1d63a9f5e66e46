"""Tests of saved views in a browser: save, choose elsewhere, share, replace, rename, delete."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aiplatform import Client
from tests.e2e.conftest import PASSWORD, Platform
from tests.factories import number
from tests.ui.conftest import Window, signed_in_state

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def project(api: httpx.Client) -> str:
    """Create a project of the administrator and return its uuid."""
    return str(api.post("projects", json={"name": f"views{number()}"}).json()["uuid"])


@pytest.fixture
def viewer_state(
    api: httpx.Client, platform: Platform, project: str, make_user: Callable[..., str]
) -> Any:
    """Create a viewer of the project and return a browser state with the viewer's cookie."""
    name = make_user()
    assert api.put(f"projects/{project}/members/{name}", json={"role": "viewer"}).is_success
    with Client(platform.url, credentials=platform.home / f"{name}.json") as client:
        client.login(name, PASSWORD)
        for invitation in client.projects.invitations():
            invitation.accept()
    return signed_in_state(platform, name, PASSWORD)


def open_menu(page: "Page") -> None:
    page.get_by_role("button", name="Views", exact=True).click()


def save(page: "Page", name: str, *, share: bool = False, button: str = "Save") -> None:
    """Save the current view of the list under a name."""
    open_menu(page)
    page.get_by_role("menuitem", name="Save this view").click()
    page.get_by_label("Name", exact=True).fill(name)
    if share:
        page.get_by_role("switch", name="Share with the project").check(force=True)
    page.get_by_role("button", name=button, exact=True).click()
    page.get_by_role("dialog").wait_for(state="detached")


def choose(page: "Page", name: str) -> None:
    open_menu(page)
    page.get_by_role("menuitem", name=name).click()


def test_view_saved_in_one_browser_is_chosen_in_another(
    open_window: Window, admin_state: Any, project: str
) -> None:
    with open_window(state=admin_state) as window:
        window.page.goto(f"/p/{project}/tasks?status=failed&type=training")
        save(window.page, "Failed trainings")
    with open_window(state=admin_state) as window:
        page = window.page
        page.goto(f"/p/{project}/tasks")
        choose(page, "Failed trainings")
        page.wait_for_url("**status=failed**")
        assert "type=training" in page.url
        page.reload()
        open_menu(page)
        shown = page.get_by_role("menuitem", name="Failed trainings")
        shown.get_by_label("Shown").wait_for()


def test_shared_view_is_seen_by_others_and_private_one_is_not(
    open_window: Window, admin_state: Any, viewer_state: Any, project: str
) -> None:
    with open_window(state=admin_state) as window:
        window.page.goto(f"/p/{project}/datasets?q=faq")
        save(window.page, "Only mine")
        save(window.page, "For all", share=True)
    with open_window(state=viewer_state) as window:
        page = window.page
        page.goto(f"/p/{project}/datasets")
        open_menu(page)
        page.get_by_text("Shared by others").wait_for()
        assert page.get_by_role("menuitem", name="Only mine").count() == 0
        page.get_by_role("menuitem", name="For all").click()
        page.wait_for_url("**q=faq**")
        open_menu(page)
        page.get_by_role("menuitem", name="Manage views").click()
        page.get_by_text("These views were shared by others.").wait_for()


def test_view_is_replaced_renamed_and_deleted(
    open_window: Window, admin_state: Any, api: httpx.Client, project: str
) -> None:
    def stored() -> list[tuple[str, Any, bool]]:
        items = api.get(f"projects/{project}/views").json()["items"]
        return [(view["name"], view["state"], view["shared"]) for view in items]

    with open_window(state=admin_state) as window:
        page = window.page
        page.goto(f"/p/{project}/models?q=one")
        save(page, "Mine")
        page.goto(f"/p/{project}/models?q=two")
        save(page, "Mine", button="Replace")
        assert stored() == [("Mine", {"q": "two"}, False)]
        open_menu(page)
        page.get_by_role("menuitem", name="Manage views").click()
        page.get_by_label("Name of Mine").fill("Ours")
        page.get_by_label("Name of Mine").press("Enter")
        page.get_by_label("Share Ours").check(force=True)
        page.get_by_role("button", name="Delete Ours").wait_for()
        page.wait_for_timeout(1000)
        assert stored() == [("Ours", {"q": "two"}, True)]
        page.get_by_role("button", name="Delete Ours").click()
        page.get_by_role("button", name="Delete Ours").wait_for(state="detached")
        assert stored() == []


@pytest.mark.parametrize("view", ["experiments", "runs"])
def test_lists_of_experiments_and_runs_have_views_of_their_own(
    open_window: Window, admin_state: Any, project: str, view: str
) -> None:
    with open_window(state=admin_state, for_axe=True) as window:
        page = window.page
        page.goto(f"/p/{project}/experiments?view={view}&filter=name+%3D+%22a%22")
        save(page, f"Named in {view}")
        open_menu(page)
        page.get_by_role("menuitem", name="Save this view").click()
        window.settle()
        assert window.violations() == []
        page.keyboard.press("Escape")
        open_menu(page)
        page.get_by_role("menuitem", name="Manage views").click()
        page.get_by_label(f"Name of Named in {view}").wait_for()
        window.settle()
        assert window.violations() == []
        page.keyboard.press("Escape")
        other = "runs" if view == "experiments" else "experiments"
        page.goto(f"/p/{project}/experiments?view={other}")
        window.settle()
        open_menu(page)
        page.get_by_role("menuitem", name="Save this view").wait_for()
        assert page.get_by_role("menuitem", name=f"Named in {view}").count() == 0
