"""Tests that lists and records fit into a terminal of 80 columns, in both languages.

Each command runs against a real platform and prints to a simulated terminal. No line may be wider
than the terminal, and no uuid may be split across two lines, because it could not be copied.
"""

import io
import re
from unittest.mock import patch

import pytest
from rich.cells import cell_len
from typer import rich_utils

from aiplatform.cli.localisation import FIXED
from tests.e2e.conftest import PASSWORD
from tests.surface.live_platform import PROJECT, LivePlatform, run_here
from tests.surface.recorder import commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
COLUMNS = 80
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
BROKEN_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){1,3}(-[0-9a-f]{0,11})?(?![0-9a-f-])")


class Terminal(io.StringIO):
    """A text buffer that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def shown(live: LivePlatform, *words: str, language: str = "en", token: str | None = None) -> str:
    """Run a command in a terminal of 80 columns; return its output without colours."""
    environment = {
        **live.environment(token),
        "COLUMNS": str(COLUMNS),
        "TERM": "xterm-256color",
        "AIPLATFORM_LANG": language,
    }
    # A command in Chinese translates Typer's texts for the whole process; restore them afterwards.
    words_of_typer = {name: getattr(rich_utils, name) for name in (*FIXED, "_make_rich_text")}
    with patch.multiple(rich_utils, **words_of_typer):
        return COLOURS.sub("", run_here(words, environment, Terminal(), Terminal()))


LONG = "a name that somebody found important enough to spell out in full, with an 说明 too"
LONG_MODEL = "a-model-whose-name-somebody-found-important-enough-to-spell-out-说明"

CASES: dict[str, list[str]] = {
    "account sessions": [],
    "audit ls": [],
    "bin ls": [],
    "datasets columns": ["{dataset}"],
    "datasets diff": ["{dataset}@v1", "v2"],
    "datasets gate": [],
    "datasets log": ["{dataset}"],
    "datasets ls": [],
    "datasets report": ["{dataset}"],
    "datasets rows": ["{dataset}"],
    "datasets show": ["{dataset}"],
    "datasets storage": ["{dataset}"],
    "datasets uploads ls": [],
    "datasets versions": ["{dataset}"],
    "deploy ls": [],
    "deploy show": ["{deployment}"],
    "experiments compare": ["{experiment}"],
    "experiments compare-metrics": ["{experiment}"],
    "experiments ls": [],
    "experiments runs": ["{experiment}"],
    "experiments show": ["{experiment}"],
    "invitations ls": [],
    "keys ls": [],
    "licences": [],
    "models alias history": ["{alias}"],
    "models alias ls": [],
    "models files": ["{model}"],
    "models ls": [],
    "models show": ["{model}"],
    "notifications ls": [],
    "notifications preferences": [],
    "projects access": ["{project}", "admin"],
    "projects invitations": ["{project}"],
    "projects ls": [],
    "projects members": ["{project}"],
    "projects retention": ["{project}"],
    "projects show": ["{project}"],
    "projects usage": ["{project}"],
    "roles ls": [],
    "roles permissions": [],
    "roles show": ["admin"],
    "runs compare": ["{training}", "{external}"],
    "runs ls": [],
    "runs show": ["{training}"],
    "runs unsent": [],
    "schedules firings": ["{schedule}"],
    "schedules ls": [],
    "schedules show": ["{schedule}"],
    "scripts bundles": [],
    "secrets ls": [],
    "sweep ls": [],
    "sweep show": ["{sweep}"],
    "tasks artifacts": ["{script}"],
    "tasks compare": ["{training}", "{external}"],
    "tasks ls": [],
    "tasks metrics": ["{training}"],
    "tasks show": ["{training}"],
    "tasks telemetry": ["{training}"],
    "tasks timeline": ["{training}"],
    "users ls": [],
    "users show": ["admin"],
    "views ls": [],
    "webhooks deliveries": ["{webhook}"],
    "webhooks ls": [],
    "webhooks show": ["{webhook}"],
    "whoami": [],
    "workers ls": [],
    "workers show": ["{worker}"],
}
"""Commands that show something, with their arguments; ``{key}`` is replaced by ``names[key]``."""

ROWS = {"datasets diff", "datasets rows"}
"""Commands that print each row of data on one line, however long it is."""

SHOWING = {"ls", "show", "versions", "members", "sessions", "access", "usage", "log", "compare"}
"""Last words of commands that show something; each such command must be in :data:`CASES`."""


@pytest.fixture(scope="module")
def names(unrecorded_platform: LivePlatform) -> dict[str, str]:
    """Create objects on this module's platform; return their names or uuids by kind."""
    return fill(unrecorded_platform)


