"""Tests of the options ``--detach`` and ``--set`` of commands that queue a task."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import typer.main

from aiplatform.cli.main import app
from tests.cli.conftest import TASK, D, P, Ran, T
from tests.client.fake import FakeServer, answer
from tests.openapi_checks import Partial

Run = Callable[..., Ran]

FOLLOWED = frozenset(
    {
        "datasets append",
        "datasets check",
        "datasets filter",
        "datasets fix",
        "datasets import",
        "datasets map",
        "datasets patch",
        "datasets restore",
        "datasets split",
        "datasets upload",
        "deploy create",
        "deploy restart",
        "deploy start",
        "deploy update",
        "evaluate",
        "experiments run",
        "models import",
        "runs rerun",
        "scripts run",
        "sweep create",
        "train",
    }
)
"""Commands that queue a task and follow it."""

AT_ONCE = frozenset({"tasks submit", "tasks retry"})
"""Commands that queue one or more tasks and never follow them."""

OTHERS_WITH_DETACH = frozenset({"up", "deploy stop"})
"""Commands that wait for something other than a task, unless detached."""

OF_A_SPEC = frozenset(
    {
        "deploy create",
        "evaluate",
        "experiments clone",
        "experiments create",
        "schedules create",
        "scripts run",
        "sweep create",
        "tasks submit",
        "train",
    }
)
"""Commands that build a spec from their options."""

SETS_OTHER = frozenset({"datasets patch", "views save"})
"""Commands whose ``--set`` changes something other than a spec."""


def options() -> dict[str, set[str]]:
    """Return every command's options."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, set[str]]]:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from walk(inner, (*path, name))
            return
        names = (
            name for parameter in command.params for name in
            (*parameter.opts, *parameter.secondary_opts)
        )  # fmt: skip
        yield " ".join(path), set(names)

    return dict(walk(typer.main.get_command(app), ()))


def test_only_commands_that_follow_have_detach() -> None:
    found = {name for name, has in options().items() if "--detach" in has}
    assert found == FOLLOWED | OTHERS_WITH_DETACH
    assert options().keys() >= AT_ONCE


def test_commands_with_other_detach_options_also_have_detach() -> None:
    waits = {name for name, has in options().items() if has & {"--no-wait", "--no-follow"}}
    assert waits <= FOLLOWED | OTHERS_WITH_DETACH


def test_only_commands_that_make_a_spec_have_set() -> None:
    found = {name for name, has in options().items() if "--set" in has}
    assert found == OF_A_SPEC | SETS_OTHER


def test_check_with_detach_prints_how_to_watch(run: Run, world: FakeServer) -> None:
    world.on(f"POST datasets/{D}/versions/v1/quality", answer(TASK | {"status": "pending"}, 202))
    done = run("datasets", "check", "faq", "--detach")
    assert done.code == 0, done.err
    assert f"aiplatform tasks watch {T}" in done.err


def test_deploy_create_sets_fields_of_the_spec(run: Run, world: FakeServer) -> None:
    made = Partial({"uuid": D, "name": "base", "status": "starting"})
    world.on(f"POST projects/{P}/deployments", answer(made, 201))
    assigned = ("--set", "resources.gpus=1", "--set", "max_length=64")
    done = run("deploy", "create", "base", "--detach", *assigned)
    assert done.code == 0, done.err
    body = json.loads(world.bodies[-1])
    assert body["resources"] == {"gpus": 1}
    assert body["options"] == {"max_length": 64}


def test_deploy_create_with_unknown_field_is_refused(run: Run) -> None:
    done = run("deploy", "create", "base", "--set", "gpus=1")
    assert done.code == 2
    assert "gpus" in done.err
    assert "resources" in done.err
