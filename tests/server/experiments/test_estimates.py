"""Tests of training estimates: submission, pace from earlier training runs, and comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.shapes.estimates import EXAMPLE_ESTIMATE
from aiplatform.protocol.trainings import parse_training
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.experiments.service.estimates import Run, pace_of
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from tests.conftest import Api
from tests.factories import make_version
from tests.server.experiments.manual_worker import ManualWorker

TRAINED = {
    "train_loss_first": 3.0,
    "train_loss_last": 1.5,
    "steps": 10,
    "seconds_per_step": 2.0,
    "computed_tokens": 1000,
    "computed_seconds": 20.0,
    "seconds": 25.0,
    "peak_memory_mb": 2000,
}


@pytest.fixture
def estimate(owner_api: Api, project: Project, config: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that queues an estimate over HTTP."""

    def make(**changes: Any) -> Any:
        path = f"projects/{project.uuid}/training-estimates"
        answer = owner_api.post(path, json={"config": {**config, **changes}})
        assert answer.status_code == 202, answer.text
        return answer.json()

    return make


def task_of(session: Session, made: Any) -> Task:
    return session.scalars(select(Task).where(Task.uuid == made["uuid"])).one()


def train(
    owner_api: Api, create: Callable[..., Any], worker: ManualWorker, made: list[StoredFile],
    result: dict[str, Any], **changes: Any,
) -> Any:  # fmt: skip
    experiment = create(**changes).json()["uuid"]
    task = owner_api.post(f"experiments/{experiment}/runs").json()
    worker.complete(worker.take(), result, made)
    return task


def test_estimate_is_a_task_with_pinned_versions_and_no_run(
    session: Session, estimate: Callable[..., Any], dataset: Dataset, rows: Any,
    project: Project, owner_api: Api, manual_worker: ManualWorker,
) -> None:  # fmt: skip
    newer = make_version(session, dataset, version="v2", file=rows("two"))
    made = estimate()
    assert (made["status"], made["result"]) == ("pending", None)
    assert made["config"]["dataset"]["version"] == "v2"
    task = task_of(session, made)
    assert (task.type, task.name, task.priority) == ("estimate", "faq (estimate)", 8)
    assert task.experiment_id is None
    assert (task.scheduling.cpus, task.scheduling.queue) == (0.5, manual_worker.queue)
    assert not session.scalars(select(Experiment).where(Experiment.project_id == project.id)).all()
    assert owner_api.get(f"projects/{project.uuid}/runs").json()["items"] == []
    log = session.scalars(select(AuditLog).where(AuditLog.resource_id == str(task.uuid))).one()
    assert (log.action, log.details["type"]) == ("task:submitted", "estimate")

    laid_out = manual_worker.inputs(manual_worker.take())
    assert laid_out.single["dataset"].sha256 == newer.file_hash
    assert set(laid_out.single) == {"dataset", "eval_dataset"}
    assert set(laid_out.trees) == {"base_model"}


def test_completed_estimate_has_its_result_and_sends_no_notification(
    session: Session, estimate: Callable[..., Any], owner_api: Api, manual_worker: ManualWorker,
    owner: User,
) -> None:  # fmt: skip
    made = estimate()
    manual_worker.complete(manual_worker.take(), EXAMPLE_ESTIMATE)
    found = owner_api.get(f"training-estimates/{made['uuid']}").json()
    assert found["status"] == "completed"
    assert found["result"] == EXAMPLE_ESTIMATE
    assert found["author"]["username"] == owner.username
    told = session.scalars(select(Notification).where(Notification.user_id == owner.id)).all()
    assert not told


def test_failed_estimate_says_why(
    estimate: Callable[..., Any], owner_api: Api, manual_worker: ManualWorker
) -> None:
    made = estimate()
    manual_worker.fail(manual_worker.take(), "None of the dataset's 1 rows can be used.")
    found = owner_api.get(f"training-estimates/{made['uuid']}").json()
    assert (found["status"], found["result"]) == ("failed", None)
    assert found["error_message"] == "None of the dataset's 1 rows can be used."


