"""Tests of ``aiplatform experiments`` and ``runs``: search, tags, comparison, records."""

from pathlib import Path
from typing import Any

from aiplatform.client import git_state
from tests.cli.conftest import E, P, Run, T, posted
from tests.client.fake import FakeServer, answer
from tests.openapi_checks import Partial

EXPERIMENT: dict[str, Any] = Partial({"uuid": E, "name": "x", "tags": ["a"], "note": "# N"})
RUN: dict[str, Any] = Partial(
    {
        "uuid": T,
        "name": "x #1",
        "status": "completed",
        "metrics": {"eval_loss": 1.25, "loss": 2.5},
        "experiment": {"uuid": E, "name": "x"},
    }
)


def test_runs_ls_sends_filter_and_shows_the_sorted_metric(run: Run, world: FakeServer) -> None:
    world.on(f"GET projects/{P}/runs", answer(Partial({"items": [RUN], "next_cursor": None})))
    ran = run("runs", "ls", "--filter", "metrics.loss < 3", "--sort", "-metrics.loss")
    assert ran.code == 0, ran.err
    assert "2.5" in ran.out
    sent = world.requests[-1].url.params
    assert (sent["filter"], sent["sort"]) == ("metrics.loss < 3", "-metrics.loss")


def test_runs_show_prints_the_record(run: Run, world: FakeServer) -> None:
    record = {
        "seed": 42,
        "inputs": [{"role": "dataset", "label": "faq@v1", "sha256": "ab" * 32}],
        "git": {"commit": "abc1234", "dirty": False},
        "environment": {"python": "3.12", "packages": {"torch": "2.9", "zipp": "1"}},
    }
    world.on(f"GET runs/{T}", answer(RUN | {"record": record}))
    ran = run("runs", "show", T)
    assert ran.code == 0, ran.err
    for told in ("42", "dataset faq@v1 sha256 abab", "abc1234", "3.12", "torch 2.9"):
        assert told in ran.out
    assert "zipp" not in ran.out


def test_runs_compare_prints_differences_and_metrics(run: Run, world: FakeServer) -> None:
    column = {"kind": "run", "uuid": T, "name": "x #1", "status": "completed", "run": T}
    found = Partial(
        {"items": [column], "differs": {"lora.rank": [8]}, "metrics": {"eval_loss": [1.25]}}
    )
    world.on(f"GET projects/{P}/comparison", answer(found))
    ran = run("runs", "compare", T)
    assert ran.code == 0, ran.err
    assert "lora.rank" in ran.out
    assert "1.25" in ran.out


def test_experiments_tag_and_clone(run: Run, world: FakeServer) -> None:
    world.on(f"GET experiments/{E}", answer(EXPERIMENT, ETag='"1"'))
    world.on(f"PATCH experiments/{E}", answer(EXPERIMENT | {"tags": ["b"]}))
    world.on(f"POST experiments/{E}/clone", answer(EXPERIMENT | {"name": "y"}, 201))
    ran = run("experiments", "tag", E, "--add", "b", "--remove", "a")
    assert ran.code == 0, ran.err
    assert run("experiments", "clone", E, "--name", "y", "--set", "lora.rank=8").code == 0
    assert posted(world, "/clone") == {"name": "y", "changes": {"lora": {"rank": 8}}}


def test_git_state_outside_of_git_is_none(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
