"""Tests of experiments, training, sweeps, evaluations and schedules in a browser."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aiplatform import Client
from aiplatform.client.datasets import Dataset
from aiplatform.client.experiments import Experiment
from aiplatform.client.models import Model
from tests.e2e.conftest import PASSWORD, Platform, chats
from tests.factories import number
from tests.tiny_model import make_tiny_model
from tests.ui.conftest import Window, signed_in_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page


@dataclass
class Lab:
    """A project with a dataset, a base model, and two experiments with one run each."""

    client: Client
    project: str
    dataset: Dataset
    model: Model
    experiment: Experiment
    runs: list[str]

    def path(self, rest: str) -> str:
        return f"/p/{self.project}/{rest}"


@pytest.fixture(scope="session")
def lab(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with platform.client() as client:
        project = client.projects.create(f"lab{number()}")
        client.project = project
        weights = make_tiny_model(tmp_path_factory.mktemp("ui-lab")) / "weights"
        model = client.models.import_path(weights, name="small").wait_ready(120)
        dataset = client.datasets.upload("questions", chats(4)).wait_ready(120)
        experiment = client.experiments.create(
            "faq", base_model=model, dataset=dataset, max_steps=3, output_name="faq"
        )
        other = experiment.clone("faq-rank-8", changes={"lora.rank": 8})
        runs = [experiment.run().wait(300), other.run().wait(300)]
        yield Lab(
            client,
            str(project.uuid),
            dataset,
            model,
            experiment,
            [str(run.uuid) for run in runs],
        )


def main_heading(page: "Page", name: str | re.Pattern[str]) -> None:
    page.get_by_role("main").get_by_role("heading", level=1, name=name).wait_for()


class TestExperimentList:
    def test_filter_is_completed_and_kept_in_the_address(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path("experiments?view=runs"))
            page.get_by_role("link", name=re.compile("^faq #1")).wait_for()
            box = page.get_by_role("textbox", name="Filter")
            box.fill("metrics.lo")
            page.get_by_role("option", name="metrics.loss").click()
            assert box.input_value() == "metrics.loss "
            box.fill("config.lora.rank = 8")
            box.press("Enter")
            page.get_by_role("link", name=re.compile("^faq-rank-8 #1")).wait_for()
            page.get_by_role("link", name=re.compile("^faq #1")).wait_for(state="detached")
            page.reload()
            assert box.input_value() == "config.lora.rank = 8"

    def test_wrong_filter_shows_the_reason_of_the_api(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path("experiments"))
            box = page.get_by_role("textbox", name="Filter")
            box.fill("colour = 3")
            box.press("Enter")
            page.get_by_text("there is no field").wait_for()
            window.faults.clear()

    def test_header_sorts_by_a_metric(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path("experiments"))
            page.get_by_role("button", name="train_loss_last").click()
            page.wait_for_url("**sort=-metrics.train_loss_last**")
            page.get_by_role("columnheader", name="train_loss_last").wait_for()

    def test_archived_experiments_leave_the_list_and_come_back(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        name = f"old{number()}"
        lab.experiment.clone(name)
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path("experiments"))
            row = page.get_by_role("row").filter(has_text=name)
            row.get_by_role("checkbox").check()
            page.get_by_role("button", name="Archive").click()
            row.wait_for(state="detached")
            page.get_by_role("switch", name="Archive").check(force=True)
            row.wait_for()


class TestTrainingForm:
    def test_four_steps_start_a_training(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        name = f"form{number()}"
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path("experiments/new"))
            main_heading(page, "New training")
            page.get_by_text("Choose the dataset to train on.").wait_for()
            page.get_by_role("combobox", name="Training data").click()
            page.get_by_role("option", name=re.compile("questions")).click()
            page.get_by_role("button", name="Continue").click()
            page.get_by_role("combobox", name="Base model").click()
            page.get_by_role("option", name=re.compile("small")).click()
            page.get_by_label("Name of the experiment").fill(name)
            page.get_by_role("button", name="Continue").click()
            page.get_by_role("radio", name="Quick trial").check()
            page.get_by_text("Choose the dataset to train on.").wait_for(state="detached")
            page.get_by_role("tab", name="CLI").click()
            shown = page.get_by_label("Command line").inner_text()
            assert "--max-steps 20" in shown
            assert f"--name {name}" in shown
            page.reload()
            assert page.get_by_role("radio", name="Quick trial").is_checked()
            page.get_by_role("button", name="Continue").click()
            page.get_by_role("button", name="Estimate").click()
            estimate = page.get_by_label("Estimate", exact=True)
            estimate.get_by_text("The first rows as the model reads them").wait_for(timeout=60_000)
            assert "The time follows from 2 earlier trainings" in estimate.inner_text()
            assert estimate.locator("mark").first.inner_text().endswith("<|im_end|>")
            page.get_by_role("button", name="Start training").click()
            page.wait_for_url("**/tasks/**")
            main_heading(page, re.compile(name))
            page.get_by_text("Estimated memory").wait_for()
            page.get_by_text("Real peak memory").wait_for()
        made = lab.client.experiments.get(name)
        assert made.config["max_steps"] == 20
        assert made.config["lora"]["rank"] == 8

    def test_method_on_pairs_is_chosen_with_its_own_settings_and_trains(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        name = f"pairs{number()}"
        rows = [
            {"prompt": f"What is {i}?", "chosen": f"It is {i}.", "rejected": "No."}
            for i in range(8)
        ]
        pairs = lab.client.datasets.upload(name, rows).wait_ready(120)
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path(f"experiments/new?dataset={pairs.uuid}&model={lab.model.uuid}"))
            page.get_by_role("button", name="Continue").click()
            page.get_by_label("Name of the experiment").fill(name)
            page.get_by_role("button", name="Continue").click()
            page.get_by_role("radio", name="Supervised fine-tuning (SFT)").wait_for()
            page.get_by_role("radio", name="Labelled answers (KTO)").check()
            page.get_by_label("Weight of bad answers").wait_for()
            page.get_by_role("radio", name="Preferences (DPO)").check()
            page.get_by_role("radio", name="Quick trial").check()
            page.get_by_label("Beta").fill("0.3")
            page.get_by_role("tab", name="CLI").click()
            assert "--method dpo" in page.get_by_label("Command line").inner_text()
            page.get_by_role("button", name="Continue").click()
            page.get_by_role("button", name="Start training").click()
            page.wait_for_url("**/tasks/**")
            main_heading(page, re.compile(name))
        made = lab.client.experiments.get(name)
        assert (made.task_type, made.config["method"], made.config["beta"]) == ("dpo", "dpo", 0.3)
        [task] = made.runs()
        result = task.wait(300).result or {}
        assert result["steps"] == 20
        assert "reward_margin" in lab.client.tasks.metrics(task)

    def test_rewards_are_listed_with_their_settings(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto(lab.path("experiments/new?step=method"))
            page.get_by_role("radio", name="Rewards (GRPO)").check()
            page.get_by_role("button", name="Add a reward").click()
            page.get_by_role("combobox", name="The answer").last.click()
            page.get_by_role("option", name="Matches a pattern (regex)").click()
            page.get_by_text("Fill in this reward.").wait_for()
            page.get_by_label("Regular expression").fill("^[a-z ]+$")
            page.get_by_text("Fill in this reward.").wait_for(state="detached")
            page.get_by_label("Weight", exact=True).last.fill("0.5")
            page.get_by_label("Answers to each question").fill("3")
            page.get_by_text("is not a multiple of the 3 answers").wait_for()
            page.get_by_label("Answers to each question").fill("4")
            page.get_by_text("is not a multiple of").wait_for(state="detached")
            page.get_by_role("tab", name="CLI").click()
            shown = page.get_by_label("Command line").inner_text()
            assert "--reward exact" in shown
            assert "--reward 'regex weight=0.5 pattern=\"^[a-z ]+$\"'" in shown
            assert "--set num_generations=4" in shown
            window.settle()
            assert window.violations() == []
            page.get_by_role("button", name="Remove reward 2").click()
            page.get_by_text("regex weight").wait_for(state="detached")

    def test_settings_of_another_experiment_are_taken_over(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path(f"experiments/new?from={lab.experiment.uuid}&step=method"))
            page.get_by_role("radio", name="My own settings").wait_for()
            assert page.get_by_label("Steps", exact=True).input_value() == "3"


class TestExperimentPage:
    def test_note_and_tags_are_kept(self, open_window: Window, admin_state: Any, lab: Lab) -> None:
        experiment = lab.experiment.clone(f"noted{number()}")
        with open_window(state=admin_state) as window:
            page = window.page
            page.goto(lab.path(f"experiments/{experiment.uuid}?tab=note"))
            page.get_by_role("button", name="Edit the note").click()
            page.get_by_role("textbox", name="Note").fill("A **bold** claim")
            page.get_by_role("button", name="Save").click()
            page.locator("strong", has_text="bold").wait_for()
            box = page.get_by_role("combobox", name="Tags")
            box.fill("prod")
            box.press("Enter")
            page.get_by_text("prod").wait_for()
            window.settle()
        found = lab.client.experiments.get(experiment.uuid)
        assert (found.note, found.tags) == ("A **bold** claim", ["prod"])

    @pytest.mark.parametrize("tab", ["runs", "curves", "config", "note"])
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_tabs_are_sound(
        self, open_window: Window, admin_state: Any, lab: Lab, theme: str, tab: str
    ) -> None:
        with open_window(state=admin_state, theme=theme, for_axe=True) as window:
            window.page.goto(lab.path(f"experiments/{lab.experiment.uuid}?tab={tab}"))
            window.page.get_by_role("tabpanel").wait_for()
            window.settle()
            assert window.violations() == []

    def test_viewer_sees_no_action(
        self,
        open_window: Window,
        platform: Platform,
        lab: Lab,
        make_user: "Callable[..., str]",
    ) -> None:
        name = make_user()
        lab.client.projects.set_member(lab.project, name, "viewer")
        state = signed_in_state(platform, name, PASSWORD)
        with open_window(state=state) as window:
            page = window.page
            page.goto(lab.path(f"experiments/{lab.experiment.uuid}"))
            main_heading(page, "faq")
            assert page.get_by_role("button", name="Start a run").count() == 0
            for rest in ("experiments", "evaluations", "schedules"):
                page.goto(lab.path(rest))
                page.get_by_role("main").get_by_role("heading", level=1).wait_for()
                window.settle()
                assert page.get_by_role("button", name=re.compile("^New")).count() == 0
                assert page.get_by_role("link", name=re.compile("^New")).count() == 0


class TestComparison:
    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_differences_come_first_and_curves_share_the_axis(
        self, open_window: Window, admin_state: Any, lab: Lab, theme: str
    ) -> None:
        with open_window(state=admin_state, theme=theme, for_axe=True) as window:
            page = window.page
            first, second = lab.runs
            page.goto(lab.path(f'experiments/compare?run=["{first}","{second}"]'))
            page.get_by_role("rowheader", name="lora.rank").wait_for()
            page.get_by_role("figure", name="loss", exact=True).wait_for()
            page.get_by_text("Tokens", exact=True).click()
            page.wait_for_url("**x=tokens**")
            page.get_by_role("figure", name="loss", exact=True).wait_for()
            assert window.violations() == []

    def test_zoomed_part_of_long_curves_is_drawn_in_full(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        tasks = []
        for name in ("one", "two"):
            with lab.client.run(name, project=lab.project) as run:
                for step in range(3000):
                    run.log({"loss": (step * 7919) % 101}, step=step)
            tasks.append(str(run.task))
        pages = [
            f"tasks/{tasks[0]}?tab=curves",
            f'experiments/compare?run=["{tasks[0]}","{tasks[1]}"]',
        ]
        with open_window(state=admin_state) as window:
            page = window.page
            for address in pages:
                page.goto(lab.path(address))
                chart = page.get_by_role("figure", name="loss", exact=True)
                assert len(self.drawn_steps(page, chart)) <= 500
                with page.expect_response(re.compile(r"[?&]first=\d+")) as detail:
                    self.zoom(page, chart)
                detail.value.finished()
                steps = self.drawn_steps(page, chart)
                whole = [step for step in steps if 1400 <= step <= 1500]
                assert whole == list(range(1400, 1501))
                assert steps[0] == 0
                assert steps[-1] == 2999

    def zoom(self, page: "Page", chart: "Locator") -> None:
        """Drag over the steps from about 1,350 to 1,650."""
        box = chart.locator(".u-over").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] * 0.45, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + 20, steps=5)
        page.mouse.up()

    def drawn_steps(self, page: "Page", chart: "Locator") -> list[int]:
        """Download a chart's data as CSV and return the steps in it."""
        chart.locator("canvas").wait_for()
        chart.get_by_role("button", name="Download").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name="CSV").click()
        lines = Path(download.value.path()).read_text("utf-8").splitlines()
        return [int(line.split(",")[0]) for line in lines[1:]]


