"""Deployments, from the request to the queue and back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ModelStatus, TaskStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.registry.models import Model
from aiplatform.server.tasks.models import Task, TaskInput
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_deployment,
    make_member,
    make_model,
    make_project,
    make_role,
    make_user,
    number,
)
from tests.server.experiments.hand import Hand, fresh

Act = Callable[[User | None], Api]


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def owner(session: Session, project: Project) -> User:
    return session.get_one(User, project.owner_id)


@pytest.fixture
def mine(api: Act, owner: User) -> Api:
    return api(owner)


@pytest.fixture
def files(session: Session, tmp_path: Any) -> list[StoredFile]:
    return [make_blob(session, b"weights", "weights/model.safetensors", tmp_path)]


@pytest.fixture
def tuned(session: Session, project: Project, files: list[StoredFile]) -> Model:
    base = make_model(session, None, files=files)
    return make_model(session, project, files=files, base_model_id=base.id)


@pytest.fixture
def hand(client: Any) -> Hand:
    return Hand(f"queue{number()}")


@pytest.fixture
def deploy(mine: Api, project: Project, tuned: Model, hand: Hand) -> Callable[..., Any]:
    """``deploy()`` creates a deployment over HTTP; only ``hand`` takes its tasks."""

    def make(**body: Any) -> Any:
        body = {
            "name": f"d{number()}",
            "model": str(tuned.uuid),
            "queue": hand.queue,
            **body,
        }
        return mine.post(f"projects/{project.uuid}/deployments", json=body)

    return make


@pytest.fixture
def deployment(session: Session, deploy: Callable[..., Any]) -> Deployment:
    uuid = deploy().json()["uuid"]
    return session.scalars(select(Deployment).where(Deployment.uuid == uuid)).one()


def actions(session: Session, uuid: UUID) -> list[str]:
    """What the audit says was done to a deployment."""
    statement = select(AuditLog.action).where(AuditLog.resource_id == str(uuid))
    return list(session.scalars(statement.order_by(AuditLog.id)))


def notes(session: Session, user: User) -> list[str]:
    """The kinds of notifications in a user's inbox."""
    statement = select(Notification.type).where(Notification.user_id == user.id)
    return list(session.scalars(statement.order_by(Notification.id)))


class TestCreate:
    def test_a_row_and_its_task(
        self, session: Session, deploy: Callable[..., Any], project: Project, tuned: Model
    ) -> None:
        answer = deploy(
            name="faq",
            options={"max_length": 512, "precision": "bf16"},
            resources={"cpus": 1, "memory_mb": 100, "gpus": 1},
        )
        assert answer.status_code == 201, answer.text
        shown = answer.json()
        assert shown["name"] == "faq"
        assert shown["project"] == str(project.uuid)
        assert shown["model"] == str(tuned.uuid)
        assert shown["model_name"] == f"{tuned.name}@1"
        assert (shown["status"], shown["restarts"], shown["error"]) == ("starting", 0, None)
        assert shown["options"]["max_length"] == 512
        assert shown["resources"] == {"cpus": 1.0, "memory_mb": 100, "gpus": 1}

        task = session.scalars(select(Task).where(Task.uuid == shown["task"])).one()
        assert (task.type, task.name, task.model_id) == ("inference", "faq", tuned.id)
        assert task.config["precision"] == "bf16"
        assert task.scheduling.gpus == 1
        inputs = session.scalars(select(TaskInput).where(TaskInput.task_id == task.id)).all()
        assert {item.role for item in inputs} == {"model", "base_model"}
        assert all(item.content_hash for item in inputs)

    def test_a_shared_model(
        self, session: Session, deploy: Callable[..., Any], files: list[StoredFile], hand: Hand
    ) -> None:
        assert deploy(model=str(make_model(session, None, files=files).uuid)).status_code == 201
        assert set(hand.inputs(hand.take()).trees) == {"model"}

    def test_anothers_model_does_not_exist(
        self, session: Session, deploy: Callable[..., Any]
    ) -> None:
        foreign = make_model(session, make_project(session))
        for uuid in (foreign.uuid, uuid4()):
            answer = deploy(model=str(uuid))
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    def test_a_model_that_is_not_ready(
        self, session: Session, deploy: Callable[..., Any], project: Project
    ) -> None:
        pending = make_model(session, project, status=ModelStatus.PENDING)
        assert deploy(model=str(pending.uuid)).json()["code"] == "model.not_ready"

    def test_a_name_is_used_once_in_a_project(
        self, session: Session, deploy: Callable[..., Any]
    ) -> None:
        make_deployment(session, make_project(session), name="once")
        assert deploy(name="once").status_code == 201
        answer = deploy(name="once")
        assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")

    def test_of_two_at_a_time_one_wins(self, deploy: Callable[..., Any]) -> None:
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: deploy(name="race"), range(4)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "with space"},
            {"name": "a:base"},
            {"name": ""},
            {"options": {"max_lenght": 3}},
            {"options": {"engine": "magic"}},
            {"resources": {"gpus": -1}},
        ],
    )
    def test_what_makes_no_sense(self, deploy: Callable[..., Any], body: dict[str, Any]) -> None:
        assert deploy(**body).status_code == 422

    def test_not_through_the_tasks(self, mine: Api, project: Project, tuned: Model) -> None:
        spec = {"type": "inference", "model": str(tuned.uuid)}
        answer = mine.post(f"projects/{project.uuid}/tasks", json={"name": "t", "spec": spec})
        assert (answer.status_code, answer.json()["code"]) == (422, "wrong_task_type")


