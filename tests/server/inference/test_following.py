"""Tests of deployments that follow an alias and are updated, without a gap, when it moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import make_member, make_model, make_role
from tests.server.experiments.manual_worker import ManualWorker, fresh
from tests.server.inference.conftest import actions

Act = Callable[[User | None], Api]
Move = Callable[..., Any]


@pytest.fixture
def newer(session: Session, project: Project, tuned: Model, files: list[StoredFile]) -> Model:
    return make_model(session, project, name=tuned.name, version="2", files=files)


@pytest.fixture
def move(mine: Api, tuned: Model) -> Move:
    """Return a function that moves the alias ``production`` of ``tuned`` to a version."""

    def move(model: Model, expected: Model | None, api: Api = mine) -> Any:
        body = {"reason": "Better.", "expected": None if expected is None else str(expected.uuid)}
        answer = api.put(f"models/{model.uuid}/aliases/production", json=body)
        assert answer.status_code == 200, answer.text
        return answer

    return move


@pytest.fixture
def following(session: Session, deploy: Callable[..., Any], tuned: Model, move: Move) -> Deployment:
    """Create a deployment that follows the alias ``production``, which points to ``tuned``."""
    move(tuned, None)
    made = deploy(model=f"{tuned.name}@production", follow=True)
    assert made.status_code == 201, made.text
    assert made.json()["follows"] == f"{tuned.name}@production"
    assert made.json()["model"] == str(tuned.uuid)
    return session.scalars(select(Deployment).where(Deployment.uuid == made.json()["uuid"])).one()


@pytest.fixture
def served(following: Deployment, manual_worker: ManualWorker) -> Any:
    claim = manual_worker.take()
    manual_worker.ready(claim, "unix:/old", "old")
    return claim


def shown(api: Api, deployment: Deployment) -> Any:
    return api.get(f"deployments/{deployment.uuid}").json()


class TestMoves:
    def test_move_updates_the_deployment_and_the_current_server_answers_until_then(
        self, session: Session, following: Deployment, served: Any, manual_worker: ManualWorker,
        mine: Api, move: Move, tuned: Model, newer: Model,
    ) -> None:  # fmt: skip
        move(newer, tuned)
        found = shown(mine, following)
        assert (found["status"], found["model"]) == ("ready", str(tuned.uuid))
        assert found["updating"]["model_name"] == f"{newer.name}@2"
        assert fresh(session, following).endpoint == "unix:/old"
        manual_worker.ready(manual_worker.take(), "unix:/new", "new")
        row = fresh(session, following)
        assert (row.status, row.endpoint, row.model_id) == ("ready", "unix:/new", newer.id)
        assert shown(mine, following)["follows"] == f"{tuned.name}@production"
        assert session.get_one(Task, served.task_id).status == TaskStatus.CANCELLING
        assert actions(session, following.uuid)[-2:] == [
            "deployment:update_requested",
            "deployment:updated",
        ]

    def test_undo_while_the_update_is_in_progress_cancels_it(
        self, session: Session, following: Deployment, served: Any, manual_worker: ManualWorker,
        mine: Api, move: Move, tuned: Model, newer: Model,
    ) -> None:  # fmt: skip
        move(newer, tuned)
        task = fresh(session, following).next_task_id
        path = f"models/{tuned.uuid}/aliases/production/undo"
        assert mine.post(path, json={"expected": str(newer.uuid)}).status_code == 200
        row = fresh(session, following)
        assert (row.status, row.next_task_id, row.model_id) == ("ready", None, tuned.id)
        assert session.get_one(Task, task).status == TaskStatus.CANCELLED

    def test_second_move_replaces_an_update_in_progress(
        self, session: Session, project: Project, following: Deployment, served: Any, move: Move,
        manual_worker: ManualWorker, tuned: Model, newer: Model, files: list[StoredFile],
    ) -> None:  # fmt: skip
        newest = make_model(session, project, name=tuned.name, version="3", files=files)
        move(newer, tuned)
        first = manual_worker.take()
        move(newest, newer)
        manual_worker.cancel(first)
        manual_worker.ready(manual_worker.take(), "unix:/newest", "newest")
        row = fresh(session, following)
        assert (row.status, row.model_id, row.update_error) == ("ready", newest.id, None)

    def test_stopped_deployment_serves_the_version_when_it_is_started(
        self, session: Session, following: Deployment, served: Any, manual_worker: ManualWorker,
        mine: Api, move: Move, tuned: Model, newer: Model,
    ) -> None:  # fmt: skip
        mine.post(f"deployments/{following.uuid}/stop")
        manual_worker.cancel(served)
        move(newer, tuned)
        found = shown(mine, following)
        assert (found["status"], found["model"]) == ("stopped", str(newer.uuid))
        mine.post(f"deployments/{following.uuid}/start")
        assert set(manual_worker.inputs(manual_worker.take()).trees) == {"model"}

    def test_version_that_can_not_be_served_leaves_the_current_one(
        self, session: Session, project: Project, following: Deployment, served: Any, mine: Api,
        move: Move, tuned: Model, files: list[StoredFile],
    ) -> None:  # fmt: skip
        card = {"facts": {"kind": "encoder"}}
        silent = make_model(session, project, name=tuned.name, version="4", files=files, card=card)
        move(silent, tuned)
        found = shown(mine, following)
        assert (found["status"], found["model"], found["updating"]) == (
            "ready", str(tuned.uuid), None,
        )  # fmt: skip
        assert "generates no text" in found["update_error"]
        assert actions(session, following.uuid)[-1] == "deployment:update_failed"

    def test_mover_needs_no_right_to_deploy_and_does_not_own_the_server(
        self, session: Session, project: Project, following: Deployment, served: Any, api: Act,
        move: Move, tuned: Model, newer: Model, owner: User,
    ) -> None:  # fmt: skip
        role = make_role(session, "models:read", "models:write")
        mover = make_member(session, project, role.name)
        move(newer, tuned, api(mover))
        task = session.get_one(Task, fresh(session, following).next_task_id)
        assert task.scheduling.created_by == owner.id


class TestChoice:
    def test_deployment_that_names_no_alias_can_not_follow(
        self, deploy: Callable[..., Any], tuned: Model
    ) -> None:
        assert deploy(follow=True).status_code == 422
        answer = deploy(model=f"{tuned.name}@1", follow=True)
        assert (answer.status_code, answer.json()["code"]) == (409, "model.not_an_alias")

    def test_update_by_hand_ends_following(
        self, session: Session, following: Deployment, served: Any, manual_worker: ManualWorker,
        mine: Api, move: Move, tuned: Model, newer: Model,
    ) -> None:  # fmt: skip
        path = f"deployments/{following.uuid}/update"
        assert mine.post(path, json={"model": str(newer.uuid)}).json()["follows"] is None
        manual_worker.ready(manual_worker.take(), "unix:/new", "new")
        move(newer, tuned)
        move(tuned, newer)
        assert shown(mine, following)["updating"] is None
        body = {"model": f"{tuned.name}@production", "follow": True}
        found = mine.post(path, json=body).json()
        assert found["follows"] == f"{tuned.name}@production"
        assert found["updating"]["model"] == str(tuned.uuid)

    def test_following_what_is_served_already_starts_no_server(
        self, session: Session, deployment: Deployment, manual_worker: ManualWorker, mine: Api,
        move: Move, tuned: Model,
    ) -> None:  # fmt: skip
        manual_worker.ready(manual_worker.take(), "unix:/old", "old")
        move(tuned, None)
        body = {"model": f"{tuned.name}@production", "follow": True}
        found = mine.post(f"deployments/{deployment.uuid}/update", json=body).json()
        assert (found["follows"], found["updating"]) == (f"{tuned.name}@production", None)

    def test_deleted_alias_leaves_the_deployment_as_it_is(
        self, following: Deployment, served: Any, mine: Api, tuned: Model
    ) -> None:
        path = f"models/{tuned.uuid}/aliases/production"
        assert mine.delete(path).status_code == 204
        found = shown(mine, following)
        assert (found["status"], found["model"]) == ("ready", str(tuned.uuid))
