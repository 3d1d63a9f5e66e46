"""Tests of ``aiplatform deploy update``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import MODEL, TASK, Run, T, posted
from tests.client.fake import FakeServer, answer, problem
from tests.openapi_checks import Partial

BOT = "00000000-0000-4000-8000-000000000019"
NEXT = {"model": MODEL["uuid"], "model_name": "faq@2", "task": T}
SERVED = Partial({"uuid": BOT, "name": "faq", "status": "ready", "model_name": "faq@1"})
UPDATING = SERVED | {"updating": NEXT}
FULL = "needs 0.1 CPU cores, 0 of 2 free: training night"


@pytest.fixture
def bot(world: FakeServer) -> FakeServer:
    waiting = {"ahead": 0, "reason": FULL, "reason_zh": "", "not_before": None, "blocked": True}
    world.on(f"GET tasks/{T}", answer(TASK | {"status": "pending", "waiting": waiting}))
    world.on(f"POST deployments/{BOT}/update", answer(UPDATING, 202))
    return world


def update(run: Run, *options: str) -> Any:
    return run("deploy", "update", BOT, MODEL["uuid"], *options)


def test_update_prints_why_it_waits_and_the_new_model(run: Run, bot: FakeServer) -> None:
    updated = SERVED | {"model_name": "faq@2", "updating": None}
    bot.on(f"GET deployments/{BOT}", answer(UPDATING), answer(UPDATING), answer(updated))
    done = update(run)
    assert done.code == 0, done.err
    assert done.err.count(f"faq waits: {FULL}\n") == 1
    assert "faq is ready and serves faq@2." in done.err
    assert posted(bot, "/update") == {"model": MODEL["uuid"]}


def test_update_that_fails_prints_the_reason_and_the_served_model(
    run: Run, bot: FakeServer
) -> None:
    failed = SERVED | {"updating": None, "update_error": "The weights are broken."}
    bot.on(f"GET deployments/{BOT}", answer(UPDATING), answer(failed))
    done = update(run)
    assert done.code == 1
    said = " ".join(done.err.split())
    assert "the update of faq failed: The weights are broken." in said
    assert "faq is ready and serves faq@1 as before." in said


def test_update_without_waiting_prints_the_served_and_the_next_model(
    run: Run, bot: FakeServer
) -> None:
    done = update(run, "--no-wait")
    assert done.code == 0, done.err
    assert "faq serves faq@1 until faq@2 is ready" in " ".join(done.err.split())
    assert bot.count(f"GET deployments/{BOT}") == 0


def test_update_during_another_update_prints_the_server_error(run: Run, bot: FakeServer) -> None:
    text = "The deployment is being updated to faq@2 already."
    bot.on(f"POST deployments/{BOT}/update", problem(409, "deployment.updating", text))
    done = update(run)
    assert done.code != 0
    assert text in " ".join(done.err.split())
