"""Tests of ``aiplatform sweep create`` and ``watch``."""

import json

import pytest

from aiplatform.cli import sweeps
from tests.cli.conftest import E, P, Run, T, posted
from tests.client.fake import FakeServer, answer, page
from tests.openapi_checks import Partial

S = "00000000-0000-4000-8000-0000000000f1"
SPEC = {"objective": "eval_loss", "max_trials": 2, "parameters": {"lora.rank": {}}}
SWEEP = Partial({"uuid": S, "name": "search", "status": "running", "spec": SPEC, "project": P})
TRIAL = Partial(
    {"number": 1, "state": "completed", "params": {"lora.rank": 4}, "value": 1.5, "task": T}
)


@pytest.fixture
def searching(world: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    """Return the scripted server with a sweep that ends at the third request."""
    monkeypatch.setattr(sweeps, "_POLL_SECONDS", 0.01)
    world.on(f"GET projects/{P}/experiments", page(Partial({"uuid": E, "name": "faq"})))
    world.on(f"GET projects/{P}/sweeps", page(SWEEP))
    world.on(f"POST projects/{P}/sweeps", answer(SWEEP, 201))
    second = TRIAL | {"number": 2, "state": "running", "value": None}
    world.on(
        f"GET sweeps/{S}",
        answer(SWEEP | {"trials": [TRIAL, second], "best": TRIAL}),
        answer(SWEEP | {"trials": [TRIAL, second], "best": TRIAL}),
        answer(
            SWEEP
            | {
                "status": "completed",
                "trials": [TRIAL, second | {"state": "completed", "value": 1.25}],
                "best": second | {"state": "completed", "value": 1.25},
            }
        ),
    )
    return world


CREATE = ("sweep", "create", "faq", "--name", "search", "--param", "lora.rank=4,8")


def test_create_follows_the_sweep_to_its_end(run: Run, searching: FakeServer) -> None:
    ran = run(*CREATE)
    assert ran.code == 0, ran.err
    assert posted(searching, "/sweeps")["name"] == "search"
    told = [line for line in ran.err.splitlines() if "trials begun" in line]
    assert told == [
        "search: 2 of 2 trials begun (1 completed, 1 running); best eval_loss 1.5",
        "search: 2 of 2 trials begun (2 completed); best eval_loss 1.25",
    ]
    assert "EVAL_LOSS" in ran.out
    assert "1.25" in ran.out


def test_create_with_detach_returns_at_once(run: Run, searching: FakeServer) -> None:
    ran = run(*CREATE, "--detach")
    assert ran.code == 0, ran.err
    assert "aiplatform sweep watch search" in ran.err
    assert searching.count(f"GET sweeps/{S}") == 0


def test_watch_with_json_prints_lines_of_json(run: Run, searching: FakeServer) -> None:
    ran = run("sweep", "watch", "search", "--json")
    assert ran.code == 0, ran.err
    *events, last = map(json.loads, ran.out.splitlines())
    assert [event["data"]["states"] for event in events] == [
        {"completed": 1, "running": 1},
        {"completed": 2},
    ]
    assert (last["status"], last["best"]["value"]) == ("completed", 1.25)


def test_watch_of_a_failed_sweep_exits_with_5(run: Run, searching: FakeServer) -> None:
    searching.on(f"GET sweeps/{S}", answer(SWEEP | {"status": "failed", "error": "no figure"}))
    ran = run("sweep", "watch", "search")
    assert ran.code == 5
    assert "search is failed. no figure" in ran.err
