"""Tests of the registry, deployments and the playground in a browser, with a real model."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aiplatform import Client
from aiplatform.client.deployments import Deployment
from aiplatform.client.models import Model
from aiplatform.protocol.model_sources import UploadSource
from tests.e2e.conftest import Platform
from tests.factories import number
from tests.tiny_model import make_tiny_model
from tests.ui.conftest import Window, signed_in_state

if TYPE_CHECKING:
    from playwright.sync_api import Page

CARD = """---
license: apache-2.0
---
# Tiny model

<img src=x onerror="window.harmed='card'"> and <script>window.harmed='script'</script>

[a link](javascript:window.harmed='link') ![far](http://192.0.2.1/x.png)

| figure | value |
| --- | --- |
| loss | 1.5 |
"""


@dataclass
class Served:
    """A project with two models and a deployment that answers."""

    client: Client
    project: str
    model: Model
    other: Model
    deployment: Deployment

    def path(self, rest: str) -> str:
        return f"/p/{self.project}/{rest}"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a tiny model and return its directory."""
    return make_tiny_model(tmp_path_factory.mktemp("ui-tiny")) / "weights"


@pytest.fixture(scope="session")
def served(platform: Platform, weights: Path) -> Iterator[Served]:
    with platform.client() as client:
        project = client.projects.create(f"chat{number()}")
        client.project = project
        model = client.models.import_path(weights, name="tiny").wait_ready(120)
        other = client.models.import_path(weights, name="tiny").wait_ready(120)
        # No import creates such a card, but files made elsewhere may contain one.
        platform.sql(
            "UPDATE model_details SET card = jsonb_set(card::jsonb, '{text}', to_jsonb(%s::text))"
            " FROM models WHERE models.id = model_details.model_id AND models.uuid = %s"
            " RETURNING model_id",
            CARD,
            model.uuid,
        )
        deployment = client.deployments.create("faq", model, max_length=512).wait_ready(120)
        yield Served(client, str(project.uuid), model, other, deployment)
        deployment.delete()


def main_heading(page: "Page", name: str | re.Pattern[str]) -> None:
    page.get_by_role("main").get_by_role("heading", level=1, name=name).wait_for()


class TestRegistry:
    def test_list_groups_versions_and_compares_two(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(served.path("models"))
            page.get_by_role("link", name="tiny@2").wait_for()
            assert page.get_by_role("link", name="tiny@1").count() == 0
            page.get_by_role("switch", name="Each version in its own row").check(force=True)
            page.get_by_role("link", name="tiny@1").wait_for()
            assert "all=true" in page.url
            for box in page.get_by_role("checkbox", name="Select row").all():
                box.check()
            page.get_by_role("link", name="Compare", exact=True).click()
            page.wait_for_url("**/models/compare?**")
            page.get_by_role("button", name=re.compile("equal values")).first.wait_for()

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_card_shows_html_as_text_and_loads_nothing(
        self, open_window: Window, admin_state: Any, served: Served, theme: str
    ) -> None:
        with open_window(state=admin_state, theme=theme, for_axe=True) as window:
            page = window.page
            page.goto(served.path(f"models/{served.model.uuid}"))
            page.get_by_role("heading", name="Tiny model").wait_for()
            assert page.get_by_text('<img src=x onerror="').is_visible()
            assert page.locator("main img").count() == 0
            assert page.get_by_text("license: apache-2.0").count() == 0
            assert page.evaluate("window.harmed") is None
            assert window.violations() == []

    @pytest.mark.parametrize("tab", ["metrics", "lineage", "files", "versions", "aliases"])
    def test_tabs_are_sound(
        self, open_window: Window, admin_state: Any, served: Served, tab: str
    ) -> None:
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto(served.path(f"models/{served.model.uuid}?tab={tab}"))
            page.get_by_role("tabpanel").wait_for()
            window.settle()
            if tab == "lineage":
                page.get_by_role("link", name="faq").wait_for()
            if tab == "files":
                page.get_by_role("link", name="weights/config.json").wait_for()
            assert window.violations() == []

    def test_alias_is_set_moved_undone_and_deleted(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        models = served.client.models
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto(served.path(f"models/{served.model.uuid}?tab=aliases"))
            page.get_by_role("button", name="Set an alias").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_label("Alias", exact=True).fill("production")
            assert dialog.get_by_role("button", name="Set the alias").is_disabled()
            dialog.get_by_label("Reason").fill("The first one.")
            dialog.get_by_role("button", name="Set the alias").click()
            dialog.wait_for(state="hidden")
            page.get_by_role("row", name="@production").get_by_text("this version").wait_for()
            assert models.resolve("tiny@production") == served.model.uuid
            page.goto(served.path(f"models/{served.other.uuid}?tab=aliases"))
            page.get_by_role("button", name="Move production to this version").click()
            # Another user moves the alias while the dialog is open.
            models.set_alias(served.other, "production", reason="Faster than you.")
            models.set_alias(served.model, "production", reason="And back.")
            models.set_alias(served.other, "production", reason="And here again.")
            dialog.get_by_label("Reason").fill("Mine.")
            dialog.get_by_role("button", name="Move the alias").click()
            dialog.get_by_text("it points to version 2").wait_for()
            window.faults.clear()  # the browser reports the refused request
            dialog.get_by_role("button", name="Cancel").click()
            page.get_by_role("button", name="History of production").click()
            page.get_by_role("row", name="And here again.").first.wait_for()
            window.settle()
            assert window.violations() == []
            page.get_by_role("button", name="Undo the last move of production").click()
            dialog.get_by_label("Reason").fill("Too slow.")
            dialog.get_by_role("button", name="Undo the move").click()
            dialog.wait_for(state="hidden")
            page.get_by_role("row", name="Too slow.").first.wait_for()
            assert models.resolve("tiny@production") == served.model.uuid
            page.goto(served.path("models?all=true"))
            page.get_by_role("row", name="tiny@1").get_by_text("@production").wait_for()
            page.goto(served.path(f"models/{served.model.uuid}?tab=aliases"))
            page.get_by_role("button", name="Delete the alias production").click()
            dialog.get_by_role("button", name="Delete the alias").click()
            page.get_by_text("No alias points to a version of this model yet.").wait_for()
            assert models.aliases(served.model).all() == []

    def test_folder_is_uploaded_and_imported(
        self, open_window: Window, admin_state: Any, served: Served, weights: Path
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(served.path("models/import?kind=directory"))
            page.locator("input[type=file]").set_input_files(weights)
            page.get_by_label("Name", exact=True).fill("from-browser")
            page.get_by_role("button", name="Import", exact=True).click()
            main_heading(page, "from-browser@1")
            page.get_by_role("heading", name="Base model").wait_for(timeout=120_000)

    def test_interrupted_upload_continues_with_the_missing_files(
        self, open_window: Window, admin_state: Any, served: Served, weights: Path
    ) -> None:
        made = served.client.models.create("halfway", UploadSource())
        served.client.models.upload_file(made, "config.json", weights / "config.json")
        sent: list[str] = []
        with open_window(state=admin_state) as window:
            page = window.page
            page.on(
                "request",
                lambda request: sent.append(request.url) if request.method == "PUT" else None,
            )
            page.goto(served.path(f"models/{made.uuid}"))
            page.get_by_role("link", name="Continue the upload").click()
            page.locator("input[type=file]").set_input_files(weights)
            page.get_by_role("button", name="Upload and import").click()
            page.get_by_role("heading", name="Base model").wait_for(timeout=120_000)
        assert sent
        assert not any(url.endswith("/config.json") for url in sent)

    def test_viewer_is_offered_no_changes(
        self,
        open_window: Window,
        platform: Platform,
        api: httpx.Client,
        make_user: Any,
        served: Served,
    ) -> None:
        name = make_user()
        uuid = api.get("users", params={"q": name}).json()["items"][0]["uuid"]
        member = f"projects/{served.project}/members/{uuid}"
        assert api.put(member, json={"role": "viewer"}).status_code < 300
        state = signed_in_state(platform, name, "a long enough passphrase")
        with open_window(state=state) as window:
            page = window.page
            for path, absent in (
                ("models", "Import a model"),
                (f"models/{served.model.uuid}", "Deploy"),
                ("deployments", "Deploy a model"),
                (f"deployments/{served.deployment.uuid}", "Stop"),
            ):
                page.goto(served.path(path))
                page.get_by_role("main").get_by_role("heading").first.wait_for()
                window.settle()
                assert page.get_by_text(absent, exact=True).count() == 0, path


class TestDeployments:
    def test_deployment_is_created_stopped_and_deleted(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(served.path(f"models/{served.model.uuid}"))
            page.get_by_role("link", name="Deploy", exact=True).click()
            page.get_by_label("Name", exact=True).fill("second")
            page.get_by_role("button", name="Deploy", exact=True).click()
            main_heading(page, "second")
            page.get_by_text("It answers requests.").wait_for(timeout=120_000)
            page.get_by_role("button", name="Stop").click()
            page.get_by_text("It is stopped and keeps its name.").wait_for(timeout=60_000)
            page.get_by_role("button", name="More").click()
            page.get_by_role("menuitem", name="Delete").click()
            page.get_by_role("dialog").get_by_role("textbox").fill("second")
            page.get_by_role("button", name="Delete deployment").click()
            page.wait_for_url("**/deployments")
            page.get_by_role("link", name="faq").wait_for()
            assert page.get_by_role("link", name="second").count() == 0

    def test_deployment_follows_an_alias_that_is_chosen_on_its_page(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        models = served.client.models
        models.set_alias(served.model, "followed", reason="The first one.")
        deployment = served.client.deployments.create("follower", served.model).wait_ready(120)
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(served.path(f"deployments/{deployment.uuid}"))
            page.get_by_role("button", name="More").click()
            page.get_by_role("menuitem", name="Update").click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_role("combobox", name="Model").click()
            page.get_by_role("option", name="tiny@followed").click()
            dialog.get_by_role("button", name="Update").click()
            page.get_by_text("Follows the alias").wait_for()
            models.set_alias(served.other, "followed", reason="Better.")
            page.get_by_role("main").get_by_role("link", name="tiny@2").wait_for(timeout=120_000)
        deployment.delete()
        models.delete_alias(served.model, "followed")

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_page_shows_code_that_calls_it(
        self, open_window: Window, admin_state: Any, served: Served, theme: str
    ) -> None:
        with open_window(state=admin_state, theme=theme, for_axe=True) as window:
            page = window.page
            page.goto(served.path(f"deployments/{served.deployment.uuid}"))
            page.get_by_text("/v1/chat/completions").wait_for()
            assert window.violations() == []
            page.get_by_role("tab", name="OpenAI client").click()
            page.get_by_text("from openai import OpenAI").wait_for()
            page.get_by_role("tab", name="Log").click()
            page.get_by_role("log").wait_for()


TOKENS = re.compile(r"\b[1-8] tokens?\b")
"""A pattern for the length of an answer: up to eight tokens, because it may end earlier."""
ATTEMPTS = 10


class TestPlayground:
    def ask(self, page: "Page", text: str) -> None:
        page.get_by_role("textbox", name="Question").first.fill(text)
        page.get_by_role("button", name="Send").click()

    def test_answers_stream_and_are_kept_over_a_reload(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto(served.path("playground"))
            page.get_by_role("button", name="System prompt and parameters of faq").click()
            page.get_by_label("Longest answer").fill("8")
            page.get_by_label("System prompt", exact=True).fill("Be brief.")
            page.keyboard.press("Escape")
            self.ask(page, "Who are you?")
            answer = page.get_by_role("article", name="Answer of faq")
            answer.get_by_text(TOKENS).wait_for(timeout=60_000)
            answer.get_by_text("first after").wait_for()
            assert window.violations() == []
            page.wait_for_timeout(600)
            page.reload()
            answer.get_by_text(TOKENS).wait_for()
            answer.get_by_role("button", name="Answer again").click()
            answer.get_by_text(TOKENS).wait_for(timeout=60_000)
            page.get_by_role("button", name="Edit and ask again").click()
            page.get_by_role("textbox", name="Question").first.fill("Where are you?")
            page.get_by_role("button", name="Ask again").click()
            page.get_by_text("Where are you?").wait_for()
            assert page.get_by_text("Who are you?").count() == 0

    def test_stop_ends_an_answer(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        from playwright.sync_api import TimeoutError as TooLate

        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(served.path("playground"))
            page.get_by_role("button", name="System prompt and parameters of faq").click()
            page.get_by_label("Longest answer").fill("450")
            page.keyboard.press("Escape")
            stopped = page.get_by_role("article", name="Answer of faq").last.get_by_text("stopped")
            for _ in range(ATTEMPTS):
                self.ask(page, "Tell me everything.")
                # The tiny model may end its answer before the click arrives.
                with suppress(TooLate):
                    page.get_by_role("button", name="Stop", exact=True).click(timeout=3000)
                page.get_by_role("button", name="Send").wait_for()
                if stopped.is_visible():
                    return
            pytest.fail(f"none of {ATTEMPTS} answers was stopped")

    def test_error_is_shown_in_place_with_retry(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        fault = {"error": {"message": "The model rests.", "type": "server_error", "code": "rest"}}
        with open_window(state=admin_state) as window:
            page = window.page
            page.route(
                "**/v1/chat/completions",
                lambda route: route.fulfill(
                    status=503, body=json.dumps(fault), content_type="application/json"
                ),
            )
            page.goto(served.path("playground"))
            self.ask(page, "Hello")
            answer = page.get_by_role("article", name="Answer of faq")
            answer.get_by_text("The model rests.").wait_for()
            page.unroute("**/v1/chat/completions")
            answer.get_by_role("button", name="Try again").click()
            # The tiny model may end its answer after one token, which has no speed.
            answer.get_by_text(re.compile(r"\d+ tokens?\b")).wait_for(timeout=60_000)
            window.faults.clear()  # the browser reports the refused request

    def test_answer_becomes_a_row_of_a_dataset(
        self, open_window: Window, admin_state: Any, served: Served
    ) -> None:
        name = f"kept{number()}"
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(served.path("playground"))
            page.get_by_role("button", name="System prompt and parameters of faq").click()
            page.get_by_label("Longest answer").fill("8")
            page.keyboard.press("Escape")
            self.ask(page, "What is 2 + 2?")
            answer = page.get_by_role("article", name="Answer of faq")
            answer.get_by_text(TOKENS).wait_for(timeout=60_000)
            for version in (1, 2):
                answer.get_by_role("button", name="Save as a dataset row").click()
                dialog = page.get_by_role("dialog", name="Save as a dataset row")
                dialog.get_by_label("Answer", exact=True).fill(f"Four, {version}.")
                if version == 1:
                    dialog.get_by_role("combobox", name="Dataset", exact=True).click()
                    page.get_by_role("option", name="New dataset").click()
                    dialog.get_by_label("Name of the new dataset").fill(name)
                dialog.get_by_role("button", name="Save the row").click()
                page.get_by_role("button", name="Back to the chat").click(timeout=60_000)
            answer.get_by_role("button", name="Save as a dataset row").click()
            dialog.get_by_role("combobox", name="Dataset", exact=True).click()
            page.get_by_role("option", name="New dataset").click()
            dialog.get_by_label("Name of the new dataset").fill(f"{name}-rated")
            dialog.get_by_role("combobox", name="Rows of the new dataset").click()
            page.get_by_role("option", name="Answers labelled good or bad").click()
            dialog.get_by_label("Answer", exact=True).fill("Five.")
            dialog.get_by_role("radio", name="Bad").check()
            dialog.get_by_role("button", name="Save the row").click()
            page.get_by_role("button", name="Back to the chat").click(timeout=60_000)
        rated = {"prompt": "What is 2 + 2?", "completion": "Five.", "label": False}
        assert list(served.client.datasets.get(f"{name}-rated").rows()) == [rated]
        dataset = served.client.datasets.get(name)
        rows = [row["messages"][-1] for row in dataset.rows()]
        assert rows == [
            {"role": "assistant", "content": "Four, 1."},
            {"role": "assistant", "content": "Four, 2."},
        ]
