"""Tests of ``aiplatform runs unsent`` and ``runs sync``."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiplatform.client.external.journal import LOG, POINTS, Journal, Records
from tests.cli.conftest import D, E, P, Run, T
from tests.client.fake import FakeServer, answer, problem
from tests.openapi_checks import Partial

Runs = list[Journal]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: FakeServer) -> Runs:
    """Create three unsent runs: one completed, one failed, and one that did not record its end."""
    parent = tmp_path / "runs"
    found = []
    for name, task, status in (("a", T, "completed"), ("b", E, "failed"), ("c", D, None)):
        about = {"name": name, "project": P, "config": {}, "facts": {}, "task": task}
        journal = Journal.create(parent / "made", about)
        moved = parent / f"run-{name}"
        journal.directory.rename(moved)
        journal = Journal(moved)
        points = Records(moved / POINTS)
        points.add(['{"key":"loss","step":1,"value":1.0,"time":1.0}'])
        points.close()
        Records(moved / LOG).close()
        if status is not None:
            journal.record_end({"status": status, "error": None, "result": {}})
        found.append(journal)
        running = answer(Partial({"status": "running", "taken": 1, "dropped_bytes": 0}))
        server.on(f"POST tasks/{task}/metrics", running)
        server.on(f"POST tasks/{task}/heartbeat", running)
        server.on(f"POST tasks/{task}/end", answer(Partial({"status": "completed"})))
    monkeypatch.setenv("AIPLATFORM_RUNS", str(parent))
    return found


def sent_ends(server: FakeServer) -> list[Any]:
    pairs = zip(server.requests, server.bodies, strict=True)
    return [json.loads(body)["status"] for r, body in pairs if r.url.path.endswith("/end")]


def test_unsent_lists_runs_that_are_not_sent(run: Run, runs: Runs) -> None:
    shown = run("runs", "unsent").out
    assert [line.split()[:2] for line in shown.splitlines()[1:3]] == [
        ["a", "completed"],
        ["b", "failed"],
    ]
    listed = json.loads(run("runs", "unsent", "--json").out)
    assert [(each["name"], each["task"], each["ended"]) for each in listed] == [
        ("a", T, "completed"),
        ("b", E, "failed"),
        ("c", D, None),
    ]
    assert listed[0]["directory"] == str(runs[0].directory)


def test_sync_sends_all_runs_and_removes_them(run: Run, runs: Runs, server: FakeServer) -> None:
    first = run("runs", "sync")
    assert first.code == 0
    assert f"run-a: task {T}, 1 points, complete." in first.err
    assert f"run-c: task {D}, 1 points, still running." in first.err
    assert f"aiplatform runs sync {runs[2].directory} --ended failed" in first.err
    rest = run("runs", "sync", "--ended", "failed", "--json")
    (facts,) = json.loads(rest.out)
    assert (facts["task"], facts["points"], facts["complete"]) == (D, 1, True)
    assert sent_ends(server) == ["completed", "failed", "failed"]
    for command in ("sync", "unsent"):
        assert run("runs", command).err == "Everything is on the platform.\n"


@pytest.mark.parametrize("word", ["running", "foo"])
def test_sync_with_invalid_end_is_refused_before_anything_is_written(
    run: Run, runs: Runs, server: FakeServer, word: str
) -> None:
    said = run("runs", "sync", "--ended", word)
    assert said.code == 2
    assert "completed, failed, cancelled" in said.err.replace("\n", " ")
    assert runs[2].end is None
    assert server.requests == []


def test_sync_with_refused_runs_sends_the_others(run: Run, runs: Runs, server: FakeServer) -> None:
    server.on(f"POST tasks/{T}/metrics", problem(404, "resource.not_found", "no such task"))
    server.on(f"POST tasks/{E}/metrics", problem(409, "task.finished", "it has ended"))
    said = run("runs", "sync", "--ended", "failed")
    assert said.code == 1
    assert "run-a is not sent: no such task" in said.err
    assert "run-b is not sent: the run has ended on the server" in said.err
    assert f"run-c: task {D}, 1 points, complete." in said.err
    assert [each.directory.exists() for each in runs] == [True, True, False]


@pytest.mark.parametrize("json_too", [False, True])
def test_sync_interrupted_by_a_lost_server_prints_the_runs_already_sent(
    run: Run, runs: Runs, server: FakeServer, json_too: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiplatform.client.transport.back_off", lambda *_: 0.0)
    server.on(f"POST tasks/{E}/metrics", httpx.ConnectError("refused"))
    said = run("runs", "sync", *(["--json"] if json_too else []))
    assert said.code == 3
    if json_too:
        assert [each["task"] for each in json.loads(said.out)] == [T]
    else:
        assert f"run-a: task {T}, 1 points, complete." in said.err
    assert runs[2].directory.exists()