def test_task_of_another_type_is_no_estimate(
    create: Callable[..., Any], owner_api: Api, manual_worker: ManualWorker
) -> None:
    experiment = create().json()["uuid"]
    run = owner_api.post(f"experiments/{experiment}/runs").json()
    answer = owner_api.get(f"training-estimates/{run['uuid']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "resource.not_found")


def test_estimate_submitted_as_task_is_refused(
    owner_api: Api, project: Project, config: dict[str, Any]
) -> None:
    body = {"name": "e", "spec": {"type": "estimate", "training": config}}
    answer = owner_api.post(f"projects/{project.uuid}/tasks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "task.wrong_type")


def test_estimate_of_unsuitable_data_is_refused_like_the_training(
    owner_api: Api, project: Project, config: dict[str, Any]
) -> None:
    path = f"projects/{project.uuid}/training-estimates"
    answer = owner_api.post(path, json={"config": {**config, "method": "dpo"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "dataset.not_trainable")


def test_method_with_answers_of_unknown_length_is_refused_in_words(
    owner_api: Api, project: Project, config: dict[str, Any]
) -> None:
    changes = {"method": "grpo", "rewards": [{"kind": "length", "target": 100}]}
    path = f"projects/{project.uuid}/training-estimates"
    answer = owner_api.post(path, json={"config": {**config, **changes}})
    assert (answer.status_code, answer.json()["code"]) == (422, "training.not_estimable")
    assert "max_steps 2" in answer.json()["detail"]


class TestPace:
    def test_estimate_uses_trainings_of_the_same_kind(
        self, session: Session, estimate: Callable[..., Any], create: Callable[..., Any],
        owner_api: Api, manual_worker: ManualWorker, made: list[StoredFile],
    ) -> None:  # fmt: skip
        assert task_of(session, estimate()).config["pace"] is None
        manual_worker.cancel(manual_worker.take())
        train(owner_api, create, manual_worker, made, TRAINED)
        other = {"tuning": "full", "learning_rate": 1e-5}
        assert task_of(session, estimate(**other)).config["pace"] is None
        pace = task_of(session, estimate(batch_size=2)).config["pace"]
        assert pace["trainings"] == 1
        assert pace["expected"] == pytest.approx(0.02)
        assert (pace["low"], pace["high"]) == (pytest.approx(0.015), pytest.approx(0.025))
        assert pace["overhead_seconds"] == pytest.approx(5.0)

    def test_spread_of_many_trainings_is_their_10_to_90_percent_range(
        self, config: dict[str, Any]
    ) -> None:
        runs = [
            Run({"type": "training", **config}, {**TRAINED, "computed_seconds": 10.0 * n})
            for n in range(1, 12)
        ]
        pace = pace_of(parse_training(config), runs)
        assert pace is not None
        assert pace.expected == pytest.approx(0.06)
        assert (pace.low, pace.high) == (pytest.approx(0.02), pytest.approx(0.10))

    def test_resumed_training_counts_with_its_last_attempt(self, config: dict[str, Any]) -> None:
        result = {**TRAINED, "steps": 100, "computed_tokens": 500, "computed_seconds": 10.0}
        pace = pace_of(parse_training(config), [Run({"type": "training", **config}, result)])
        assert pace is not None
        assert pace.expected == pytest.approx(0.02)
        assert pace.overhead_seconds == pytest.approx(15.0)

    def test_trainings_without_measured_tokens_are_ignored(self, config: dict[str, Any]) -> None:
        assert pace_of(parse_training(config), [Run(config, {"steps": 10})]) is None


class TestComparison:
    def test_run_shows_the_estimate_of_the_same_training(
        self, estimate: Callable[..., Any], create: Callable[..., Any], owner_api: Api,
        manual_worker: ManualWorker, made: list[StoredFile],
    ) -> None:  # fmt: skip
        estimated = estimate(max_steps=7)
        manual_worker.complete(manual_worker.take(), EXAMPLE_ESTIMATE)
        same = train(owner_api, create, manual_worker, made, TRAINED, max_steps=7,
                     output_name="other", checkpoint_steps=3)  # fmt: skip
        other = train(owner_api, create, manual_worker, made, TRAINED, max_steps=8)
        found = owner_api.get(f"runs/{same['uuid']}").json()["estimate"]
        assert found == {
            "uuid": estimated["uuid"],
            "memory_mb": EXAMPLE_ESTIMATE["memory_mb"],
            "seconds": EXAMPLE_ESTIMATE["seconds"],
        }
        assert owner_api.get(f"runs/{other['uuid']}").json()["estimate"] is None
