"""Tests of ``aiplatform projects``, of lists, and of choosing the project."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from aiplatform.cli.main import app
from tests.cli.conftest import PROJECT, TASK, E, P, Run
from tests.client.fake import FakeServer, answer, page, problem


def test_ls_prints_a_table_or_a_json_array(run: Run, world: FakeServer) -> None:
    table = run("projects", "ls")
    assert "NAME" in table.out
    assert "demo" in table.out
    assert json.loads(run("projects", "ls", "--json").out) == [
        PROJECT | {"description": None, "owner": None, "config": {}, "tags": [],
         "updated_at": None}
    ]  # fmt: skip


def test_ls_without_projects_prints_a_hint(run: Run, server: FakeServer) -> None:
    server.on("GET projects", page())
    ran = run("projects", "ls")
    assert (ran.out, "aiplatform projects create" in ran.err) == ("", True)
    assert json.loads(run("projects", "ls", "--json").out) == []


def test_project_is_taken_from_option_or_environment(
    run: Run, world: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PROJECT | {"uuid": E, "name": "other"}
    world.on("GET projects", page(PROJECT, other)).on(f"GET projects/{E}/tasks", page(TASK))
    ran = run("tasks", "ls")
    assert ran.code == 2
    assert "demo, other" in ran.err
    assert run("tasks", "ls", "-p", "other").code == 0
    monkeypatch.setenv("AIPLATFORM_PROJECT", E)
    assert run("tasks", "ls").code == 0


def test_archive_unarchive_usage_and_quota(run: Run, world: FakeServer) -> None:
    archived = PROJECT | {"status": "archived"}
    world.on(f"POST projects/{P}/archive", answer(archived))
    world.on(f"POST projects/{P}/unarchive", answer(PROJECT))
    used = {
        "storage": {"datasets": 1000, "models": 2000, "checkpoints": 0, "artifacts": 0,
                    "bin": 500, "total": 3500, "limit": None},
        "tasks": {"used": 1, "limit": 4},
        "gpus": {"used": 0, "limit": 2},
        "max_priority": 8,
    }  # fmt: skip
    world.on(f"GET projects/{P}/usage", answer(used))
    world.on(f"PUT projects/{P}/quota", answer(used))
    world.on(f"GET projects/{P}", answer(PROJECT))
    assert "archived" in run("projects", "archive", "demo", "--yes").out
    assert "active" in run("projects", "unarchive", "demo").out
    shown = run("projects", "usage", "demo").out
    for text in ("3.5 kB", "no limit", "bin", "GPUs", "priority of a task"):
        assert text in shown
    assert json.loads(run("projects", "usage", "demo", "--json").out) == used
    limits = ("--tasks", "4", "--gpus", "2", "--priority", "8")
    assert run("projects", "quota", "demo", *limits).code == 0
    assert json.loads(world.bodies[-1]) == {
        "storage_bytes": None, "concurrent_tasks": 4, "gpus": 2, "max_priority": 8
    }  # fmt: skip
    puts = len(world.bodies)
    assert run("projects", "quota", "demo").code == 2, "whoever only looks takes no limit away"
    assert run("projects", "quota", "demo", "--default", "--gpus", "1").code == 2
    assert len(world.bodies) == puts
    assert run("projects", "quota", "demo", "--default").code == 0
    assert set(json.loads(world.bodies[-1]).values()) == {None}


class TestUse:
    @pytest.fixture
    def two(self, world: FakeServer) -> FakeServer:
        """Return the scripted server with two projects, so that commands must name one."""
        other = PROJECT | {"uuid": E, "name": "other"}
        world.on("GET projects", page(PROJECT, other))
        world.on(f"GET projects/{P}", answer(PROJECT)).on(f"GET projects/{E}", answer(other))
        world.on(f"GET projects/{P}/tasks", page(TASK | {"name": "of demo"}))
        world.on(f"GET projects/{E}/tasks", page(TASK | {"name": "of other"}))
        return world

    def test_use_stores_the_project_for_later_commands(
        self, run: Run, two: FakeServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run("tasks", "ls").code == 2
        used = run("projects", "use", "other")
        assert used.code == 0, used.err
        assert "now use the project other" in used.err
        assert "of other" in run("tasks", "ls").out
        assert json.loads(run("projects", "show", "--json").out)["name"] == "other"
        # The option and the environment take precedence over the stored project.
        assert "of demo" in run("tasks", "ls", "-p", "demo").out
        monkeypatch.setenv("AIPLATFORM_PROJECT", "demo")
        assert "of demo" in run("tasks", "ls").out

    def test_use_none_forgets_the_project(self, run: Run, two: FakeServer) -> None:
        run("projects", "use", "other")
        assert run("projects", "use", "--none").code == 0
        assert run("tasks", "ls").code == 2

    def test_use_without_project_or_none_is_refused(self, run: Run, two: FakeServer) -> None:
        assert run("projects", "use").code == 2
        assert run("projects", "use", "other", "--none").code == 2

    def test_deleted_stored_project_is_explained(self, run: Run, two: FakeServer) -> None:
        run("projects", "use", "other")
        gone = problem(404, "resource.not_found", "There is no such project.", resource="project")
        two.on(f"GET projects/{E}/tasks", gone)
        ran = run("tasks", "ls")
        assert ran.code == 1
        assert "The project other, chosen by `aiplatform projects use`, was deleted" in " ".join(
            ran.err.split()
        )

    def test_stored_project_is_used_only_for_its_server(
        self, run: Run, two: FakeServer, monkeypatch: pytest.MonkeyPatch, url: str
    ) -> None:
        run("projects", "use", "other")
        monkeypatch.setenv("AIPLATFORM_URL", url.replace("127.0.0.1", "localhost"))
        assert run("tasks", "ls").code == 2


@pytest.mark.parametrize(
    ("group", "old"),
    [
        ("users", "delete"),
        ("roles", "delete"),
        ("webhooks", "delete"),
        ("scripts", "delete-bundle"),
    ],
)
def test_former_verb_works_but_is_hidden(run: Run, group: str, old: str) -> None:
    assert run(group, old, "--help").code == 0
    shown = run(group, "--help").out
    assert f"│ {old} " not in shown
    assert "│ rm" in shown


def test_no_visible_command_uses_another_verb_than_rm() -> None:
    def names(command: Any, path: str) -> Iterator[str]:
        for name, child in getattr(command, "commands", {}).items():
            if not child.hidden:
                yield from names(child, f"{path} {name}")
        yield path

    found = [
        name
        for name in names(typer.main.get_command(app), "")
        if re.search(r" (delete|remove|del|drop|destroy)\b", name)
    ]
    assert found == []
