"""Tests of the first run, from signing in to a chat with the tuned model, and of the home page."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import PASSWORD, Platform
from tests.factories import number
from tests.tiny_model import make_tiny_model
from tests.ui.conftest import Window, signed_in_state
from tests.ui.test_sign_in import MakeUser, sign_in

STEP_MS = 240_000


@pytest.fixture(scope="module")
def base_model(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Share a tiny model under the name of the real base model, so that training takes seconds."""
    directory = make_tiny_model(tmp_path_factory.mktemp("tiny"))
    with platform.client() as client:
        client.project = client.projects.create("base")
        client.models.import_path(directory / "weights", name="smollm2", shared=True).wait_ready(
            300
        )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_newcomer_goes_from_signing_in_to_a_chat(
    open_window: Window, make_user: MakeUser, base_model: None
) -> None:
    with open_window() as window:
        page = window.page
        page.goto("/")
        sign_in(page, make_user(role="developer"))
        page.get_by_role("link", name="Begin", exact=True).click()
        page.wait_for_url("**/first-run")

        page.get_by_role("button", name="Bring in the sample").click()
        page.get_by_role("button", name=re.compile("Fix [0-9]+ findings")).click(timeout=STEP_MS)
        page.get_by_text("the score went from").wait_for(timeout=STEP_MS)

        page.get_by_role("button", name="Start training").click(timeout=STEP_MS)
        page.get_by_role("figure", name="Loss").wait_for(timeout=STEP_MS)
        # Users may leave the page at any time: its address and the home page lead back.
        page.goto("/")
        page.get_by_role("link", name="Go on", exact=True).click()

        page.get_by_role("button", name="Compare").click(timeout=STEP_MS)
        page.get_by_text("Loss on the held-out rows").wait_for(timeout=STEP_MS)

        page.get_by_role("button", name="Deploy the model").click(timeout=STEP_MS)
        field = page.get_by_role("textbox", name="Ask both models")
        field.wait_for(timeout=STEP_MS)
        field.fill("How do I get an invoice?")
        field.press("Enter")
        answers = page.get_by_role("region", name="How do I get an invoice?")
        answers.get_by_text("Tuned model").wait_for(timeout=STEP_MS)
        page.get_by_role("button", name="Stop the deployment").click()
        page.locator("[data-status=stopped]").wait_for(timeout=STEP_MS)


def test_viewer_is_told_why_there_is_no_button(
    open_window: Window, platform: Platform, make_user: MakeUser
) -> None:
    state = signed_in_state(platform, make_user(role="viewer"), PASSWORD)
    with open_window(state=state) as window:
        window.page.goto("/first-run")
        window.page.get_by_text("Your role may not create projects").wait_for()
        assert window.page.get_by_role("button", name="Bring in the sample").count() == 0


def test_home_tells_what_ended_since_the_last_visit(
    open_window: Window, api: httpx.Client, admin_state: Any
) -> None:
    project = api.post("projects", json={"name": f"morning{number()}"}).json()["uuid"]
    run = api.post(f"projects/{project}/runs", json={"name": "overnight"}).json()["uuid"]
    me = api.get("users/me").json()["uuid"]
    failed = {"status": "failed", "error": "the disk was full"}
    api.post(f"tasks/{run}/end", json=failed).raise_for_status()
    with open_window(state=admin_state) as window:
        page = window.page
        page.goto("/sign-in")
        page.evaluate(f"localStorage.setItem('aiplatform.seen.{me}', Date.now() - 3600 * 1000)")
        page.goto("/")
        page.get_by_role("heading", name="Since your last visit").wait_for()
        page.get_by_role("link", name="overnight", exact=True).wait_for()
        page.get_by_text("the disk was full").wait_for()


def test_sample_is_a_file_of_the_page() -> None:
    """Check that the built web interface contains the example files unchanged."""
    from aiplatform.server.ui.pages import STATIC

    if not (STATIC / "index.html").is_file():
        pytest.skip("the web interface is not built (make setup)")
    examples = Path(__file__).parents[2] / "examples"
    carried = {file.read_bytes() for file in STATIC.glob("assets/*.jsonl")}
    wanted = {(examples / f"{name}.jsonl").read_bytes() for name in ("questions", "messy")}
    assert wanted <= carried
