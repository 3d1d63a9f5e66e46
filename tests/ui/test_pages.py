"""Tests of every page: no errors, no requests to other servers, accessible in both themes."""

import json
from typing import Any

import httpx
import pytest

from tests.factories import number
from tests.ui.conftest import Window

ENTRY_PAGES = ["/sign-in", "/forgot-password"]
PAGES = [
    "/",
    "/first-run",
    "/projects",
    "/inbox",
    "/inbox?tab=preferences",
    "/account",
    "/account?tab=security",
    "/account?tab=sessions",
    "/account?tab=keys",
    "/account?tab=secrets",
    "/workers",
    "/users",
    "/users?tab=invitations",
    "/users/admin",
    "/roles",
    "/roles?role=developer",
    "/about",
    "/audit",
    "/bin",
    "/p/{project}",
    "/p/{project}/experiments",
    "/p/{project}/experiments?view=runs",
    "/p/{project}/experiments?view=sweeps",
    "/p/{project}/experiments/compare",
    "/p/{project}/experiments/new",
    "/p/{project}/experiments/new?step=model",
    "/p/{project}/experiments/new?step=method",
    "/p/{project}/experiments/new?step=resources",
    "/p/{project}/sweeps/new",
    "/p/{project}/evaluations",
    "/p/{project}/schedules",
    "/p/{project}/datasets",
    "/p/{project}/datasets/new",
    "/p/{project}/datasets/new?source=url",
    "/p/{project}/datasets/new?source=s3",
    "/p/{project}/datasets/new?source=hub",
    "/p/{project}/datasets/hostile",
    "/p/{project}/datasets/hostile?row=1",
    "/p/{project}/datasets/hostile?view=read",
    "/p/{project}/datasets/hostile?tab=versions",
    "/p/{project}/datasets/hostile?tab=versions&before=v1&after=v2",
    "/p/{project}/datasets/hostile?tab=report",
    "/p/{project}/datasets/hostile?tab=columns",
    "/p/{project}/datasets/hostile?tab=storage",
    "/p/{project}/tasks",
    "/p/{project}/tasks?view=queue",
    "/p/{project}/models",
    "/p/{project}/models/compare",
    "/p/{project}/models/import",
    "/p/{project}/deployments",
    "/p/{project}/deployments/new",
    "/p/{project}/playground",
    "/p/{project}/settings?tab=usage",
    "/p/{project}/settings?tab=gate",
    "/p/{project}/settings?tab=webhooks",
    "/p/{project}/settings?tab=secrets",
    "/p/{project}/settings?tab=retention",
    "/p/{project}/settings?tab=bin",
]
"""Addresses of pages for signed-in users. Add new pages here."""

HOSTILE = [
    "<img src=x onerror=\"window.harmed='image'\">",
    "<svg/onload=\"window.harmed='svg'\">",
    "</script><script>window.harmed='script'</script>",
    "{{constructor.constructor('window.harmed=1')()}} ${window.harmed=2}",
    "javascript:window.harmed='link'",
    "[link](javascript:window.harmed=3) ![x](http://192.0.2.1/x.png)",
    "\u202egnp.exe\u2066 right to left \u2069",
    "zalgo e\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308",
    "long " * 2000,
]


@pytest.fixture(scope="session")
def project(api: httpx.Client) -> str:
    """Create a project with hostile text in its fields and return its uuid."""
    answer = api.post(
        "projects", json={"name": f"pages{number()}", "description": "\n".join(HOSTILE)[:10_000]}
    )
    assert answer.status_code == 201, answer.text
    uuid: str = answer.json()["uuid"]
    for text in HOSTILE:
        run = api.post(f"projects/{uuid}/runs", json={"name": text[:200]})
        assert run.status_code < 500, run.text
    rows = "\n".join(
        json.dumps({"prompt": text, "completion": text[::-1], HOSTILE[0]: text}) for text in HOSTILE
    )
    name = {"name": "hostile", "filename": "hostile.jsonl", "message": HOSTILE[1]}
    made = api.post(f"projects/{uuid}/datasets", params=name, content=rows)
    assert made.status_code == 201, made.text
    dataset = made.json()["uuid"]
    change = {"delete": [0], "message": HOSTILE[0]}
    assert api.post(f"datasets/{dataset}/patch", json=change).status_code == 201
    return uuid


@pytest.mark.parametrize(("language", "theme"), [("en", "light"), ("zh", "dark")])
def test_pages_are_sound_and_accessible(
    open_window: Window, admin_state: Any, project: str, language: str, theme: str
) -> None:
    """Check that each page works without errors and shows hostile texts as text.

    All pages share a window, because opening one for each page would take most of the time.
    """
    found: dict[str, list[str]] = {}
    options = {"language": language, "theme": theme, "for_axe": True}
    with open_window(**options) as window:
        for path in ENTRY_PAGES:
            window.page.goto(path)
            window.page.get_by_role("heading").first.wait_for()
            found[path] = window.violations()
    with open_window(state=admin_state, **options) as window:
        for path in PAGES:
            window.page.goto(path.format(project=project))
            window.page.get_by_role("main").get_by_role("heading").first.wait_for()
            window.settle()
            found[path] = window.violations()
            window.check()
            assert window.page.evaluate("window.harmed") is None, path
            # A long word must not make the page wider than the window.
            wide = window.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, path
    assert {path: faults for path, faults in found.items() if faults} == {}


def test_policy_stops_a_script_that_gets_into_the_page(
    open_window: Window, admin_state: Any
) -> None:
    with open_window(state=admin_state) as window:
        window.page.goto("/")
        window.page.get_by_role("main").wait_for()
        window.page.evaluate(
            """() => {
                const script = document.createElement('script');
                script.textContent = "window.harmed = 'inline'";
                document.body.append(script);
                const frame = document.createElement('iframe');
                frame.src = 'http://192.0.2.1/';
                document.body.append(frame);
            }"""
        )
        assert window.page.evaluate("window.harmed") is None
        assert any("Content Security Policy" in fault for fault in window.faults)
        window.faults.clear()
