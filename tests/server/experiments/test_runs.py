"""Tests of runs and evaluations, from the submission to the registered model."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.experiments import queries
from aiplatform.server.experiments.models import Experiment
from aiplatform.server.experiments.service.trainings import NoModelProduced
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.registry.models import Model, ModelDetails
from tests.conftest import Api
from tests.factories import make_model, make_project, make_version
from tests.server.experiments.manual_worker import ManualWorker, fresh, until_it_waits

Create = Callable[..., Any]
Rows = Callable[[str], StoredFile]
RESULT = {
    "train_loss_first": 3.0,
    "train_loss_last": 1.5,
    "eval_loss": 1.2,
    "perplexity": 3.32,
    "steps": 10,
    "versions": {"torch": "2.13"},
}


@pytest.fixture
def experiment(session: Session, create: Create) -> Experiment:
    uuid = create().json()["uuid"]
    return session.scalars(select(Experiment).where(Experiment.uuid == uuid)).one()


@pytest.fixture
def run(owner_api: Api, experiment: Experiment) -> Callable[..., Any]:
    """Return a function that queues a training task over HTTP."""

    def start(**body: Any) -> Any:
        answer = owner_api.post(f"experiments/{experiment.uuid}/runs", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    return start


class TestSubmission:
    def test_run_pins_dataset_versions(
        self,
        session: Session,
        experiment: Experiment,
        run: Callable[..., Any],
        dataset: Dataset,
        held_out: Dataset,
        base: Model,
        rows: Rows,
        manual_worker: ManualWorker,
    ) -> None:
        newer = make_version(session, dataset, version="v2", file=rows("two"))
        task = run(priority=9)
        assert task["config"]["dataset"]["version"] == "v2"
        assert task["config"]["eval_dataset"]["version"] == "v1"
        assert (task["type"], task["priority"]) == ("training", 9)
        assert (task["name"], task["experiment"]) == ("an experiment #1", str(experiment.uuid))
        assert run(name="mine")["name"] == "mine"
        assert run()["name"] == "an experiment #3"
        assert fresh(session, experiment).config["dataset"]["version"] is None

        row = session.scalars(select(Task).where(Task.uuid == task["uuid"])).one()
        found = session.scalars(select(TaskInput).where(TaskInput.task_id == row.id))
        inputs = {item.role: item for item in found}
        assert set(inputs) == {"base_model", "dataset", "eval_dataset"}
        assert inputs["dataset"].dataset_version_id == newer.id
        assert inputs["dataset"].content_hash == newer.file_hash
        assert inputs["dataset"].label == f"{dataset.name}@v2"
        assert inputs["base_model"].label == f"{base.name}@1"

        laid_out = manual_worker.inputs(manual_worker.take())
        assert laid_out.single["dataset"].sha256 == newer.file_hash
        assert set(laid_out.single) == {"dataset", "eval_dataset"}
        assert [f.path for f in laid_out.trees["base_model"]] == ["weights/model.safetensors"]

    def test_run_without_held_out_rows(
        self, create: Create, owner_api: Api, manual_worker: ManualWorker
    ) -> None:
        uuid = create(eval_dataset=None).json()["uuid"]
        assert owner_api.post(f"experiments/{uuid}/runs").status_code == 202
        assert set(manual_worker.inputs(manual_worker.take()).single) == {"dataset"}

    def test_run_with_deleted_base_model_is_not_found(
        self, session: Session, experiment: Experiment, owner_api: Api, base: Model
    ) -> None:
        session.execute(delete(Model).where(Model.id == base.id))
        session.commit()
        assert owner_api.post(f"experiments/{experiment.uuid}/runs").status_code == 404

    def test_training_submitted_as_task_is_refused(
        self, owner_api: Api, project: Project, config: dict[str, Any]
    ) -> None:
        body = {"name": "t", "spec": {"type": "training", **config}}
        answer = owner_api.post(f"projects/{project.uuid}/tasks", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "task.wrong_type")

    def test_runs_are_listed_newest_first(
        self, owner_api: Api, experiment: Experiment, run: Any
    ) -> None:
        made = [run()["uuid"] for _ in range(3)]
        path = f"experiments/{experiment.uuid}/runs"
        first = owner_api.get(path, params={"limit": 2}).json()
        second = owner_api.get(path, params={"cursor": first["next_cursor"]}).json()
        assert [t["uuid"] for t in first["items"] + second["items"]] == made[::-1]


class TestStatus:
    def test_status_follows_the_run(
        self, session: Session, experiment: Experiment, run: Any, manual_worker: ManualWorker
    ) -> None:
        run()
        assert fresh(session, experiment).status == "pending"
        claim = manual_worker.take()
        assert fresh(session, experiment).status == "running"
        manual_worker.vanish(claim)
        assert fresh(session, experiment).status == "pending"
        manual_worker.fail(manual_worker.take())
        assert fresh(session, experiment).status == "failed"
        assert experiment.metrics == {}

    def test_status_after_cancelled_run_is_cancelled(
        self,
        session: Session,
        experiment: Experiment,
        run: Any,
        manual_worker: ManualWorker,
        owner_api: Api,
    ) -> None:
        owner_api.post(f"tasks/{run()['uuid']}/cancel")
        assert fresh(session, experiment).status == "cancelled"

    def test_status_is_that_of_the_latest_run(
        self, session: Session, experiment: Experiment, run: Any, manual_worker: ManualWorker
    ) -> None:
        run(priority=9)
        run()
        first = manual_worker.take()
        assert fresh(session, experiment).status == "pending"
        second = manual_worker.take()
        manual_worker.fail(first)
        assert fresh(session, experiment).status == "running"
        manual_worker.cancel(second)
        assert fresh(session, experiment).status == "cancelled"

    def test_status_when_older_run_starts_during_submission_stays_pending(
        self,
        session: Session,
        project: Project,
        experiment: Experiment,
        run: Any,
        manual_worker: ManualWorker,
    ) -> None:
        """Check that a starting run looks up the newest run only after locking the experiment."""
        run()
        with ThreadPoolExecutor() as pool, transaction() as submitting:
            queries.lock_experiment_by_id(submitting, experiment.id)
            submitting.add(
                Task(
                    project_id=project.id,
                    experiment_id=experiment.id,
                    name="newer",
                    type="training",
                    status="pending",
                )
            )
            submitting.flush()
            started = pool.submit(manual_worker.take)
            until_it_waits(session)
            commit(submitting)
            started.result(20)
        assert fresh(session, experiment).status == "pending"


class TestRegistration:
    def test_completed_run_registers_model(
        self,
        session: Session,
        experiment: Experiment,
        run: Any,
        manual_worker: ManualWorker,
        owner_api: Api,
        owner: User,
        project: Project,
        dataset: Dataset,
        base: Model,
        made: list[StoredFile],
    ) -> None:
        task = run()
        manual_worker.complete(manual_worker.take(), RESULT, made)

        shown = owner_api.get(f"tasks/{task['uuid']}").json()
        model = owner_api.get(f"models/{shown['model']}").json()
        assert (model["name"], model["version"], model["status"]) == ("faq", "1", "ready")
        assert model["license"] == "apache-2.0"
        assert model["experiment"] == str(experiment.uuid)
        assert model["metrics"]["training"]["eval_loss"] == 1.2
        files = owner_api.get(f"models/{shown['model']}/files").json()["items"]
        assert {file["path"] for file in files} == {file.path for file in made}

        row = session.scalars(select(Model).where(Model.uuid == shown["model"])).one()
        assert row.project_id == project.id
        details = session.get_one(ModelDetails, row.id)
        assert details.base_model_id == base.id
        assert details.created_by == owner.id
        card = details.card["facts"]
        assert card["dataset"]["label"] == f"{dataset.name}@v1"
        assert len(card["dataset"]["sha256"]) == 64
        assert card["base_model"]["label"] == f"{base.name}@1"
        assert card["config"]["dataset"]["version"] == "v1"
        assert card["metrics"]["train_loss_last"] == 1.5
        assert card["versions"] == {"torch": "2.13"}

        metrics = fresh(session, experiment).metrics
        assert experiment.status == "completed"
        assert (metrics["task"], metrics["model"]) == (task["uuid"], shown["model"])
        assert metrics["eval_loss"] == 1.2
        assert len(metrics["runs"]) == 1
        log = session.scalars(select(AuditLog).where(AuditLog.resource_id == shown["model"])).one()
        assert log.action == "model:registered"
        kinds = session.scalars(select(Notification.type).where(Notification.user_id == owner.id))
        assert list(kinds) == ["model:registered"]

    def test_several_runs_count_versions_and_keep_best_figures(
        self,
        session: Session,
        experiment: Experiment,
        run: Any,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        names = []
        for loss in (1.2, math.nan, 0.9, 1.1):
            names.append(run()["uuid"])
            manual_worker.complete(manual_worker.take(), {**RESULT, "eval_loss": loss}, made)
        metrics = fresh(session, experiment).metrics
        assert (metrics["task"], metrics["eval_loss"]) == (names[2], 0.9)
        assert [r["task"] for r in metrics["runs"]] == names
        assert metrics["runs"][1]["eval_loss"] == "NaN"
        models = session.scalars(
            select(Model.version)
            .where(Model.name == "faq", Model.project_id == experiment.project_id)
            .order_by(Model.id)
        )
        assert list(models) == ["1", "2", "3", "4"]

    def test_completed_run_without_weights_is_refused(
        self, session: Session, experiment: Experiment, run: Any, manual_worker: ManualWorker
    ) -> None:
        task = run()
        with pytest.raises(NoModelProduced):
            manual_worker.complete(manual_worker.take(), RESULT, [])
        session.rollback()
        row = session.scalars(select(Task).where(Task.uuid == task["uuid"])).one()
        assert (row.status, row.model_id) == ("running", None)

    def test_run_of_deleted_project_registers_no_model(
        self,
        session: Session,
        project: Project,
        run: Any,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> None:
        """Check that no model without a project is created, because all projects would share it."""
        run()
        claim = manual_worker.take()
        before = set(session.scalars(select(Model.id)))
        session.execute(delete(Project).where(Project.id == project.id))
        session.commit()
        manual_worker.complete(claim, RESULT, made)
        session.rollback()
        assert set(session.scalars(select(Model.id))) <= before


class TestEvaluation:
    @pytest.fixture
    def tuned(
        self,
        session: Session,
        run: Any,
        manual_worker: ManualWorker,
        made: list[StoredFile],
    ) -> Model:
        task = run()
        manual_worker.complete(manual_worker.take(), RESULT, made)
        session.rollback()
        statement = select(Model).join(Task, Task.model_id == Model.id)
        return session.scalars(statement.where(Task.uuid == task["uuid"])).one()

    @pytest.fixture
    def evaluate(
        self, owner_api: Api, project: Project, held_out: Dataset, manual_worker: ManualWorker
    ) -> Any:
        def submit(model: Model, **spec: Any) -> Any:
            body = {
                "name": "evaluate",
                "spec": {
                    "type": "evaluation",
                    "model": str(model.uuid),
                    "dataset": {"dataset": str(held_out.uuid)},
                    "queue": manual_worker.queue,
                    **spec,
                },
            }
            return owner_api.post(f"projects/{project.uuid}/tasks", json=body)

        return submit

    def test_evaluation_is_stored_with_model_and_experiment(
        self,
        session: Session,
        experiment: Experiment,
        tuned: Model,
        evaluate: Any,
        held_out: Dataset,
        manual_worker: ManualWorker,
    ) -> None:
        answer = evaluate(tuned)
        assert answer.status_code == 202, answer.text
        task = answer.json()
        assert task["config"]["dataset"]["version"] == "v1"
        assert (task["model"], task["experiment"]) == (str(tuned.uuid), str(experiment.uuid))
        claim = manual_worker.take()
        laid_out = manual_worker.inputs(claim)
        assert set(laid_out.trees) == {"model", "base_model"}
        assert set(laid_out.single) == {"dataset"}
        assert fresh(session, experiment).status == "completed"
        result = {
            "rows": 4,
            "tokens": 40,
            "base": {"loss": 3.0, "perplexity": 20.0},
            "model": {"loss": 1.0, "perplexity": 2.7},
            "answers": [{"question": "q", "expected": "e", "base": "b", "model": "m"}],
        }
        manual_worker.complete(claim, result)

        kept = fresh(session, tuned).metrics["evaluation"]
        assert kept["base"]["perplexity"] == 20.0
        assert kept["model"]["loss"] == 1.0
        assert kept["dataset"] == f"{held_out.name}@v1"
        assert kept["task"] == task["uuid"]
        assert "answers" not in kept
        assert tuned.metrics["training"]["eval_loss"] == 1.2
        metrics = fresh(session, experiment).metrics
        assert metrics["evaluation"] == metrics["runs"][0]["evaluation"] == kept

    def test_evaluation_of_shared_model_is_stored_with_task_only(
        self,
        session: Session,
        base: Model,
        evaluate: Any,
        manual_worker: ManualWorker,
        owner_api: Api,
    ) -> None:
        task = evaluate(base).json()
        claim = manual_worker.take()
        assert set(manual_worker.inputs(claim).trees) == {"model"}
        manual_worker.complete(claim, {"rows": 4, "model": {"loss": 1.0}})
        assert fresh(session, base).metrics == {}
        assert owner_api.get(f"tasks/{task['uuid']}").json()["result"]["rows"] == 4

    def test_failed_evaluation_is_not_stored(
        self,
        session: Session,
        tuned: Model,
        evaluate: Any,
        manual_worker: ManualWorker,
        experiment: Experiment,
    ) -> None:
        evaluate(tuned)
        manual_worker.fail(manual_worker.take())
        assert "evaluation" not in fresh(session, tuned).metrics
        assert fresh(session, experiment).status == "completed"

    def test_evaluation_of_model_of_other_project_is_not_found(
        self, session: Session, tuned: Model, evaluate: Any
    ) -> None:
        foreign = make_model(session, make_project(session))
        assert evaluate(foreign).status_code == 404
        assert evaluate(tuned, dataset={"dataset": str(foreign.uuid)}).status_code == 404
        assert evaluate(tuned, max_rows=0).status_code == 422