class TestWho:
    def test_foreign_ones_do_not_exist(
        self, session: Session, api: Act, deployment: Deployment
    ) -> None:
        stranger = api(make_user(session, role="developer"))
        assert stranger.get(f"deployments/{deployment.uuid}").status_code == 404
        assert stranger.delete(f"deployments/{deployment.uuid}").status_code == 404
        for action in ("start", "stop", "restart"):
            assert stranger.post(f"deployments/{deployment.uuid}/{action}").status_code == 404

    def test_viewers_look_on(
        self, session: Session, api: Act, project: Project, deployment: Deployment
    ) -> None:
        viewer = api(make_member(session, project, "viewer"))
        assert viewer.get(f"deployments/{deployment.uuid}").status_code == 200
        assert viewer.get(f"projects/{project.uuid}/deployments").status_code == 200
        assert viewer.post(f"deployments/{deployment.uuid}/stop").status_code == 403
        assert viewer.delete(f"deployments/{deployment.uuid}").status_code == 403

    def test_readers_of_other_things_do_not(
        self, session: Session, api: Act, project: Project, deployment: Deployment
    ) -> None:
        role = make_role(session, Permission.MODELS_READ, Permission.TASKS_READ)
        member = api(make_member(session, project, role))
        assert member.get(f"deployments/{deployment.uuid}").status_code == 403

    def test_archived_projects_can_be_quietened(
        self, session: Session, mine: Api, project: Project, deployment: Deployment
    ) -> None:
        session.execute(update(Project).where(Project.id == project.id).values(status="archived"))
        session.commit()
        assert mine.post(f"deployments/{deployment.uuid}/restart").status_code == 409
        assert mine.post(f"deployments/{deployment.uuid}/stop").status_code == 202


def test_list(mine: Api, project: Project, deploy: Callable[..., Any]) -> None:
    made = [deploy().json()["name"] for _ in range(3)]
    first = mine.get(f"projects/{project.uuid}/deployments?limit=2").json()
    second = mine.get(
        f"projects/{project.uuid}/deployments", params={"cursor": first["next_cursor"]}
    ).json()
    names = [item["name"] for item in first["items"] + second["items"]]
    assert names == made[::-1]
    assert second["next_cursor"] is None
    found = mine.get(f"projects/{project.uuid}/deployments", params={"name": made[1]}).json()
    assert [item["name"] for item in found["items"]] == [made[1]]


