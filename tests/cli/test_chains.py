"""Tests of commands that queue a task which starts after other tasks."""

import json
from typing import Any

import pytest

from tests.cli.conftest import MODEL, TASK, D, E, P, Run, T
from tests.client.fake import FakeServer, answer, sse
from tests.openapi_checks import Partial

TRAINING = TASK | {"status": "running", "model": None, "config": {"output_name": "tuned"}}
OTHER = "00000000-0000-4000-8000-000000000009"
EVALUATION = TASK | {"uuid": OTHER, "name": "evaluate", "type": "evaluation"}
DEPLOYMENT = Partial({"uuid": OTHER, "name": "tuned", "status": "starting", "model": None})


@pytest.fixture
def chain(world: FakeServer) -> FakeServer:
    """Return the scripted server with a running training task, ready to accept follow-up tasks."""
    world.on(f"GET tasks/{T}", answer(TRAINING)).on(f"GET tasks/{OTHER}", answer(EVALUATION))
    world.on(f"POST projects/{P}/tasks", answer(EVALUATION, 202))
    world.on(f"POST projects/{P}/deployments", answer(DEPLOYMENT, 201))
    world.on(f"POST experiments/{E}/runs", answer(TRAINING, 202))
    return world


def sent(server: FakeServer) -> Any:
    """Return the body of the last request that had one."""
    return json.loads(next(body for body in reversed(server.bodies) if body))


def test_evaluate_of_a_training_task_sends_its_reference(run: Run, chain: FakeServer) -> None:
    done = run("evaluate", f"task:{T}", "-d", D, "--pass-if", "loss<=2.0", "--pass-if",
               "perplexity < 8", "--after", OTHER, "--detach")  # fmt: skip
    assert done.code == 0, done.err
    body = sent(chain)
    assert body["name"] == "evaluate train"
    assert body["spec"]["model"] == {"from_task": T}
    assert body["spec"]["pass_if"] == [
        {"metric": "loss", "op": "<=", "value": 2.0},
        {"metric": "perplexity", "op": "<", "value": 8.0},
    ]
    assert body["after"] == [{"task": OTHER, "condition": "ok"}]


def test_evaluate_with_invalid_condition_is_refused(run: Run, chain: FakeServer) -> None:
    done = run("evaluate", f"task:{T}", "-d", D, "--pass-if", "loss", "--detach")
    assert done.code == 2
    assert "such as loss<=2.0" in done.err
    assert chain.count(f"POST projects/{P}/tasks") == 0


def test_evaluate_with_unmet_condition_prints_its_results(run: Run, chain: FakeServer) -> None:
    reason = "It did not pass: loss is 3.25 and must be <= 2.0."
    figures = {"model": {"loss": 3.25, "perplexity": 25.8}}
    failed = EVALUATION | {"status": "failed", "error_message": reason, "result": figures}
    chain.on(f"GET tasks/{OTHER}/events", sse(("1", "end", {"status": "failed"})))
    chain.on(f"GET tasks/{OTHER}", answer(failed))
    done = run("evaluate", f"task:{T}", "-d", D, "--pass-if", "loss<=2.0")
    assert done.code == 5
    assert "3.25" in done.out
    assert reason in done.err


def test_experiments_run_with_after_sends_the_tasks(run: Run, chain: FakeServer) -> None:
    done = run("experiments", "run", E, "--after", T, "--after", OTHER, "--detach")
    assert done.code == 0, done.err
    assert [need["task"] for need in sent(chain)["after"]] == [T, OTHER]


def test_deploy_create_of_a_training_task_returns_at_once(run: Run, chain: FakeServer) -> None:
    done = run("deploy", "create", f"task:{T}", "--after", OTHER)
    assert done.code == 0, done.err
    body = sent(chain)
    assert (body["name"], body["model"]) == ("tuned", {"from_task": T})
    assert body["after"] == [{"task": OTHER, "condition": "ok"}]
    assert "starts when" in done.err
    assert chain.count(f"GET deployments/{OTHER}") == 0


def test_deploy_create_with_after_and_wait_reports_the_failure(run: Run, chain: FakeServer) -> None:
    stopped = DEPLOYMENT | {"status": "stopped", "error": "It waited for the success of evaluate."}
    chain.on(f"GET deployments/{OTHER}", answer(stopped))
    done = run("deploy", "create", f"task:{T}", "--after", OTHER, "--name", "nightly", "--wait")
    assert done.code == 1
    assert "It waited for the success of evaluate." in done.err
    chain.on(f"GET models/{MODEL['uuid']}", answer(MODEL))
    assert run("deploy", "create", MODEL["uuid"], "--after", OTHER).code == 0
    assert sent(chain)["model"] == MODEL["uuid"]


def test_deploy_create_that_waits_for_a_core_prints_why(run: Run, chain: FakeServer) -> None:
    full = "needs 0.1 CPU cores, 0 of 2 free: training faq"
    waiting = {"ahead": 0, "reason": full, "reason_zh": "", "not_before": None, "blocked": True}
    server = EVALUATION | {"type": "inference", "status": "pending", "waiting": waiting}
    chain.on(f"GET tasks/{OTHER}", answer(server)).on(f"GET models/{MODEL['uuid']}", answer(MODEL))
    starting = DEPLOYMENT | {"task": OTHER}
    chain.on(f"POST projects/{P}/deployments", answer(starting, 201))
    ready = answer(starting | {"status": "ready"})
    chain.on(f"GET deployments/{OTHER}", answer(starting), answer(starting), ready)
    done = run("deploy", "create", MODEL["uuid"])
    assert done.code == 0, done.err
    assert done.err.count(f"tuned waits: {full}\n") == 1
