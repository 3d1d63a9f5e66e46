"""Tests of updating deployments: the new server takes over, or the current one continues."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ModelStatus, TaskStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.models import User
from aiplatform.server.inference import service
from aiplatform.server.inference.models import Deployment, DeploymentRetirement
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import make_member, make_model, make_project, make_role
from tests.server.experiments.manual_worker import ManualWorker, fresh
from tests.server.inference.conftest import actions, notes

Act = Callable[[User | None], Api]


@pytest.fixture
def newer(session: Session, project: Project, files: list[StoredFile]) -> Model:
    return make_model(session, project, files=files)


@pytest.fixture
def served(deployment: Deployment, manual_worker: ManualWorker) -> Any:
    """Start a model server for a new deployment, and return the claim of the server's task."""
    claim = manual_worker.take()
    manual_worker.ready(claim, "unix:/old", "old")
    return claim


def ask(mine: Api, deployment: Deployment, model: Model) -> Any:
    return mine.post(f"deployments/{deployment.uuid}/update", json={"model": str(model.uuid)})


def drains(claim: Any) -> float | None:
    with transaction() as session:
        return service.drain_seconds(session, claim.task_id)


class TestTakeOver:
    def test_ready_update_takes_over_and_the_former_server_completes_its_answers(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
        tuned: Model,
        owner: User,
    ) -> None:
        answer = ask(mine, deployment, newer)
        assert answer.status_code == 202, answer.text
        shown = answer.json()
        assert (shown["status"], shown["model"]) == ("ready", str(tuned.uuid))
        assert shown["updating"]["model_name"] == f"{newer.name}@1"

        new = manual_worker.take()
        assert str(new.task_uuid) == shown["updating"]["task"]
        assert set(manual_worker.inputs(new).trees) == {"model"}
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.task_id) == ("ready", "unix:/old", served.task_id)

        manual_worker.ready(new, "unix:/new", "new")
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.endpoint_token) == ("ready", "unix:/new", "new")
        assert (row.task_id, row.model_id, row.next_task_id) == (new.task_id, newer.id, None)
        assert row.spec["model"] == str(newer.uuid)
        assert session.get_one(Task, served.task_id).status == TaskStatus.CANCELLING
        assert 0 < (drains(served) or 0) <= 600
        assert drains(new) is None

        manual_worker.cancel(served)
        assert fresh(session, deployment).status == "ready"
        assert session.scalar(select(func.count()).select_from(DeploymentRetirement)) == 0
        assert actions(session, deployment.uuid)[-2:] == [
            "deployment:update_requested",
            "deployment:updated",
        ]
        assert "deployment:updated" in notes(session, owner)

    def test_update_to_the_former_model_rolls_back(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
        tuned: Model,
    ) -> None:
        for model in (newer, tuned):
            assert ask(mine, deployment, model).status_code == 202
            manual_worker.ready(manual_worker.take(), f"unix:/{model.name}")
            assert fresh(session, deployment).model_id == model.id
        assert mine.get(f"deployments/{deployment.uuid}").json()["model_name"] == f"{tuned.name}@1"

    def test_update_takes_over_after_the_current_server_crashed(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
    ) -> None:
        ask(mine, deployment, newer)
        new = manual_worker.take()
        manual_worker.fail(served)
        assert fresh(session, deployment).status == "restarting"
        manual_worker.ready(new, "unix:/new")
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.restarts) == ("ready", "unix:/new", 0)
        assert manual_worker.claim(hurry=True) is None, (
            "the restart of the former server is cancelled"
        )

    def test_former_server_completes_answers_for_ten_minutes_at_most(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
    ) -> None:
        ask(mine, deployment, newer)
        manual_worker.ready(manual_worker.take())
        session.rollback()
        session.execute(
            update(DeploymentRetirement).values(
                retired_at=DeploymentRetirement.retired_at - timedelta(minutes=11)
            )
        )
        session.commit()
        assert drains(served) == 0

    @pytest.mark.parametrize("action", ["stop", "delete"])
    def test_stop_and_delete_end_the_former_server_at_once(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
        action: str,
    ) -> None:
        ask(mine, deployment, newer)
        manual_worker.ready(manual_worker.take())
        if action == "stop":
            mine.post(f"deployments/{deployment.uuid}/stop")
        else:
            mine.delete(f"deployments/{deployment.uuid}")
        assert drains(served) is None