class TestLife:
    def test_ready(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api, owner: User
    ) -> None:
        claim = hand.take()
        trees = hand.inputs(claim).trees
        assert set(trees) == {"model", "base_model"}
        assert trees["model"][0].path == "weights/model.safetensors"
        hand.ready(claim, "unix:/here", "secret")

        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.endpoint_token) == ("ready", "unix:/here", "secret")
        assert "secret" not in mine.get(f"deployments/{deployment.uuid}").text
        assert actions(session, deployment.uuid) == ["deployment:created", "deployment:ready"]
        assert "deployment_ready" in notes(session, owner)

    def test_stop_and_start(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        claim = hand.take()
        hand.ready(claim)
        stopped = mine.post(f"deployments/{deployment.uuid}/stop")
        assert (stopped.status_code, stopped.json()["status"]) == (202, "stopping")
        assert fresh(session, deployment).endpoint is None
        assert session.get_one(Task, claim.task_id).status == TaskStatus.CANCELLING
        assert mine.post(f"deployments/{deployment.uuid}/stop").status_code == 409
        hand.cancel(claim)
        assert fresh(session, deployment).status == "stopped"

        started = mine.post(f"deployments/{deployment.uuid}/start").json()
        assert started["status"] == "starting"
        second = hand.take()
        assert second.task_id != claim.task_id
        hand.ready(second)
        assert fresh(session, deployment).status == "ready"
        conflict = mine.post(f"deployments/{deployment.uuid}/start")
        assert (conflict.status_code, conflict.json()["code"]) == (409, "deployment_state")
        assert actions(session, deployment.uuid) == [
            "deployment:created",
            "deployment:ready",
            "deployment:stopped",
            "deployment:started",
            "deployment:ready",
        ]

    def test_stop_before_it_runs(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        stopped = mine.post(f"deployments/{deployment.uuid}/stop").json()
        assert stopped["status"] == "stopped"
        assert hand.claim() is None
        assert session.get_one(Task, deployment.task_id).status == TaskStatus.CANCELLED

    def test_what_stops_is_not_ready_any_more(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        claim = hand.take()
        mine.post(f"deployments/{deployment.uuid}/stop")
        hand.ready(claim)
        row = fresh(session, deployment)
        assert (row.status, row.endpoint) == ("stopping", None)

    def test_a_crash_while_stopping_is_a_stop(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        claim = hand.take()
        mine.post(f"deployments/{deployment.uuid}/stop")
        hand.fail(claim)
        assert fresh(session, deployment).status == "stopped"
        assert hand.claim(hurry=True) is None

    def test_a_lost_worker(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        claim = hand.take()
        hand.ready(claim)
        hand.vanish(claim)
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.endpoint) == ("restarting", 1, None)
        again = hand.take()
        assert again.task_id == claim.task_id
        assert fresh(session, deployment).status == "starting"
        hand.ready(again)
        assert fresh(session, deployment).status == "ready"

    def test_cancelled_through_its_task(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        claim = hand.take()
        hand.ready(claim)
        mine.post(f"tasks/{claim.task_uuid}/cancel")
        hand.cancel(claim)
        assert fresh(session, deployment).status == "stopped"
        assert actions(session, deployment.uuid)[-1] == "deployment:stopped"

    def test_restart_replaces_the_server(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        old = hand.take()
        hand.ready(old, "unix:/old")
        answer = mine.post(f"deployments/{deployment.uuid}/restart").json()
        assert (answer["status"], answer["restarts"]) == ("restarting", 0)
        new = hand.take()
        assert new.task_id != old.task_id
        hand.ready(new, "unix:/new")
        hand.cancel(old)
        row = fresh(session, deployment)
        assert (row.status, row.endpoint, row.task_id) == ("ready", "unix:/new", new.task_id)

    def test_restart_starts_what_is_down(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        mine.post(f"deployments/{deployment.uuid}/stop")
        assert mine.post(f"deployments/{deployment.uuid}/restart").json()["status"] == "starting"
        hand.ready(hand.take())
        assert fresh(session, deployment).status == "ready"

    def test_delete(self, session: Session, deployment: Deployment, hand: Hand, mine: Api) -> None:
        claim = hand.take()
        hand.ready(claim)
        uuid = deployment.uuid
        assert mine.delete(f"deployments/{uuid}").status_code == 204
        assert mine.get(f"deployments/{uuid}").status_code == 404
        session.rollback()
        assert session.get_one(Task, claim.task_id).status == TaskStatus.CANCELLING
        hand.cancel(claim)
        assert actions(session, uuid)[-1] == "deployment:deleted"

    def test_a_deleted_model_starts_no_more(
        self, session: Session, deployment: Deployment, mine: Api, tuned: Model
    ) -> None:
        assert mine.delete(f"models/{tuned.uuid}").json()["code"] == "model.in_use"
        mine.post(f"deployments/{deployment.uuid}/stop")
        assert mine.delete(f"models/{tuned.uuid}").status_code == 204
        shown = mine.get(f"deployments/{deployment.uuid}").json()
        assert shown["model"] is None
        answer = mine.post(f"deployments/{deployment.uuid}/start")
        assert (answer.status_code, answer.json()["code"]) == (409, "deployed_model_gone")


class TestCrashes:
    def test_it_is_started_again_after_a_while(
        self, session: Session, deployment: Deployment, hand: Hand
    ) -> None:
        claim = hand.take()
        hand.ready(claim)
        hand.fail(claim, "out of memory")
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.error) == ("restarting", 1, "out of memory")
        assert row.endpoint is None
        task = session.get_one(Task, row.task_id)
        assert task.id != claim.task_id
        assert task.scheduling.created_by == deployment.created_by
        wait = task.scheduling.not_before - task.created_at
        assert timedelta(seconds=0.9) < wait < timedelta(seconds=1.1)
        assert hand.claim() is None

        hand.ready(hand.take(hurry=True))
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.error) == ("ready", 1, None)

    def test_it_is_given_up_in_the_end(
        self, session: Session, deployment: Deployment, hand: Hand, owner: User, mine: Api
    ) -> None:
        for crash in range(5):
            assert fresh(session, deployment).status != "crashed", crash
            hand.fail(hand.take(hurry=True), f"crash {crash}")
        row = fresh(session, deployment)
        assert (row.status, row.restarts, row.error) == ("crashed", 4, "crash 4")
        assert hand.claim(hurry=True) is None
        assert actions(session, deployment.uuid).count("deployment:crashed") == 5
        assert notes(session, owner).count("deployment_crashed") == 1

        # Started by hand, it has all its chances again.
        assert mine.post(f"deployments/{deployment.uuid}/start").json()["restarts"] == 0
        hand.fail(hand.take(hurry=True))
        assert fresh(session, deployment).status == "restarting"

    def test_crashes_of_long_ago_do_not_count(
        self, session: Session, deployment: Deployment, hand: Hand
    ) -> None:
        for _ in range(4):
            hand.fail(hand.take(hurry=True))
        session.execute(
            update(Task)
            .where(Task.status == "failed", Task.name == deployment.name)
            .values(completed_at=Task.completed_at - timedelta(minutes=11))
        )
        session.commit()
        hand.fail(hand.take(hurry=True))
        row = fresh(session, deployment)
        assert (row.status, row.restarts) == ("restarting", 5)

    def test_stop_ends_the_waiting(
        self, session: Session, deployment: Deployment, hand: Hand, mine: Api
    ) -> None:
        hand.fail(hand.take())
        assert mine.post(f"deployments/{deployment.uuid}/stop").json()["status"] == "stopped"
        assert hand.claim(hurry=True) is None
