"""Tests of evaluations that wait for a training task's model, and of their pass conditions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.trainings import RewardSpec, SftSpec
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.execution.service import attempts
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.experiments.service import trainings
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import make_project, make_task
from tests.server.experiments.manual_worker import ManualWorker, fresh, until_it_waits

Submit = Callable[..., Any]
FIGURES = {"rows": 4, "tokens": 40, "model": {"loss": 1.5, "perplexity": 4.48}}


@pytest.fixture
def experiment(session: Session, create: Submit) -> Experiment:
    uuid = create().json()["uuid"]
    return session.scalars(select(Experiment).where(Experiment.uuid == uuid)).one()


@pytest.fixture
def train(owner_api: Api, experiment: Experiment) -> Submit:
    """Return a function that queues a training task over HTTP."""

    def start(**body: Any) -> Any:
        answer = owner_api.post(f"experiments/{experiment.uuid}/runs", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    return start


@pytest.fixture
def evaluate(
    owner_api: Api, project: Project, held_out: Dataset, manual_worker: ManualWorker
) -> Submit:
    """Return a function that requests the evaluation of a model, or of a training task's result."""

    def submit(model: Any, *, headers: Any = (), after: Any = (), **spec: Any) -> Any:
        if "config" in model:
            model = {"from_task": model["uuid"]}
        body = {
            "name": "evaluate",
            "after": list(after),
            "spec": {
                "type": "evaluation",
                "model": model,
                "dataset": {"dataset": str(held_out.uuid)},
                "queue": manual_worker.queue,
                **spec,
            },
        }
        return owner_api.post(f"projects/{project.uuid}/tasks", json=body, headers=dict(headers))

    return submit


