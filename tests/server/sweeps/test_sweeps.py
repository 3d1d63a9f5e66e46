"""Tests of sweeps from creation to end, with a worker controlled by the tests."""

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
from aiplatform.server.execution.service import attempts
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.queue.models import Task
from aiplatform.server.sweeps.jobs import advance_all, advance_one
from aiplatform.server.sweeps.service import next_step, sweeps
from aiplatform.server.sweeps.service.next_step import PastTrial
from tests.conftest import Api
from tests.server.experiments.manual_worker import ManualWorker
from tests.server.sweeps.conftest import shown, states


@pytest.fixture
def advanced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the sweeps that a worker should advance, for :func:`heed`, which advances them."""
    asked: list[int] = []
    monkeypatch.setattr(sweeps, "send", lambda *_, sweep_id: asked.append(sweep_id))
    return asked


def heed(advanced: list[int]) -> None:
    while advanced:
        advance_one(advanced.pop())


def say(claim: Any, **series: dict[int, float]) -> None:
    with transaction() as session:
        points = [
            Metrics(step=step, values={key: value})
            for key, values in series.items()
            for step, value in values.items()
        ]
        attempts.write_telemetry(session, claim, metrics=points)


def test_grid_sweep_runs_to_the_best_trial(
    session: Session,
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    made: list[StoredFile],
    owner: User,
) -> None:
    answer = begin(parallelism=3)
    assert answer.status_code == 201, answer.text
    uuid = answer.json()["uuid"]
    assert answer.json()["spec"]["max_trials"] == 4
    assert begin().json()["code"] == "resource.name_taken"
    advance_all()
    assert states(owner_api, uuid) == ["running"] * 3
    advance_all()
    assert states(owner_api, uuid) == ["running"] * 3
    losses = iter([1.5, 0.9, 1.2, 1.1])
    for _ in range(4):
        manual_worker.complete(manual_worker.take(), {"eval_loss": next(losses)}, made)
        advance_all()
    found = shown(owner_api, uuid)
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


def test_tpe_sweep_runs_to_the_best_trial(
    owner_api: Api, begin: Callable[..., Any], manual_worker: ManualWorker, made: list[StoredFile]
) -> None:
    rate = {"learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-2, "log": True}}
    uuid = begin(parameters=rate, method="tpe", max_trials=3, parallelism=1).json()["uuid"]
    for loss in (2.0, 1.0, 3.0):
        advance_all()
        manual_worker.complete(manual_worker.take(), {"eval_loss": loss}, made)
    advance_all()
    found = shown(owner_api, uuid)
    assert (found["status"], found["best"]["number"]) == ("completed", 2)
    assert len({trial["params"]["learning_rate"] for trial in found["trials"]}) == 3


def test_halted_trials_pause_resume_and_are_pruned_at_the_end(
    session: Session,
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    made: list[StoredFile],
) -> None:
    asha = {"series": "loss", "min_steps": 2, "reduction": 2, "halt": "pause"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    advance_all()
    first, second = manual_worker.take(), manual_worker.take()
    say(first, loss={1: 9.0, 2: 1.0})
    advance_all()
    assert states(owner_api, uuid) == ["running", "running"]  # the only trial at a rung is the best
    say(second, loss={2: 2.0})
    advance_all()
    assert states(owner_api, uuid) == ["running", "paused", "running"]
    paused = session.get_one(Task, second.task_id)
    assert paused.scheduling.stop_wanted == "pause"
    with transaction() as own:
        attempts.pause(own, second)
    third = manual_worker.take()
    say(third, loss={2: 5.0})
    manual_worker.complete(first, {"eval_loss": 1.0}, made)
    advance_all()
    # Two of three trials are paused. A worse fourth trial moves the second into the better half.
    fourth = manual_worker.take()
    say(fourth, loss={2: 6.0})
    advance_all()
    assert states(owner_api, uuid) == ["completed", "resuming", "paused", "paused"]
    for claim in (third, fourth):
        with transaction() as own:
            attempts.pause(own, claim)
    advance_all()
    assert states(owner_api, uuid)[1] == "running"
    again = manual_worker.take()
    assert again.task_id == second.task_id
    manual_worker.complete(again, {"eval_loss": 0.5}, made)
    advance_all()
    found = shown(owner_api, uuid)
    assert [t["state"] for t in found["trials"]] == ["completed", "completed", "pruned", "pruned"]
    assert (found["status"], found["best"]["number"]) == ("completed", 2)
    session.expire_all()
    assert session.get_one(Task, third.task_id).status == TaskStatus.CANCELLED


def test_trial_that_may_continue_before_it_paused_continues(
    session: Session, owner_api: Api, begin: Callable[..., Any], manual_worker: ManualWorker
) -> None:
    asha = {"series": "loss", "min_steps": 2, "reduction": 2, "halt": "pause"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    advance_all()
    first, second = manual_worker.take(), manual_worker.take()
    say(first, loss={2: 1.0})
    say(second, loss={2: 2.0})
    advance_all()
    third = manual_worker.take()
    say(third, loss={2: 5.0})
    advance_all()
    fourth = manual_worker.take()
    say(fourth, loss={2: 6.0})
    with transaction() as own:  # frees a slot for one trial
        attempts.pause(own, third)
    advance_all()
    assert states(owner_api, uuid)[1] in {"resuming", "running"}
    # The task was asked to pause and had not paused yet when the request was withdrawn.
    session.expire_all()
    assert session.get_one(Task, second.task_id).scheduling.stop_wanted is None
    advance_all()
    assert states(owner_api, uuid)[1] == "running"


@pytest.mark.parametrize(
    "bad",
    [
        {"low": 0, "high": 1e30, "step": 1e-5},
        {"low": 0, "high": 1, "step": 5e-324},
        {"low": -1e308, "high": 1e308},
    ],
)
def test_create_with_unusable_range_is_refused(
    begin: Callable[..., Any], bad: dict[str, float]
) -> None:
    rate = {"learning_rate": {"kind": "float", **bad}}
    assert begin(parameters=rate, method="random").status_code == 422


def test_halt_stop_prunes_bad_trials_at_once(
    session: Session, owner_api: Api, begin: Callable[..., Any], manual_worker: ManualWorker
) -> None:
    asha = {"series": "loss", "min_steps": 1, "reduction": 2, "halt": "stop"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    advance_all()
    first, second = manual_worker.take(), manual_worker.take()
    say(first, loss={1: 1.0})
    advance_all()
    say(second, loss={1: 2.0})
    advance_all()
    assert states(owner_api, uuid)[:2] == ["running", "pruned"]
    assert session.get_one(Task, second.task_id).status == TaskStatus.CANCELLING


def test_choose_parameters_gets_values_at_rungs(
    begin: Callable[..., Any], manual_worker: ManualWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[PastTrial] = []
    real = next_step.choose_parameters

    def choose_parameters(spec: SweepSpec, history: Sequence[PastTrial]) -> Params:
        seen[:] = history
        return real(spec, history)

    monkeypatch.setattr(next_step, "choose_parameters", choose_parameters)
    begin(pruning={"min_steps": 1, "reduction": 2, "halt": "stop"}, parallelism=2)
    advance_all()
    first, second = manual_worker.take(), manual_worker.take()
    say(first, loss={1: 1.0, 2: 0.5})
    say(second, loss={1: 2.0})
    advance_all()
    assert [(one.state, list(one.rungs)) for one in seen] == [
        ("running", [1.0, 0.5]),
        ("pruned", [2.0]),
    ]


def test_create_with_unknown_parameter_is_refused(begin: Callable[..., Any]) -> None:
    refused = begin(parameters={"lora.rnk": {"kind": "choice", "values": [1]}})
    assert refused.json()["code"] == "experiment.invalid_config"
    large = {"seed": {"kind": "int", "low": 1, "high": 10**6}}
    assert begin(parameters=large).json()["code"] == "sweep.grid_too_large"


def test_sweep_advances_after_events_of_its_tasks(
    session: Session,
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    made: list[StoredFile],
    advanced: list[int],
) -> None:
    """Run no periodic job, so that only events of the sweep's own tasks advance it."""
    asha = {"series": "loss", "min_steps": 2, "reduction": 2, "halt": "pause"}
    uuid = begin(pruning=asha, parallelism=2).json()["uuid"]
    heed(advanced)
    assert states(owner_api, uuid) == ["running", "running"]
    first, second = manual_worker.take(), manual_worker.take()
    say(first, loss={1: 0.5}, rate={2: 1.0})
    assert advanced == []  # neither the rung's step nor its series
    say(first, loss={2: 1.0})
    heed(advanced)
    say(first, loss={3: 1.0})
    assert advanced == []  # the next rung is step 4
    say(second, loss={2: 2.0})
    heed(advanced)
    assert states(owner_api, uuid) == ["running", "paused", "running"]
    with transaction() as own:
        attempts.pause(own, second)
    heed(advanced)
    third = manual_worker.take()
    manual_worker.complete(first, {"eval_loss": 1.0}, made)
    heed(advanced)
    assert states(owner_api, uuid) == ["completed", "paused", "running", "running"]
    manual_worker.fail(third)
    manual_worker.complete(manual_worker.take(), {"eval_loss": 2.0}, made)
    heed(advanced)
    found = shown(owner_api, uuid)
    assert found["status"] == "completed"
    assert [t["state"] for t in found["trials"]] == ["completed", "pruned", "failed", "completed"]
    heed(advanced)
    session.expire_all()
    assert session.get_one(Task, second.task_id).status == TaskStatus.CANCELLED


