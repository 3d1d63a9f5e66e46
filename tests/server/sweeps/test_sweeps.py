"""Sweeps from creation to their end, with a worker worked by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.messages import Metrics
from aiplatform.protocol.sweeps import Params, SweepSpec
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.sweeps.jobs import advance_all, advance_one
from aiplatform.server.sweeps.service import advancing, prompting
from aiplatform.server.sweeps.service.sampling import Tried
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import attempts
from tests.conftest import Api
from tests.server.experiments.hand import Hand
from tests.server.sweeps.conftest import shown, states


@pytest.fixture
def prompted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sweeps that a worker was asked to advance; :func:`heed` plays the worker."""
    asked: list[int] = []
    monkeypatch.setattr(prompting, "send", lambda *_, sweep_id: asked.append(sweep_id))
    return asked


def heed(prompted: list[int]) -> None:
    while prompted:
        advance_one(prompted.pop())


def say(claim: Any, **series: dict[int, float]) -> None:
    with transaction() as session:
        points = [
            Metrics(step=step, values={key: value})
            for key, values in series.items()
            for step, value in values.items()
        ]
        attempts.write_telemetry(session, claim, metrics=points)


def test_a_grid_from_its_beginning_to_the_best_trial(
    session: Session, mine: Api, begin: Callable[..., Any], hand: Hand, made: list[StoredFile],
    owner: User,
) -> None:  # fmt: skip
    answer = begin(parallelism=3)
    assert answer.status_code == 201, answer.text
    uuid = answer.json()["uuid"]
    assert answer.json()["spec"]["max_trials"] == 4
    assert begin().json()["code"] == "name_taken"
    advance_all()
    assert states(mine, uuid) == ["running"] * 3
    advance_all()
    assert states(mine, uuid) == ["running"] * 3
    losses = iter([1.5, 0.9, 1.2, 1.1])
    for _ in range(4):
        hand.complete(hand.take(), {"eval_loss": next(losses)}, made)
        advance_all()
    found = shown(mine, uuid)
    assert found["status"] == "completed"
    assert [trial["state"] for trial in found["trials"]] == ["completed"] * 4
    assert [t["params"] for t in found["trials"]] == [
        {"lora.rank": rank, "seed": seed} for rank in (4, 8) for seed in (1, 2)
    ]
    assert (found["best"]["number"], found["best"]["value"]) == (2, 0.9)
    assert found["best"]["model"] is not None
    task = session.scalars(select(Task).where(Task.uuid == found["best"]["task"])).one()
    assert (task.name, task.config["lora"]["rank"], task.config["seed"]) == ("search #2", 4, 2)
    assert session.scalars(
        select(Notification).where(
            Notification.user_id == owner.id, Notification.type == "sweep:ended"
        )
    ).one()
    actions = session.scalars(
        select(AuditLog.action).where(AuditLog.resource_id == uuid).order_by(AuditLog.id)
    ).all()
    assert actions == ["sweep:created", "sweep:ended"]