class TestRuns:
    def test_run_after_another_run_waits_for_it(
        self,
        owner_api: Api,
        train: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
        experiment: Experiment,
    ) -> None:
        first = train()
        second = train(after=[{"task": first["uuid"]}])
        claim = manual_worker.take()
        assert (str(claim.task_uuid), manual_worker.claim()) == (first["uuid"], None)
        shown = owner_api.get(f"tasks/{second['uuid']}").json()
        assert shown["waiting"]["reason"] == f"waits for {first['name']}"
        manual_worker.complete(claim, {}, made)
        assert str(manual_worker.take().task_uuid) == second["uuid"]

    def test_run_after_failed_run_fails(
        self,
        session: Session,
        owner_api: Api,
        train: Submit,
        manual_worker: ManualWorker,
        experiment: Experiment,
    ) -> None:
        first = train()
        second = train(after=[{"task": first["uuid"]}])
        manual_worker.fail(manual_worker.take())
        shown = owner_api.get(f"tasks/{second['uuid']}").json()
        assert shown["status"] == "failed"
        assert first["name"] in shown["error_message"]
        assert fresh(session, experiment).status == "failed"
        body = {"after": [{"task": first["uuid"]}]}
        refused = owner_api.post(f"experiments/{experiment.uuid}/runs", json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "task.dependency_failed")

    def test_run_after_task_of_other_project_is_not_found(
        self, session: Session, owner_api: Api, experiment: Experiment
    ) -> None:
        foreign = make_task(session, make_project(session))
        body = {"after": [{"task": str(foreign.uuid)}]}
        answer = owner_api.post(f"experiments/{experiment.uuid}/runs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "resource.not_found")

    def test_run_is_submitted_while_its_dependency_ends(
        self,
        session: Session,
        owner_api: Api,
        train: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
        experiment: Experiment,
    ) -> None:
        """Check that both transactions lock the first run before they lock the experiment."""
        first, claim = train(), manual_worker.take()
        with ThreadPoolExecutor() as pool, transaction() as ending:
            attempts.hold(ending, claim)
            submitted = pool.submit(train, after=[{"task": first["uuid"]}])
            until_it_waits(session)
            outcome = Outcome(TaskStatus.COMPLETED, result={}, files=made)
            attempts.end_attempt(ending, claim, outcome)
            commit(ending)
            assert submitted.result(20)["status"] == "pending"


def row_of(session: Session, task: Any) -> Task:
    session.rollback()
    return session.scalars(select(Task).where(Task.uuid == task["uuid"])).one()


class TestFromTask:
    def test_evaluation_waits_for_training_and_reads_its_model(
        self,
        session: Session,
        owner_api: Api,
        experiment: Experiment,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        training = train()
        answer = evaluate(training)
        assert answer.status_code == 202, answer.text
        task = answer.json()
        assert (task["model"], task["config"]["model"]) == (None, {"from_task": training["uuid"]})
        claim = manual_worker.take()
        assert manual_worker.claim() is None
        waiting = owner_api.get(f"tasks/{task['uuid']}").json()
        assert [need["task"] for need in waiting["after"]] == [training["uuid"]]
        assert waiting["waiting"]["reason"] == f"waits for {training['name']}"
        assert {item["role"] for item in waiting["inputs"]} == {"dataset"}

        manual_worker.complete(claim, {"eval_loss": 1.2}, made)
        model = row_of(session, training).model_id
        tuned = session.get_one(Model, model)
        shown = owner_api.get(f"tasks/{task['uuid']}").json()
        assert shown["config"]["model"] == shown["model"] == str(tuned.uuid)
        assert shown["experiment"] == str(experiment.uuid)
        row = row_of(session, task)
        inputs = session.scalars(select(TaskInput).where(TaskInput.task_id == row.id)).all()
        assert {item.role for item in inputs} == {"dataset", "model", "base_model"}
        assert all(item.content_hash for item in inputs)
        assert {item.model_id for item in inputs if item.role == "model"} == {tuned.id}
        said = session.scalars(
            select(AuditLog).where(AuditLog.resource_id == task["uuid"]).order_by(AuditLog.id)
        ).all()
        assert [entry.action for entry in said] == ["task:submitted", "task:model_pinned"]
        assert said[1].details["model"] == str(tuned.uuid)
        timeline = owner_api.get(f"tasks/{task['uuid']}/timeline").json()["items"]
        assert [event["kind"] for event in timeline] == ["submitted", "model_pinned"]
        assert owner_api.delete(f"models/{tuned.uuid}").json()["code"] == "model.in_use"

        claim = manual_worker.take()
        assert set(manual_worker.inputs(claim).trees) == {"model", "base_model"}
        manual_worker.complete(claim, FIGURES)
        assert fresh(session, tuned).metrics["evaluation"]["model"]["loss"] == 1.5
        assert fresh(session, experiment).metrics["evaluation"]["task"] == task["uuid"]

    def test_evaluation_of_completed_training_pins_model_at_once(
        self,
        session: Session,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        training = train()
        manual_worker.complete(manual_worker.take(), {}, made)
        task = evaluate(training).json()
        tuned = session.get_one(Model, row_of(session, training).model_id)
        assert task["config"]["model"] == task["model"] == str(tuned.uuid)
        assert set(manual_worker.inputs(manual_worker.take()).trees) == {"model", "base_model"}

    def test_evaluation_of_a_reward_training_is_refused_before_and_after_its_end(
        self,
        session: Session,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        training = train()
        task = session.scalars(select(Task).where(Task.uuid == UUID(training["uuid"]))).one()
        own = {*SftSpec.model_fields} - {*RewardSpec.model_fields}
        task.config = {key: value for key, value in task.config.items() if key not in own} | {
            "method": "reward"
        }
        session.commit()
        answer = evaluate(training)
        assert (answer.status_code, answer.json()["code"]) == (409, "model.writes_no_text")
        manual_worker.complete(manual_worker.take(), {"eval_reward_accuracy": 0.9}, made)
        answer = evaluate(training)
        assert (answer.status_code, answer.json()["code"]) == (409, "model.writes_no_text")

    @pytest.mark.parametrize("end", ["fail", "cancel"])
    def test_evaluation_fails_with_the_training(
        self, owner_api: Api, train: Submit, evaluate: Submit, manual_worker: ManualWorker, end: str
    ) -> None:
        training = train()
        task = evaluate(training).json()
        getattr(manual_worker, end)(manual_worker.take())
        shown = owner_api.get(f"tasks/{task['uuid']}").json()
        assert shown["status"] == "failed"
        assert training["name"] in shown["error_message"]
        assert manual_worker.claim() is None
        for refused in (evaluate(training), owner_api.post(f"tasks/{task['uuid']}/retry")):
            assert (refused.status_code, refused.json()["code"]) == (409, "task.dependency_failed")

    def test_evaluation_of_training_without_model_fails(
        self,
        owner_api: Api,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        monkeypatch: Any,
    ) -> None:
        training = train()
        task = evaluate(training).json()
        monkeypatch.setattr(trainings, "conclude", lambda *_: None)
        manual_worker.complete(manual_worker.take(), {})
        assert owner_api.get(f"tasks/{training['uuid']}").json()["status"] == "completed"
        shown = owner_api.get(f"tasks/{task['uuid']}").json()
        assert shown["status"] == "failed"
        assert f"The training {training['name']} has completed" in shown["error_message"]
        assert manual_worker.claim() is None

    def test_evaluation_waits_for_other_dependencies_too(
        self,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
        owner_api: Api,
    ) -> None:
        training, other = train(), train()
        task = evaluate(training, after=[{"task": other["uuid"], "condition": "any"}]).json()
        manual_worker.complete(manual_worker.take(), {}, made)
        last = manual_worker.take()
        assert manual_worker.claim() is None
        assert owner_api.get(f"tasks/{task['uuid']}").json()["model"] is not None
        manual_worker.fail(last)
        assert str(manual_worker.take().task_uuid) == task["uuid"]

    def test_retry_of_cancelled_evaluation_waits_again(
        self,
        owner_api: Api,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        training = train()
        claim = manual_worker.take()
        cancelled = [evaluate(training).json() for _ in range(2)]
        for task in cancelled:
            assert owner_api.post(f"tasks/{task['uuid']}/cancel").status_code == 202
        first = owner_api.post(f"tasks/{cancelled[0]['uuid']}/retry").json()
        assert manual_worker.claim() is None
        manual_worker.complete(claim, {}, made)
        assert str(manual_worker.take().task_uuid) == first["uuid"]
        later = owner_api.post(f"tasks/{cancelled[1]['uuid']}/retry").json()
        assert later["model"] == owner_api.get(f"tasks/{first['uuid']}").json()["model"]
        assert set(manual_worker.inputs(manual_worker.take()).trees) == {"model", "base_model"}

    def test_retry_of_evaluation_follows_retry_of_training(
        self,
        owner_api: Api,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        training = train()
        task = evaluate(training).json()
        manual_worker.fail(manual_worker.take())
        again = owner_api.post(f"tasks/{training['uuid']}/retry").json()
        retried = owner_api.post(f"tasks/{task['uuid']}/retry").json()
        assert retried["config"]["model"] == {"from_task": again["uuid"]}
        shown = owner_api.get(f"tasks/{retried['uuid']}").json()
        assert [need["task"] for need in shown["after"]] == [again["uuid"]]
        manual_worker.complete(manual_worker.take(), {}, made)
        model = owner_api.get(f"tasks/{again['uuid']}").json()["model"]
        assert owner_api.get(f"tasks/{retried['uuid']}").json()["model"] == model
        assert str(manual_worker.take().task_uuid) == retried["uuid"]

    def test_evaluation_of_training_with_deleted_model_is_refused(
        self,
        owner_api: Api,
        train: Submit,
        evaluate: Submit,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        training = train()
        manual_worker.complete(manual_worker.take(), {}, made)
        model = owner_api.get(f"tasks/{training['uuid']}").json()["model"]
        assert owner_api.delete(f"models/{model}").status_code == 204
        answer = evaluate(training)
        assert (answer.status_code, answer.json()["code"]) == (409, "task.model_missing")

    def test_evaluation_of_other_task_is_refused(
        self, session: Session, project: Project, evaluate: Submit
    ) -> None:
        quality = make_task(session, project)
        answer = evaluate({"from_task": str(quality.uuid)})
        assert (answer.status_code, answer.json()["code"]) == (422, "task.type_makes_no_model")
        foreign = make_task(session, make_project(session), type="training")
        for uuid in (foreign.uuid, uuid4()):
            answer = evaluate({"from_task": str(uuid)})
            assert (answer.status_code, answer.json()["code"]) == (404, "resource.not_found")
            assert answer.json()["resource"] == "task"

    def test_evaluation_with_same_idempotency_key_is_queued_once(
        self, train: Submit, evaluate: Submit, project: Project
    ) -> None:
        training = train()
        answers = [evaluate(training, headers={"Idempotency-Key": "once"}) for _ in range(2)]
        assert answers[0].json()["uuid"] == answers[1].json()["uuid"]


class TestPassConditions:
    @pytest.fixture
    def tuned(
        self, train: Submit, manual_worker: ManualWorker, made: list[StoredFile], session: Session
    ) -> Model:
        training = train()
        manual_worker.complete(manual_worker.take(), {}, made)
        return session.get_one(Model, row_of(session, training).model_id)

    def test_pass_conditions_met_completes_evaluation(
        self,
        session: Session,
        owner_api: Api,
        tuned: Model,
        evaluate: Submit,
        manual_worker: ManualWorker,
    ) -> None:
        condition = {"metric": "loss", "op": "<=", "value": 1.5}
        task = evaluate(str(tuned.uuid), pass_if=[condition, "perplexity < 5"]).json()
        assert task["config"]["pass_if"] == [
            condition, {"metric": "perplexity", "op": "<", "value": 5.0},
        ]  # fmt: skip
        manual_worker.complete(manual_worker.take(), FIGURES)
        assert owner_api.get(f"tasks/{task['uuid']}").json()["status"] == "completed"
        assert fresh(session, tuned).metrics["evaluation"]["passed"] is True

    def test_pass_conditions_missed_fails_evaluation(
        self,
        session: Session,
        owner_api: Api,
        tuned: Model,
        evaluate: Submit,
        manual_worker: ManualWorker,
    ) -> None:
        task = evaluate(str(tuned.uuid), pass_if=["loss<1.5", "perplexity>2"]).json()
        manual_worker.complete(manual_worker.take(), FIGURES)
        shown = owner_api.get(f"tasks/{task['uuid']}").json()
        assert shown["status"] == "failed"
        assert shown["error_message"] == "It did not pass: loss is 1.5 and must be < 1.5."
        assert shown["result"] == FIGURES
        assert [one["outcome"] for one in shown["attempts"]] == ["failed"]
        assert manual_worker.claim(hurry=True) is None
        kept = fresh(session, tuned).metrics["evaluation"]
        assert (kept["passed"], kept["model"]["loss"]) == (False, 1.5)

    def test_task_after_failed_evaluation_does_not_start(
        self,
        owner_api: Api,
        train: Submit,
        tuned: Model,
        evaluate: Submit,
        manual_worker: ManualWorker,
    ) -> None:
        first = evaluate(str(tuned.uuid), pass_if=["loss<1"]).json()
        second = evaluate(str(tuned.uuid), after=[{"task": first["uuid"]}]).json()
        manual_worker.complete(manual_worker.take(), FIGURES)
        shown = owner_api.get(f"tasks/{second['uuid']}").json()
        assert (shown["status"], manual_worker.claim()) == ("failed", None)

    @pytest.mark.parametrize("loss", ["NaN", None])
    def test_pass_condition_on_nan_or_missing_figure_fails(
        self, owner_api: Api, tuned: Model, evaluate: Submit, manual_worker: ManualWorker, loss: Any
    ) -> None:
        task = evaluate(str(tuned.uuid), pass_if=["loss>=0"]).json()
        manual_worker.complete(
            manual_worker.take(), {"rows": 0, "model": {} if loss is None else {"loss": loss}}
        )
        shown = owner_api.get(f"tasks/{task['uuid']}").json()
        assert shown["status"] == "failed"
        assert (loss or "missing") in shown["error_message"]

    @pytest.mark.parametrize(
        "condition",
        ["loss", "loss=2", "loss<=two", "bleu>1", "loss<=nan", {"metric": "loss", "op": "<"}],
    )
    def test_invalid_pass_condition_is_refused(
        self, tuned: Model, evaluate: Submit, condition: Any
    ) -> None:
        assert evaluate(str(tuned.uuid), pass_if=[condition]).status_code == 422