def test_register_best_model_once_per_name(
    session: Session,
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    made: list[StoredFile],
) -> None:
    uuid = begin(parallelism=1).json()["uuid"]
    advance_all()
    too_early = owner_api.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (too_early.status_code, too_early.json()["code"]) == (409, "sweep.no_best_model")
    for loss in (2.0, 1.0):
        advance_all()
        manual_worker.complete(manual_worker.take(), {"eval_loss": loss}, made)
    advance_all()
    best = owner_api.get(f"models/{shown(owner_api, uuid)['best']['model']}").json()
    first = owner_api.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (first.status_code, first.json()["version"]) == (201, "1")
    model = owner_api.get(f"models/{first.json()['model']}").json()
    same = ("framework", "size", "metrics", "card", "facts", "task", "experiment", "base_model")
    assert {key: model[key] for key in same} == {key: best[key] for key in same}
    assert (model["name"], model["status"]) == ("best", "ready")
    listed, copied = (
        [
            (f["path"], f["sha256"])
            for f in owner_api.get(f"models/{m['uuid']}/files").json()["items"]
        ]
        for m in (best, model)
    )
    assert listed == copied != []
    again = owner_api.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (again.status_code, again.json()) == (200, first.json())
    own_name = owner_api.post(f"sweeps/{uuid}/register", json={"name": best["name"]})
    assert (own_name.status_code, own_name.json()["model"]) == (200, best["uuid"])
    advance_all()
    manual_worker.complete(manual_worker.take(), {"eval_loss": 0.5}, made)
    advance_all()
    better = owner_api.post(f"sweeps/{uuid}/register", json={"name": "best"})
    assert (better.status_code, better.json()["version"]) == (201, "2")


def test_simultaneous_advances_start_each_trial_once(
    owner_api: Api, begin: Callable[..., Any]
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
    assert states(owner_api, uuid) == ["running", "running"]
