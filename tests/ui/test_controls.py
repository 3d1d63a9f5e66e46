"""Tests that no page offers a role a control whose request the API would refuse.

Each visible control on every page is pressed, as each role. Requests that would change something
are not sent; instead, the access table is consulted to check that the role may send them.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.access_table import TABLE, Access
from tests.e2e.conftest import PASSWORD, Platform
from tests.factories import number
from tests.ui.addresses import fill, page_patterns, values
from tests.ui.conftest import Window, signed_in_state
from tests.ui.sample import make_sample

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response, Route

ROLES = ("viewer", "developer", "owner", "administrator")
CONTROLS = "main button, main [role=tab], main [role=switch]"
HEADER = "header button"
"""The controls of the header, which are the same on every page."""
LABELS = """all => all.map((one) =>
    (one.ariaLabel || one.textContent || '').trim().replace(/[0-9a-f]{8,}/g, '…').slice(0, 40))"""
REFUSAL = {
    "type": "about:blank",
    "title": "Not sent",
    "status": 422,
    "code": "test.not_sent",
    "detail": "The test does not send changes.",
    "instance": "/",
}


def pattern_of(entry: Access) -> re.Pattern[str]:
    """Return a pattern that matches all paths of a route."""
    parts = re.split(r"(\{[^}]+\})", entry.path)
    return re.compile(
        "".join(
            (".+" if part == "{path}" else "[^/]+") if part.startswith("{") else re.escape(part)
            for part in parts
        )
    )


ROUTES = [(entry, pattern_of(entry)) for entry in TABLE]


def is_allowed(method: str, path: str, role: str) -> bool:
    """Return True if the access table allows the role to make this request."""
    found = [
        entry for entry, pattern in ROUTES if entry.method == method and pattern.fullmatch(path)
    ]
    assert found, f"no such route: {method} {path}"
    # Fixed paths such as users/me exist alongside those with a parameter, and take precedence.
    entry = min(found, key=lambda one: one.path.count("{"))
    match entry.kind:
        case "public" | "signed in" | "inbox":
            return True
        case "project":
            return (
                role in {"owner", "administrator"}
                or (role == "developer" and entry.developer)
                or (role == "viewer" and entry.viewer)
            )
        case "platform":
            return role == "administrator"
        case _:
            return False


class Presser:
    """A robot that presses page controls and records requests that were or would be refused."""

    def __init__(self, page: "Page", role: str) -> None:
        self.page = page
        self.role = role
        self.at = ""
        self.refused: set[str] = set()
        self.controls = CONTROLS
        page.on("response", self._on_response)
        page.route("**/v1/**", self._on_request)

    def _on_response(self, response: "Response") -> None:
        if response.status == 403:
            path = urlsplit(response.url).path
            self.refused.add(f"{self.at}: {response.request.method} {path}")

    def _on_request(self, route: "Route") -> None:
        request = route.request
        path = urlsplit(request.url).path
        if request.method in {"GET", "HEAD", "OPTIONS"}:
            route.continue_()
            return
        if not is_allowed(request.method, path, self.role):
            self.refused.add(f"{self.at}: {request.method} {path}")
        route.fulfill(status=422, json=REFUSAL, content_type="application/problem+json")

    def visit(self, address: str, controls: str = CONTROLS) -> None:
        """Press each control of a page, but only the first of several with the same label."""
        self.at = address
        self.controls = controls
        self._open(address)
        labels: list[str] = self.page.locator(self.controls).evaluate_all(LABELS)
        first = {label: index for index, label in reversed(list(enumerate(labels)))}
        for label, index in sorted(first.items(), key=lambda item: item[1]):
            self.at = f"{address} “{label}”"
            if self._label(index) != label:
                self._open(address)
            self._press(index)
            if urlsplit(self.page.url).path != address:
                self._open(address)

    def _open(self, address: str) -> None:
        self.page.goto(address)
        self.page.get_by_role("main").get_by_role("heading").first.wait_for()
        self.page.wait_for_timeout(250)

    def _label(self, index: int) -> str:
        labels: list[str] = self.page.locator(self.controls).evaluate_all(LABELS)
        return labels[index] if index < len(labels) else ""

    def _press(self, index: int) -> None:
        control = self.page.locator(self.controls).nth(index)
        if not control.is_visible() or not control.is_enabled():
            return
        control.click(timeout=2000, force=True)
        self.page.wait_for_timeout(120)
        if self.page.get_by_role("menuitem").count():
            self._press_entries(index)
        dialog = self.page.get_by_role("dialog")
        if dialog.count():
            for button in dialog.first.get_by_role("button").all()[-1:]:
                if button.is_visible() and button.is_enabled():
                    button.click(timeout=2000, force=True)
                    self.page.wait_for_timeout(120)
        self.page.keyboard.press("Escape")

    def _press_entries(self, index: int) -> None:
        """Press the entries of the open menu, reopening it after each."""
        before = self.page.url
        for place in range(self.page.get_by_role("menuitem").count()):
            entries = self.page.get_by_role("menuitem")
            if not entries.count():
                self.page.locator(self.controls).nth(index).click(timeout=2000, force=True)
                self.page.wait_for_timeout(120)
            if self.page.get_by_role("menuitem").count() <= place:
                return
            self.page.get_by_role("menuitem").nth(place).click(timeout=2000, force=True)
            self.page.wait_for_timeout(120)
            self.page.keyboard.press("Escape")
            if self.page.url != before:
                return


@pytest.fixture(scope="module")
def sample(platform: Platform) -> str:
    with platform.client() as client:
        return make_sample(client, f"sample{number()}")


@pytest.fixture(scope="module")
def people(platform: Platform, api: httpx.Client, sample: str) -> dict[str, str]:
    """Create a user for each role in the sample project; return their names by role."""
    found = {"administrator": "admin"}
    for role in ("viewer", "developer", "owner"):
        name = f"{role}{number()}"
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        user = api.post("users", json=body)
        assert user.status_code == 201, user.text
        uuid = user.json()["uuid"]
        member = "developer" if role == "owner" else role
        api.put(f"projects/{sample}/members/{uuid}", json={"role": member}).raise_for_status()
        if role == "owner":
            api.post(f"projects/{sample}/transfer", json={"user": name}).raise_for_status()
        found[role] = name
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("role", ROLES)
def test_no_control_is_refused(
    open_window: Window,
    platform: Platform,
    api: httpx.Client,
    sample: str,
    people: dict[str, str],
    role: str,
) -> None:
    known = values(api, sample)
    state: Any = signed_in_state(platform, people[role], PASSWORD)
    with open_window(state=state) as window:
        presser = Presser(window.page, role)
        presser.visit("/", HEADER)
        for address in filter(None, (fill(pattern, known) for pattern in page_patterns())):
            if is_for_others(role, address):
                continue
            presser.visit(address)
        # Refused changes appear as console errors, which are expected here.
        window.faults.clear()
        assert presser.refused == set()


def is_for_others(role: str, address: str) -> bool:
    """Return True for a platform page to which the interface has no link for this role."""
    first = address.strip("/").partition("/")[0]
    return role != "administrator" and first in {"audit", "bin", "roles", "users", "workers"}


def test_table_of_routes_decides_by_role() -> None:
    uuid = "5a0f3d1c-8b52-4d5e-9a51-2f3f3a8f0c44"
    cases: list[tuple[str, str, str, bool]] = [
        ("POST", f"/api/v1/tasks/{uuid}/cancel", "viewer", False),
        ("POST", f"/api/v1/tasks/{uuid}/cancel", "developer", True),
        ("POST", "/api/v1/notifications/read", "viewer", True),
    ]
    check: Callable[[str, str, str], bool] = is_allowed
    assert [check(method, path, role) for method, path, role, _ in cases] == [
        expected for *_, expected in cases
    ]
