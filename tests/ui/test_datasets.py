"""Tests of the dataset pages: uploads, rows, versions, reports and fixes."""

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.factories import number
from tests.ui.conftest import Window

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

Upload = Callable[..., str]
REPORT_MS = 120_000
PIECE = 8 << 20


def lines(rows: list[dict[str, Any]]) -> bytes:
    """Return rows as JSON Lines."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture(scope="module")
def project(api: httpx.Client) -> str:
    """Create a project and return its uuid."""
    uuid: str = api.post("projects", json={"name": f"data{number()}"}).json()["uuid"]
    return uuid


@pytest.fixture(scope="module")
def upload(api: httpx.Client, project: str) -> Upload:
    """Return a function that uploads rows as a new dataset and returns its uuid."""

    def upload(rows: list[dict[str, Any]]) -> str:
        params = {"name": f"rows{number()}", "filename": "rows.jsonl"}
        answer = api.post(f"projects/{project}/datasets", params=params, content=lines(rows))
        assert answer.status_code == 201, answer.text
        uuid: str = answer.json()["uuid"]
        return uuid

    return upload


def wait_for_report(api: httpx.Client, dataset: str) -> None:
    """Wait until the current version of a dataset has its quality report."""
    end = time.monotonic() + REPORT_MS / 1000
    while api.get(f"datasets/{dataset}").json()["status"] != "ready":
        assert time.monotonic() < end
        time.sleep(0.5)


def grid(page: "Page") -> Any:
    """Return the table that shows the rows of a dataset."""
    return page.get_by_role("table", name="Rows")


class TestUpload:
    def test_file_becomes_a_dataset_with_mapped_columns(
        self, open_window: Window, admin_state: Any, project: str, tmp_path: Path
    ) -> None:
        name = f"frage{number()}"
        file = tmp_path / f"{name}.csv"
        file.write_text("frage,antwort,zip\nWie?,So.,007\nWann?,Jetzt.,012\n", "utf-8")
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/new")
            page.set_input_files("main input[type=file]", file)
            page.get_by_text("The columns make a plain table").wait_for()
            for column, meaning in (("frage", "prompt"), ("antwort", "completion")):
                page.get_by_label(f"What {column} is").first.click()
                page.get_by_role("option", name=meaning, exact=True).click()
            page.get_by_text("read as: Prompts and answers").wait_for()
            page.get_by_role("button", name="Upload the dataset").click()
            page.get_by_role("link", name="Open v1").click()
            page.get_by_role("heading", name=name).wait_for()
            row = grid(page).get_by_role("row").filter(has_text="Wie?")
            row.wait_for()
            assert "007" in row.inner_text()

    def test_cut_connection_does_not_end_an_upload(
        self, open_window: Window, admin_state: Any, project: str, tmp_path: Path
    ) -> None:
        file = tmp_path / f"cut{number()}.jsonl"
        file.write_bytes(lines([{"text": f"{n} " + "x" * 1000} for n in range(20_000)]))
        assert file.stat().st_size > 2 * PIECE
        cut = {"pieces": 0}

        def break_second_piece(route: "Route") -> None:
            if route.request.method == "PATCH":
                cut["pieces"] += 1
                if cut["pieces"] in {2, 3}:
                    route.abort("connectionreset")
                    return
            route.continue_()

        with open_window(state=admin_state) as window:
            page = window.page
            page.route("**/api/v1/uploads/*", break_second_piece)
            page.goto(f"/p/{project}/datasets/new")
            page.set_input_files("main input[type=file]", file)
            page.get_by_role("button", name="Upload the dataset").click()
            page.get_by_role("link", name="Open v1").wait_for(timeout=60_000)
            assert cut["pieces"] >= 4
            window.faults.clear()  # the browser reports the broken requests

    def test_upload_is_continued_after_a_reload(
        self,
        open_window: Window,
        admin_state: Any,
        api: httpx.Client,
        project: str,
        tmp_path: Path,
    ) -> None:
        name = f"reload{number()}"
        content = lines([{"text": f"row {n}"} for n in range(1000)])
        file = tmp_path / f"{name}.jsonl"
        file.write_bytes(content)
        metadata = {"name": name, "filename": file.name}
        begun = api.post(
            f"projects/{project}/uploads",
            content=content[:4000],
            headers={
                "Tus-Resumable": "1.0.0",
                "Content-Type": "application/offset+octet-stream",
                "Upload-Length": str(len(content)),
                "Upload-Metadata": ",".join(
                    f"{key} {base64.b64encode(value.encode()).decode()}"
                    for key, value in metadata.items()
                ),
            },
        )
        assert begun.headers["Upload-Offset"] == "4000"
        other = tmp_path / "other.jsonl"
        other.write_bytes(content[:100])
        sent: list[int] = []
        with open_window(state=admin_state) as window:
            page = window.page
            page.on(
                "request",
                lambda request: (
                    sent.append(int(request.headers["upload-offset"]))
                    if request.method == "PATCH"
                    else None
                ),
            )
            page.goto(f"/p/{project}/datasets")
            waiting = page.locator("[data-status=stored]", has_text=name)
            waiting.get_by_text(f"Choose {file.name} again").wait_for()
            waiting.locator("input[type=file]").set_input_files(other)
            waiting.get_by_text("is another file").wait_for()
            waiting.locator("input[type=file]").set_input_files(file)
            page.get_by_role("link", name="Open v1").click()
            page.get_by_role("heading", name=name).wait_for()
            assert sent == [4000]

    def test_import_shows_the_command_and_what_is_missing(
        self, open_window: Window, admin_state: Any, project: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/new?source=hub")
            page.get_by_role("button", name="Start the import").click()
            page.get_by_text("A repository is the owner").wait_for()
            page.get_by_label("Repository").fill("someone/faq")
            page.get_by_label("Split of the data").fill("train")
            page.get_by_label("Name of the dataset").fill("faq")
            page.get_by_text("aiplatform datasets import hub:someone/faq").wait_for()
            # Typed text survives a reload.
            page.reload()
            page.get_by_text("--split train").wait_for()


class TestRows:
    def test_any_row_of_a_long_version_is_reached_at_once(
        self, open_window: Window, admin_state: Any, project: str, upload: Upload
    ) -> None:
        dataset = upload([{"id": n, "text": f"row number {n}"} for n in range(300_000)])
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}")
            grid(page).get_by_text("row number 0", exact=True).wait_for()
            page.get_by_label("Go to row").fill("150000")
            page.get_by_label("Go to row").press("Enter")
            grid(page).get_by_text("row number 150000", exact=True).wait_for()
            page.get_by_role("complementary", name="Row 150,000").wait_for()
            assert "row=150000" in page.url
            page.keyboard.press("Escape")
            box = page.get_by_role("region", name="Rows")
            box.evaluate("element => { element.scrollTop = element.scrollHeight }")
            grid(page).get_by_text("row number 299999", exact=True).wait_for()
            # Only visible rows are in the page.
            assert grid(page).get_by_role("row").count() < 100

    def test_rows_are_found_by_text_and_by_filter(
        self, open_window: Window, admin_state: Any, project: str, upload: Upload
    ) -> None:
        dataset = upload([{"score": n / 10, "text": f"word{n}"} for n in range(10)])
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}")
            page.get_by_label("Text in any column").fill("WORD7")
            page.wait_for_url(re.compile("q=WORD7"))
            grid(page).get_by_text("word7").wait_for()
            assert grid(page).get_by_role("row").count() == 2
            page.get_by_label("Text in any column").fill("")
            page.wait_for_url(lambda url: "q=" not in url)
            filter_field = page.get_by_label("Filter")
            filter_field.click()
            filter_field.press_sequentially("sc")
            page.get_by_role("option", name="score").click()
            filter_field.press_sequentially("> 0.75")
            filter_field.press("Enter")
            page.wait_for_url(re.compile("where="))
            grid(page).get_by_text("word9").wait_for()
            assert grid(page).get_by_role("row").count() == 3
            page.get_by_role("button", name="Keep only the rows found").click()
            page.get_by_text("v2 has 2 rows").wait_for()

    def test_preference_pairs_are_read_side_by_side(
        self, open_window: Window, admin_state: Any, project: str, upload: Upload
    ) -> None:
        rows = [{"prompt": "Colour?", "chosen": "It is blue.", "rejected": "It is red."}]
        dataset = upload(rows)
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}?view=read")
            chosen = page.get_by_role("region", name="Chosen")
            chosen.wait_for()
            assert chosen.locator("ins").inner_text() == "blue"
            rejected = page.get_by_role("region", name="Rejected")
            assert rejected.locator("del").inner_text() == "red"

    def test_long_texts_are_folded_and_conversations_have_turns(
        self, open_window: Window, admin_state: Any, project: str, upload: Upload
    ) -> None:
        answer = "\n".join(f"line {n}" for n in range(40))
        messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]
        dataset = upload([{"messages": messages}])
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}?row=0")
            pane = page.get_by_role("complementary", name="Row 0")
            pane.get_by_text("Assistant", exact=True).wait_for()
            pane.get_by_role("button", name="Show all").click()
            pane.get_by_role("button", name="Show less").wait_for()

    def test_row_is_corrected_by_hand(
        self,
        open_window: Window,
        admin_state: Any,
        api: httpx.Client,
        project: str,
        upload: Upload,
    ) -> None:
        dataset = upload([{"text": "a cat"}, {"text": "a dog"}])
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}?row=0")
            page.get_by_role("button", name="Edit the row").click()
            page.locator("aside textarea").first.fill("the cat")
            page.get_by_role("button", name="Save as a new version").click()
            page.get_by_text("Saved as v2.").wait_for()
        rows = api.get(f"datasets/{dataset}/versions/v2/rows").json()["items"]
        assert rows == [{"text": "the cat"}, {"text": "a dog"}]


class TestVersions:
    def test_versions_are_compared_cell_by_cell_and_tagged(
        self,
        open_window: Window,
        admin_state: Any,
        api: httpx.Client,
        project: str,
        upload: Upload,
    ) -> None:
        dataset = upload([{"id": n, "text": f"the red house {n}"} for n in range(5)])
        change = {"set": [{"row": 2, "values": {"text": "the blue house 2"}}], "delete": [4]}
        assert api.post(f"datasets/{dataset}/patch", json=change).status_code == 201
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}?tab=versions")
            page.get_by_role("button", name="What to do with v2").click()
            page.get_by_role("menuitem", name="Set a tag").click()
            page.get_by_role("textbox", name="Tag").fill("prod")
            page.get_by_role("button", name="Set the tag").click()
            page.get_by_role("button", name="Tag prod").wait_for()
            page.get_by_role("button", name="What to do with v2").click()
            page.get_by_role("menuitem", name="Compare with v1").click()
            page.get_by_label("Pair rows by").first.click()
            page.get_by_role("option", name="Pair rows by id").click()
            changed = page.get_by_role("region", name="Changed Row 2")
            changed.wait_for()
            assert changed.locator("del").inner_text() == "red"
            assert changed.locator("ins").inner_text() == "blue"
            page.get_by_role("region", name="Removed Row 4").wait_for()
            # The address opens the same comparison for other users.
            page.reload()
            page.get_by_role("region", name="Changed Row 2").wait_for()


class TestReport:
    @pytest.fixture(scope="class")
    def dataset(self, api: httpx.Client, upload: Upload) -> str:
        """Upload rows with personal data and duplicates, and wait for their report."""
        rows = [{"text": f"write to ann{n}@nordwind.de about it"} for n in range(4)]
        rows += [{"text": "the same words again"}] * 3
        rows += [{"text": f"an ordinary sentence with the number {n}"} for n in range(20)]
        uuid = upload(rows)
        wait_for_report(api, uuid)
        return uuid

    def test_finding_leads_to_its_rows_and_marks_them(
        self, open_window: Window, admin_state: Any, project: str, dataset: str
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}?tab=report")
            finding = page.get_by_role("listitem").filter(has_text="personal_email")
            finding.get_by_role("button", name="Examples").click()
            finding.get_by_role("button", name=re.compile("^Row ")).first.wait_for()
            finding.get_by_role("button", name="All its rows").click()
            page.wait_for_url(re.compile("finding=personal_email"))
            grid(page).get_by_text("ann0@nordwind.de").click()
            mark = page.get_by_role("complementary").locator("mark")
            assert mark.first.inner_text() == "ann0@nordwind.de"

    def test_fix_is_previewed_and_applied(
        self,
        open_window: Window,
        admin_state: Any,
        api: httpx.Client,
        project: str,
        dataset: str,
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}?tab=report")
            finding = page.get_by_role("listitem").filter(has_text="personal_email")
            finding.get_by_role("combobox").click()
            page.get_by_role("option", name="Mask personal data").click()
            page.get_by_role("button", name="Preview the changes").click()
            dialog = page.get_by_role("dialog")
            dialog.locator("ins", has_text="EMAIL").first.wait_for()
            assert api.get(f"datasets/{dataset}").json()["version"] == "v1"
            dialog.get_by_role("button", name="Apply the fix").click()
            page.wait_for_url("**/tasks/**")
            page.locator("[data-status=completed]").first.wait_for(timeout=REPORT_MS)
        wait_for_report(api, dataset)
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(f"/p/{project}/datasets/{dataset}?tab=report&since=v1")
            page.get_by_role("row").filter(has_text="gone").first.wait_for()
