"""``aiplatform projects``, and how lists and the project are given in all commands."""

import json

import pytest

from tests.cli.conftest import PROJECT, TASK, E, P, Run
from tests.client.fake import FakeServer, answer, page


def test_lists_are_tables_for_people_and_arrays_for_programs(run: Run, world: FakeServer) -> None:
    table = run("projects", "ls")
    assert "NAME" in table.out
    assert "demo" in table.out
    assert json.loads(run("projects", "ls", "--json").out) == [
        {**PROJECT, "description": None, "owner": None, "config": {}, "tags": [],
         "updated_at": None}
    ]  # fmt: skip


def test_empty_lists_say_what_to_do(run: Run, server: FakeServer) -> None:
    server.on("GET projects", page())
    ran = run("projects", "ls")
    assert (ran.out, "aiplatform projects create" in ran.err) == ("", True)
    assert json.loads(run("projects", "ls", "--json").out) == []


def test_project_is_taken_from_option_or_environment(
    run: Run, world: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**PROJECT, "uuid": E, "name": "other"}
    world.on("GET projects", page(PROJECT, other)).on(f"GET projects/{E}/tasks", page(TASK))
    ran = run("tasks", "ls")
    assert ran.code == 2
    assert "demo, other" in ran.err
    assert run("tasks", "ls", "-p", "other").code == 0
    monkeypatch.setenv("AIPLATFORM_PROJECT", E)
    assert run("tasks", "ls").code == 0


def test_archiving_usage_and_quota(run: Run, world: FakeServer) -> None:
    archived = {**PROJECT, "status": "archived"}
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
