"""Tests of the drawers that preview rows, and of the queue order."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from aiplatform import Client
from tests.e2e.conftest import Platform
from tests.factories import number
from tests.ui.conftest import Window

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def client(platform: Platform) -> Iterator[Client]:
    """Return a client for a new project, in which tasks wait because all workers are cordoned."""
    with platform.client() as client:
        client.project = client.projects.create(f"preview{number()}")
        workers = client.workers.list().all()
        for worker in workers:
            client.workers.cordon(worker)
        yield client
        for worker in workers:
            client.workers.resume(worker)


def submit(client: Client, *names: str) -> list[str]:
    """Submit tasks in this order and return their uuids."""
    rows = client.datasets.upload(f"rows{number()}", b'{"text": "a"}\n')
    spec = {"type": "data_quality", "dataset": {"dataset": str(rows.uuid), "version": "v1"}}
    return [str(client.tasks.submit(spec, name=name).uuid) for name in names]


def drawer(page: "Page") -> Any:
    return page.get_by_role("dialog", name="Preview")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_space_shows_a_row_beside_the_list_and_escape_closes_it(
    open_window: Window, admin_state: Any, client: Client, theme: str
) -> None:
    data = client.datasets.upload("shown", b'{"text": "a"}\n')
    with open_window(state=admin_state, theme=theme, for_axe=True) as window:
        page = window.page
        page.goto(f"/p/{client.project.uuid}/datasets")
        page.get_by_role("row").filter(has_text="shown").wait_for()
        page.keyboard.press("j")
        page.keyboard.press("Space")
        drawer(page).get_by_text("Version").wait_for()
        page.wait_for_url(f"**preview={data.uuid}**")
        window.settle()
        assert window.violations() == []
        page.reload()
        drawer(page).get_by_role("link", name="Open the page").wait_for()
        page.keyboard.press("Escape")
        drawer(page).wait_for(state="detached")
        page.wait_for_url(lambda url: "preview" not in url)
        page.get_by_role("row").filter(has_text="shown").get_by_label("Preview").click()
        drawer(page).get_by_role("link", name="Open the page").click()
        page.wait_for_url(f"**/datasets/{data.uuid}**")


def test_eye_shows_a_task_and_the_way_to_its_page(
    open_window: Window, admin_state: Any, client: Client
) -> None:
    [task] = submit(client, "peeked")
    with open_window(state=admin_state) as window:
        page = window.page
        page.goto(f"/p/{client.project.uuid}/tasks")
        page.get_by_role("row").filter(has_text="peeked").get_by_label("Preview").click()
        drawer(page).get_by_text("Progress").wait_for()
        page.wait_for_url(f"**preview={task}**")
        drawer(page).get_by_role("link", name="Open the page").click()
        page.wait_for_url(f"**/tasks/{task}**")


class TestQueue:
    def order(self, page: "Page") -> list[str]:
        rows = page.get_by_role("list", name="Queue").get_by_role("listitem")
        return [row.get_by_role("link").first.inner_text() for row in rows.all()]

    def test_dragged_row_keeps_its_place_over_a_reload(
        self, open_window: Window, admin_state: Any, client: Client
    ) -> None:
        names = [f"{name}{number()}" for name in ("one", "two", "three")]
        submit(client, *names)
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{client.project.uuid}/tasks?view=queue")
            rows = page.get_by_role("list", name="Queue").get_by_role("listitem")
            rows.filter(has_text=names[2]).wait_for()
            before = [name for name in self.order(page) if name in names]
            assert before == names
            rows.filter(has_text=names[2]).drag_to(
                rows.filter(has_text=names[0]), target_position={"x": 300, "y": 3}
            )
            page.get_by_text("is now at place").wait_for(state="attached")
            page.wait_for_timeout(1000)
            page.reload()
            rows.filter(has_text=names[2]).wait_for()
            after = [name for name in self.order(page) if name in names]
            assert after == [names[2], names[0], names[1]]