def fill(live: LivePlatform) -> dict[str, str]:
    """Create objects of all kinds with long names; return their names or uuids by kind."""
    client = live.client
    dataset = client.datasets.upload(LONG, live.rows(4)).wait_ready(300)
    client.datasets.append(dataset, live.rows(1))
    dataset.refresh().wait_ready(300)
    client.datasets.tag(dataset, "production-of-the-first-quarter", "v1")
    client.datasets.set_gate({"min_score": 50})
    experiment = client.experiments.create(
        LONG, base_model=live.model, dataset=dataset, output_name=LONG_MODEL, max_steps=2,
        batch_size=2, max_length=64, checkpoint_steps=2, lora={"rank": 4},
    )  # fmt: skip
    training = experiment.run(name=LONG).wait(500)
    assert training.model is not None
    sweep = client.sweeps.create(
        LONG, experiment, {"seed": [1, 2]}, max_trials=2, objective="loss"
    ).wait(500)
    client.models.set_alias(training.model, "production-of-the-first-quarter", reason=LONG)
    deployment = client.deployments.create(LONG_MODEL[:60], training.model)
    bundle = client.scripts.bundle(live.file("main.py", "print(1)").parent, name=LONG_MODEL[:90])
    write = 'echo a > "$AIPLATFORM_OUTPUT/a.txt"'
    script = client.scripts.run(["sh", "-c", write], bundle=bundle, name=LONG_MODEL).wait(300)
    schedule = client.schedules.create(LONG_MODEL[:60], "0 0 1 1 *", experiment=experiment)
    webhook = client.webhooks.create(LONG[:60], "https://hooks.example.com/" + "a/" * 40)
    client.secrets.set("a-secret-with-a-name-of-some-length", "value", project=PROJECT)
    client.keys.create(LONG[:60], scopes=["datasets:read", "models:read"], project=PROJECT)
    client.projects.create(LONG, description=LONG)
    client.views.create(LONG[:60], "tasks", {"status": "failed"}, project=PROJECT)
    client.datasets.delete(client.datasets.upload("deleted", live.rows(1)).wait_ready(300))
    name, _ = live.person()
    client.users.create(
        "somebody_with_a_long_name", f"{'a' * 40}@example.com", PASSWORD, role="user"
    )
    client.invitations.create(f"{'b' * 40}@example.com")
    client.projects.set_member(PROJECT, name, "viewer")
    worker = client.workers.list().first()
    assert worker is not None
    return {
        "alias": f"{LONG_MODEL}@production-of-the-first-quarter",
        "dataset": dataset.name,
        "deployment": deployment.name,
        "experiment": str(experiment.uuid),
        "external": str(live.endless.uuid),
        "model": str(training.model),
        "project": PROJECT,
        "schedule": schedule.name,
        "script": str(script.uuid),
        "sweep": str(sweep.uuid),
        "training": str(training.uuid),
        "webhook": str(webhook.uuid),
        "worker": worker.name,
    }


def test_cases_contain_every_command_that_shows_something() -> None:
    assert {name for name in commands() if name.split()[-1] in SHOWING} <= set(CASES)
    assert set(CASES) <= commands()


def wide_lines(text: str) -> list[str]:
    """Return the lines that a terminal of 80 columns would wrap."""
    return [line for line in text.splitlines() if cell_len(line) > COLUMNS]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("command", sorted(CASES))
def test_command_fits_into_80_columns(
    command: str, language: str, unrecorded_platform: LivePlatform, names: dict[str, str]
) -> None:
    words = [word.format(**names) for word in CASES[command]]
    text = shown(unrecorded_platform, *command.split(), *words, language=language)
    if command not in ROWS:
        assert wide_lines(text) == []
    assert [found.group() for found in BROKEN_UUID.finditer(text)] == []