class TestSweeps:
    def test_sweep_is_created_watched_and_registered(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        name = f"search{number()}"
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto(lab.path(f"sweeps/new?experiment={lab.experiment.uuid}"))
            page.get_by_label("Name of the sweep").fill(name)
            page.get_by_role("button", name="Remove learning_rate").click()
            page.get_by_label("Values, separated by commas").fill("2, 4")
            page.get_by_label("Trials, at most").fill("2")
            page.get_by_role("button", name="Start the sweep").click()
            main_heading(page, name)
            page.set_default_timeout(180_000)
            page.get_by_role("button", name="Register the best").click()
            page.get_by_label("Name", exact=True).fill(name)
            page.get_by_role("button", name="Register", exact=True).click()
            page.get_by_role("link", name=f"{name}@1").wait_for()
            page.get_by_role("button", name="Done").click()
            # A line of trials with equal values has no height, so Playwright counts it as hidden.
            page.get_by_role("button", name=re.compile("^Trial 1")).wait_for(state="attached")
            assert window.violations() == []


class TestEvaluations:
    def test_evaluation_compares_with_the_base_model(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto(lab.path("evaluations?create=true"))
            dialog = page.get_by_role("dialog")
            dialog.get_by_role("combobox", name="Model").click()
            page.get_by_role("option", name=re.compile("^faq@")).first.click()
            dialog.get_by_role("combobox", name="Held-out data").click()
            page.get_by_role("option", name=re.compile("questions")).click()
            dialog.get_by_label("Conditions").fill("loss>=0")
            dialog.get_by_role("button", name="Start the evaluation").click()
            page.wait_for_url("**/evaluations/*-*")
            page.set_default_timeout(120_000)
            page.get_by_role("columnheader", name="Tuned model").wait_for()
            page.get_by_text("loss >= 0").wait_for()
            page.get_by_text("Met", exact=True).wait_for()
            page.get_by_text("Expected").first.wait_for()
            assert window.violations() == []


class TestSchedules:
    def test_schedule_is_created_changed_and_deleted(
        self, open_window: Window, admin_state: Any, lab: Lab
    ) -> None:
        name = f"nightly{number()}"
        with open_window(state=admin_state, for_axe=True) as window:
            page = window.page
            page.goto(lab.path("schedules"))
            page.get_by_role("button", name="New schedule").first.click()
            dialog = page.get_by_role("dialog")
            dialog.get_by_label("Name").fill(name)
            dialog.get_by_role("combobox", name="Experiment").click()
            page.get_by_role("option", name="faq", exact=True).click()
            dialog.get_by_label("Time", exact=True).fill("02:30")
            dialog.get_by_role("button", name="Create the schedule").click()
            main_heading(page, name)
            page.get_by_role("heading", name="Next times").wait_for()
            assert window.violations() == []
            page.get_by_role("button", name="Change").click()
            page.get_by_role("dialog").get_by_label("Time", exact=True).fill("03:15")
            page.get_by_role("button", name="Save").click()
            page.get_by_text("every day at 03:15").wait_for()
            page.get_by_role("switch", name="Switched on").uncheck(force=True)
            page.get_by_text("Switched off").wait_for()
            found = next(item for item in lab.client.schedules.list() if item.name == name)
            assert (found.cron, found.enabled) == ("15 3 * * *", False)
            page.get_by_role("button", name="More actions").click()
            page.get_by_role("menuitem", name="Delete").click()
            page.get_by_role("dialog").get_by_role("textbox").fill(name)
            page.get_by_role("dialog").get_by_role("button", name="Delete").click()
            page.wait_for_url("**/schedules")
            page.get_by_role("link", name=name).wait_for(state="detached")
