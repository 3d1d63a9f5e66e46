"""Tests of sweeps that end early or can't start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.models import QualityReport
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.errors import NotPausable
from aiplatform.server.queue.models import Task
from aiplatform.server.sweeps import jobs as sweep_jobs
from aiplatform.server.sweeps.jobs import advance_all
from aiplatform.server.sweeps.service import next_step
from tests.conftest import Api
from tests.factories import make_member, make_user
from tests.server.experiments.manual_worker import ManualWorker
from tests.server.sweeps.conftest import GRID, shown, states


def test_sweep_whose_sampler_fails_ends_with_error(
    owner_api: Api, begin: Callable[..., Any], manual_worker: ManualWorker, made: list[StoredFile],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    uuid = begin(parallelism=1).json()["uuid"]
    advance_all()

    def fail(*_: Any) -> Any:
        raise ValueError("no such distribution")

    monkeypatch.setattr(next_step, "choose_parameters", fail)
    manual_worker.complete(manual_worker.take(), {"eval_loss": 1.0}, made)
    advance_all()
    found = shown(owner_api, uuid)
    assert (found["status"], states(owner_api, uuid)) == ("failed", ["completed"])
    assert found["error"] == "the next parameters can't be chosen: ValueError: no such distribution"


def test_error_of_one_sweep_does_not_stop_others(
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin(name="broken")
    fine = begin(name="fine").json()["uuid"]
    real = sweep_jobs.advance
    broken: list[int] = []

    def advance(session: Session, sweep_id: int, **options: Any) -> None:
        broken.append(sweep_id)
        if sweep_id == broken[0]:
            raise RuntimeError("a row that nobody expected")
        real(session, sweep_id, **options)

    monkeypatch.setattr(sweep_jobs, "advance", advance)
    advance_all()
    assert states(owner_api, fine) != []


def test_refused_request_of_one_trial_does_not_stop_others(
    session: Session,
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uuid = begin(parallelism=2).json()["uuid"]
    advance_all()
    claims = [manual_worker.take(), manual_worker.take()]
    assert owner_api.post(f"sweeps/{uuid}/cancel").status_code == 200
    real = sweep_jobs.send_request
    sent: list[int] = []

    def refuse_first(session: Session, task_id: int, request: str) -> None:
        sent.append(task_id)
        if len(sent) == 1:
            raise NotPausable(task_type="inference")
        real(session, task_id, request)

    monkeypatch.setattr(sweep_jobs, "send_request", refuse_first)
    advance_all()
    statuses = {claim.task_id: session.get_one(Task, claim.task_id).status for claim in claims}
    assert statuses == {sent[0]: TaskStatus.RUNNING, sent[1]: TaskStatus.CANCELLING}
    # The next round sends the refused request again.
    advance_all()
    session.expire_all()
    assert session.get_one(Task, sent[0]).status == TaskStatus.CANCELLING


def test_cancel_stops_running_trials_and_keeps_results(
    session: Session,
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    made: list[StoredFile],
) -> None:
    uuid = begin(parallelism=2).json()["uuid"]
    advance_all()
    manual_worker.complete(manual_worker.take(), {"eval_loss": 1.0}, made)
    advance_all()
    running = manual_worker.take()
    cancelled = owner_api.post(f"sweeps/{uuid}/cancel").json()
    assert cancelled["status"] == "cancelled"
    assert owner_api.post(f"sweeps/{uuid}/cancel").json()["code"] == "sweep.ended"
    advance_all()
    advance_all()
    assert states(owner_api, uuid) == ["completed", "cancelled", "cancelled"]
    assert session.get_one(Task, running.task_id).status == TaskStatus.CANCELLING
    assert manual_worker.claim() is None


def test_sweep_ends_after_five_failures(
    owner_api: Api, begin: Callable[..., Any], manual_worker: ManualWorker
) -> None:
    seeds = {"seed": {"kind": "int", "low": 1, "high": 9}}
    uuid = begin(parameters=seeds, parallelism=1).json()["uuid"]
    for _ in range(5):
        advance_all()
        manual_worker.fail(manual_worker.take())
    advance_all()
    found = shown(owner_api, uuid)
    assert (found["status"], len(found["trials"]), found["best"]) == ("failed", 5, None)
    assert "none has succeeded" in found["error"]
    assert found["trials"][0]["error"] == "the engine crashed"


@pytest.mark.parametrize(
    ("spec", "figure"),
    [
        ({}, "eval_loss"),
        ({"objective": "perplexity"}, "perplexity"),
        ({"objective": "loss", "pruning": {"series": "eval_loss"}}, "eval_loss"),
    ],
)
def test_create_with_figure_without_eval_dataset_is_refused(
    begin: Callable[..., Any], spec: dict[str, Any], figure: str
) -> None:
    refused = begin(config={"eval_dataset": None}, **spec)
    assert (refused.status_code, refused.json()["code"]) == (422, "sweep.eval_dataset_missing")
    detail = refused.json()["detail"]
    assert f"never measure {figure}. Set an eval_dataset" in detail


def test_create_with_pruning_by_final_figure_is_refused(begin: Callable[..., Any]) -> None:
    spec = {"objective": "loss", "pruning": {"series": "eval_loss", "min_steps": 7}}
    refused = begin(config={"eval_steps": None}, **spec)
    assert (refused.status_code, refused.json()["code"]) == (422, "sweep.eval_steps_missing")
    assert "to 7 or less, or prune by the metric loss" in refused.json()["detail"]
    assert begin(config={"eval_steps": 7}, **spec).status_code == 201


def test_create_without_eval_dataset_may_use_loss(begin: Callable[..., Any]) -> None:
    spec = {"objective": "loss", "pruning": {"series": "loss"}}
    assert begin(config={"eval_dataset": None}, **spec).status_code == 201


def test_sweep_ends_when_first_trial_lacks_the_objective(
    session: Session,
    owner_api: Api,
    begin: Callable[..., Any],
    manual_worker: ManualWorker,
    made: list[StoredFile],
) -> None:
    uuid = begin(objective="accuracy", parallelism=2).json()["uuid"]
    advance_all()
    running = manual_worker.take()
    manual_worker.complete(manual_worker.take(), {"eval_loss": 1.0}, made)
    advance_all()
    found = shown(owner_api, uuid)
    assert (found["status"], states(owner_api, uuid)) == ("failed", ["cancelled", "failed"])
    assert found["error"].startswith("trial 2 completed without accuracy, so no trial has it;")
    session.expire_all()
    assert session.get_one(Task, running.task_id).status == TaskStatus.CANCELLING


def test_objective_that_is_nan_fails_only_its_trial(
    owner_api: Api, begin: Callable[..., Any], manual_worker: ManualWorker, made: list[StoredFile]
) -> None:
    uuid = begin(parallelism=1).json()["uuid"]
    for loss in (math.nan, 1.0, None):
        advance_all()
        manual_worker.complete(
            manual_worker.take(), {} if loss is None else {"eval_loss": loss}, made
        )
    advance_all()
    assert states(owner_api, uuid) == ["failed", "completed", "failed", "running"]


def test_sweep_of_deactivated_author_fails(
    session: Session, begin: Callable[..., Any], owner: User
) -> None:
    from aiplatform.server.sweeps.models import Sweep

    uuid = begin().json()["uuid"]
    owner.is_active = False
    session.commit()
    advance_all()
    session.expire_all()
    sweep = session.scalars(select(Sweep).where(Sweep.uuid == uuid)).one()
    assert sweep.status == "failed"
    assert "deactivated" in (sweep.error or "")


def test_priority_above_the_projects_limit_is_refused(
    owner_api: Api, admin: Api, project: Project, begin: Callable[..., Any]
) -> None:
    urgent = begin(priority=9).json()["uuid"]
    admin.put(f"projects/{project.uuid}/quota", json={"max_priority": 8})
    answer = begin(name="another", priority=9)
    assert (answer.status_code, answer.json()["code"]) == (409, "project.priority_too_high")
    experiment = shown(owner_api, urgent)["experiment"]
    answer = owner_api.post(f"experiments/{experiment}/runs", json={"priority": 9})
    assert (answer.status_code, answer.json()["code"]) == (409, "project.priority_too_high")
    advance_all()
    found = shown(owner_api, urgent)
    assert found["status"] == "failed"
    assert "at most priority 8" in found["error"]


def test_delete_experiment_needs_ended_sweeps(
    session: Session, owner_api: Api, begin: Callable[..., Any]
) -> None:
    sweep = begin().json()
    path = f"experiments/{sweep['experiment']}"
    refused = owner_api.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "experiment.in_use")
    assert "an unfinished sweep (search)" in refused.json()["detail"]
    assert owner_api.post(f"sweeps/{sweep['uuid']}/cancel").is_success
    assert owner_api.delete(path).status_code == 204
    assert owner_api.get(f"sweeps/{sweep['uuid']}").status_code == 404
    entry = session.scalars(
        select(AuditLog).where(AuditLog.action == "experiment:deleted").order_by(AuditLog.id.desc())
    ).first()
    assert entry is not None
    assert entry.details["sweeps"] == [{"uuid": sweep["uuid"], "name": "search"}]


def test_override_gate_needs_reason_and_permission(
    api: Callable[..., Api],
    session: Session,
    owner_api: Api,
    project: Project,
    create: Callable[..., Any],
) -> None:
    uuid = create().json()["uuid"]
    assert owner_api.put(f"projects/{project.uuid}/dataset-gate", json={"min_score": 80}).is_success
    session.execute(update(QualityReport).values(report={"score": 10, "findings": []}))
    session.commit()

    def begin(name: str, by: Api = owner_api, **more: Any) -> Any:
        spec = {"experiment": uuid, "parameters": GRID, "method": "grid", **more}
        return by.post(f"projects/{project.uuid}/sweeps", json={"name": name, "spec": spec})

    refused = begin("refused").json()["uuid"]
    advance_all()
    assert "score is 10" in shown(owner_api, refused)["error"]

    reason = "agreed for the sake of a search"
    sweep = begin("agreed", override_gate=reason).json()
    advance_all()
    assert states(owner_api, sweep["uuid"]) == ["running", "running"]
    audited = session.scalars(select(AuditLog).where(AuditLog.action == "dataset:gate_overridden"))
    assert [row.details["reason"] for row in audited].count(reason) == 2

    user = make_user(session)
    make_member(session, project, "developer", user)
    denied = begin("mine", api(user), override_gate=reason)
    assert (denied.status_code, denied.json()["permission"]) == (403, "datasets:override")