def test_tpe_on_the_queue(
    mine: Api, begin: Callable[..., Any], hand: Hand, made: list[StoredFile]
) -> None:
    rate = {"learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-2, "log": True}}
    uuid = begin(parameters=rate, method="tpe", max_trials=3, parallelism=1).json()["uuid"]
    for loss in (2.0, 1.0, 3.0):
        advance_all()
        hand.complete(hand.take(), {"eval_loss": loss}, made)
    advance_all()
    found = shown(mine, uuid)
    assert (found["status"], found["best"]["number"]) == ("completed", 2)
    assert len({trial["params"]["learning_rate"] for trial in found["trials"]}) == 3


def test_bad_trials_pause_at_rungs_go_on_if_they_turn_out_well_and_are_stopped_at_last(
    session: Session, mine: Api, begin: Callable[..., Any], hand: Hand, made: list[StoredFile]
) -> None:
    asha = {"series": "loss", "min_steps": 2, "reduction": 2, "halt": "pause"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    advance_all()
    first, second = hand.take(), hand.take()
    say(first, loss={1: 9.0, 2: 1.0})
    advance_all()
    assert states(mine, uuid) == ["running", "running"]  # the only one at the rung is the best
    say(second, loss={2: 2.0})
    advance_all()
    assert states(mine, uuid) == ["running", "paused", "running"]
    paused = session.get_one(Task, second.task_id)
    assert paused.scheduling.stop_wanted == "pause"
    with transaction() as own:
        attempts.pause(own, second)
    third = hand.take()
    say(third, loss={2: 5.0})
    hand.complete(first, {"eval_loss": 1.0}, made)
    advance_all()
    # Two of three may not go on, one of four more makes room among the best for the second.
    fourth = hand.take()
    say(fourth, loss={2: 6.0})
    advance_all()
    assert states(mine, uuid) == ["completed", "resuming", "paused", "paused"]
    for claim in (third, fourth):
        with transaction() as own:
            attempts.pause(own, claim)
    advance_all()
    assert states(mine, uuid)[1] == "running"
    again = hand.take()
    assert again.task_id == second.task_id
    hand.complete(again, {"eval_loss": 0.5}, made)
    advance_all()
    found = shown(mine, uuid)
    assert [t["state"] for t in found["trials"]] == ["completed", "completed", "pruned", "pruned"]
    assert (found["status"], found["best"]["number"]) == ("completed", 2)
    session.expire_all()
    assert session.get_one(Task, third.task_id).status == TaskStatus.CANCELLED


def test_a_trial_that_may_go_on_before_it_has_paused_goes_on(
    session: Session, mine: Api, begin: Callable[..., Any], hand: Hand
) -> None:
    asha = {"series": "loss", "min_steps": 2, "reduction": 2, "halt": "pause"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    advance_all()
    first, second = hand.take(), hand.take()
    say(first, loss={2: 1.0})
    say(second, loss={2: 2.0})
    advance_all()
    third = hand.take()
    say(third, loss={2: 5.0})
    advance_all()
    fourth = hand.take()
    say(fourth, loss={2: 6.0})
    with transaction() as own:  # there is room again
        attempts.pause(own, third)
    advance_all()
    assert states(mine, uuid)[1] in {"resuming", "running"}
    # It was asked to pause, still ran, and is asked no longer.
    session.expire_all()
    assert session.get_one(Task, second.task_id).scheduling.stop_wanted is None
    advance_all()
    assert states(mine, uuid)[1] == "running"


@pytest.mark.parametrize(
    "bad",
    [
        {"low": 0, "high": 1e30, "step": 1e-5},
        {"low": 0, "high": 1, "step": 5e-324},
        {"low": -1e308, "high": 1e308},
    ],
)
def test_ranges_that_nobody_can_draw_from_are_refused(
    begin: Callable[..., Any], bad: dict[str, float]
) -> None:
    rate = {"learning_rate": {"kind": "float", **bad}}
    assert begin(parameters=rate, method="random").status_code == 422


def test_bad_trials_are_stopped_at_once_if_that_is_wanted(
    session: Session, mine: Api, begin: Callable[..., Any], hand: Hand
) -> None:
    asha = {"series": "loss", "min_steps": 1, "reduction": 2, "halt": "stop"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    advance_all()
    first, second = hand.take(), hand.take()
    say(first, loss={1: 1.0})
    advance_all()
    say(second, loss={1: 2.0})
    advance_all()
    assert states(mine, uuid)[:2] == ["running", "pruned"]
    assert session.get_one(Task, second.task_id).status == TaskStatus.CANCELLING


def test_the_next_choice_knows_what_was_seen_at_the_rungs(
    begin: Callable[..., Any], hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tried] = []
    real = advancing.choose

    def choose(spec: SweepSpec, history: Sequence[Tried]) -> Params:
        seen[:] = history
        return real(spec, history)

    monkeypatch.setattr(advancing, "choose", choose)
    begin(pruning={"min_steps": 1, "reduction": 2, "halt": "stop"}, parallelism=2)
    advance_all()
    first, second = hand.take(), hand.take()
    say(first, loss={1: 1.0, 2: 0.5})
    say(second, loss={1: 2.0})
    advance_all()
    assert [(one.state, list(one.rungs)) for one in seen] == [
        ("running", [1.0, 0.5]),
        ("pruned", [2.0]),
    ]


def test_what_is_no_parameter_is_refused_at_once(begin: Callable[..., Any]) -> None:
    refused = begin(parameters={"lora.rnk": {"kind": "choice", "values": [1]}})
    assert refused.json()["code"] == "config_invalid"
    large = {"seed": {"kind": "int", "low": 1, "high": 10**6}}
    assert begin(parameters=large).json()["code"] == "grid_too_large"


def test_it_goes_on_at_once_when_something_has_happened(
    session: Session, mine: Api, begin: Callable[..., Any], hand: Hand, made: list[StoredFile],
    prompted: list[int],
) -> None:  # fmt: skip
    """Nobody sweeps here: what advances the search are its own tasks."""
    asha = {"series": "loss", "min_steps": 2, "reduction": 2, "halt": "pause"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    heed(prompted)
    assert states(mine, uuid) == ["running", "running"]
    first, second = hand.take(), hand.take()
    say(first, loss={1: 0.5}, rate={2: 1.0})
    assert prompted == []  # neither the step nor the series that trials are compared by
    say(first, loss={2: 1.0})
    heed(prompted)
    say(first, loss={3: 1.0})
    assert prompted == []  # the next rung is step 4
    say(second, loss={2: 2.0})
    heed(prompted)
    assert states(mine, uuid) == ["running", "paused", "running"]
    with transaction() as own:
        attempts.pause(own, second)
    heed(prompted)
    third = hand.take()
    hand.complete(first, {"eval_loss": 1.0}, made)
    heed(prompted)
    assert states(mine, uuid) == ["completed", "paused", "running", "running"]
    hand.fail(third)
    hand.complete(hand.take(), {"eval_loss": 2.0}, made)
    heed(prompted)
    found = shown(mine, uuid)
    assert found["status"] == "completed"
    assert [t["state"] for t in found["trials"]] == ["completed", "pruned", "failed", "completed"]
    heed(prompted)
    session.expire_all()
    assert session.get_one(Task, second.task_id).status == TaskStatus.CANCELLED


def test_the_best_model_gets_a_name_of_its_own_once(
    session: Session, mine: Api, begin: Callable[..., Any], hand: Hand, made: list[StoredFile]
) -> None:
    uuid = begin(parallelism=1).json()["uuid"]
    advance_all()
    too_early = mine.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (too_early.status_code, too_early.json()["code"]) == (409, "no_best_model")
    for loss in (2.0, 1.0):
        advance_all()
        hand.complete(hand.take(), {"eval_loss": loss}, made)
    advance_all()
    best = mine.get(f"models/{shown(mine, uuid)['best']['model']}").json()
    first = mine.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (first.status_code, first.json()["version"]) == (201, "1")
    model = mine.get(f"models/{first.json()['model']}").json()
    same = ("framework", "size", "metrics", "card", "facts", "task", "experiment", "base_model")
    assert {key: model[key] for key in same} == {key: best[key] for key in same}
    assert (model["name"], model["status"]) == ("best", "ready")
    listed, copied = (
        [(f["path"], f["sha256"]) for f in mine.get(f"models/{m['uuid']}/files").json()["items"]]
        for m in (best, model)
    )
    assert listed == copied != []
    again = mine.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (again.status_code, again.json()) == (200, first.json())
    own_name = mine.post(f"sweeps/{uuid}/register", json={"name": best["name"]})
    assert (own_name.status_code, own_name.json()["model"]) == (200, best["uuid"])
    advance_all()
    hand.complete(hand.take(), {"eval_loss": 0.5}, made)
    advance_all()
    better = mine.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (better.status_code, better.json()["version"]) == (201, "2")


def test_two_that_advance_at_once_start_each_trial_once(
    mine: Api, begin: Callable[..., Any]
) -> None:
    uuid = begin(parallelism=2).json()["uuid"]
    ready = threading.Barrier(4)

    def go() -> None:
        ready.wait()
        advance_all()

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert states(mine, uuid) == ["running", "running"]