class TestFailure:
    def test_failed_update_leaves_the_current_server_and_its_error(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
        tuned: Model,
        owner: User,
    ) -> None:
        ask(mine, deployment, newer)
        manual_worker.fail(manual_worker.take(), "the weights are broken")
        shown = mine.get(f"deployments/{deployment.uuid}").json()
        assert (shown["status"], shown["model"], shown["error"]) == (
            "ready", str(tuned.uuid), None,
        )  # fmt: skip
        assert (shown["updating"], shown["update_error"]) == (None, "the weights are broken")
        assert fresh(session, deployment).endpoint == "unix:/old"
        assert session.get_one(Task, served.task_id).status == TaskStatus.RUNNING
        assert actions(session, deployment.uuid)[-1] == "deployment:update_failed"
        assert "deployment:update_failed" in notes(session, owner)
        assert manual_worker.claim(hurry=True) is None, (
            "a failed update is not tried again by itself"
        )

        assert ask(mine, deployment, newer).json()["update_error"] is None

    def test_update_whose_worker_is_lost_continues_on_another(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
    ) -> None:
        ask(mine, deployment, newer)
        manual_worker.vanish(manual_worker.take())
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.restarts) == ("ready", "unix:/old", 0)
        manual_worker.ready(manual_worker.take(hurry=True), "unix:/new")
        assert fresh(session, deployment).endpoint == "unix:/new"

    def test_update_during_another_one_is_refused_with_its_task(
        self,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
        tuned: Model,
    ) -> None:
        first = ask(mine, deployment, newer).json()
        second = ask(mine, deployment, tuned)
        assert (second.status_code, second.json()["code"]) == (409, "deployment.updating")
        assert f"{newer.name}@1" in second.json()["detail"]
        assert first["updating"]["task"] in second.json()["detail"]

    def test_concurrent_updates_start_one(
        self, deployment: Deployment, mine: Api, served: Any, newer: Model
    ) -> None:
        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(lambda _: ask(mine, deployment, newer).status_code, range(4)))
        assert sorted(codes) == [202, 409, 409, 409]

    def test_update_is_given_up_when_its_task_is_cancelled(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
    ) -> None:
        task = ask(mine, deployment, newer).json()["updating"]["task"]
        assert mine.post(f"tasks/{task}/cancel").status_code == 202
        row = fresh(session, deployment)
        assert (row.status, row.next_task_id) == ("ready", None)
        assert row.update_error == "The update was cancelled."
        assert ask(mine, deployment, newer).status_code == 202

    def test_update_cancelled_while_its_server_starts_does_not_take_over(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
    ) -> None:
        ask(mine, deployment, newer)
        new = manual_worker.take()
        assert mine.post(f"tasks/{new.task_uuid}/cancel").status_code == 202
        manual_worker.ready(new, "unix:/new")
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.task_id) == ("ready", "unix:/old", served.task_id)
        assert session.get_one(Task, served.task_id).status == TaskStatus.RUNNING
        manual_worker.cancel(new)
        row = fresh(session, deployment)
        assert (row.status, row.task_id, row.next_task_id) == ("ready", served.task_id, None)

    def test_stop_gives_up_the_update(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        served: Any,
        newer: Model,
    ) -> None:
        ask(mine, deployment, newer)
        new = manual_worker.take()
        assert mine.post(f"deployments/{deployment.uuid}/stop").status_code == 202
        manual_worker.ready(new, "unix:/new")
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.next_task_id) == ("stopping", None, None)
        assert session.get_one(Task, new.task_id).status == TaskStatus.CANCELLING
        assert ask(mine, deployment, newer).json()["code"] == "deployment.wrong_state"

    def test_update_of_a_stopped_deployment_starts_it_with_the_new_model(
        self,
        session: Session,
        deployment: Deployment,
        manual_worker: ManualWorker,
        mine: Api,
        newer: Model,
    ) -> None:
        mine.post(f"deployments/{deployment.uuid}/stop")
        shown = ask(mine, deployment, newer).json()
        assert (shown["status"], shown["model"]) == ("starting", str(newer.uuid))
        manual_worker.ready(manual_worker.take())
        assert fresh(session, deployment).status == "ready"


class TestWho:
    def test_update_to_an_unusable_model_is_refused(
        self, session: Session, deployment: Deployment, mine: Api, project: Project
    ) -> None:
        foreign = make_model(session, make_project(session))
        assert ask(mine, deployment, foreign).status_code == 404
        pending = make_model(session, project, status=ModelStatus.PENDING)
        assert ask(mine, deployment, pending).json()["code"] == "model.not_ready"

    def test_update_by_a_member_who_may_not_read_models_is_refused(
        self, session: Session, api: Act, deployment: Deployment, project: Project, newer: Model
    ) -> None:
        role = make_role(session, Permission.INFERENCE_WRITE, Permission.INFERENCE_READ)
        member = api(make_member(session, project, role))
        answer = ask(member, deployment, newer)
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.permission_denied")

    def test_update_by_a_viewer_is_refused(
        self, session: Session, api: Act, deployment: Deployment, project: Project, newer: Model
    ) -> None:
        viewer = api(make_member(session, project, "viewer"))
        assert ask(viewer, deployment, newer).status_code == 403

    def test_model_of_a_running_update_can_not_be_deleted(
        self, deployment: Deployment, mine: Api, served: Any, newer: Model
    ) -> None:
        ask(mine, deployment, newer)
        assert mine.delete(f"models/{newer.uuid}").json()["code"] == "model.in_use"
