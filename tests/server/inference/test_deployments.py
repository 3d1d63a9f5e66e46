"""Tests of creating and listing deployments, and of the permissions required."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ModelStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import (
    make_deployment,
    make_member,
    make_model,
    make_project,
    make_role,
    make_user,
)
from tests.server.experiments.manual_worker import ManualWorker

Act = Callable[[User | None], Api]


class TestCreate:
    def test_created_deployment_has_a_task(
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
        asked = {"cpus": 1.0, "memory_mb": 100, "gpus": 1, "gpu_memory_mb": 0}
        assert shown["resources"] == asked

        task = session.scalars(select(Task).where(Task.uuid == shown["task"])).one()
        assert (task.type, task.name, task.model_id) == ("inference", "faq", tuned.id)
        assert task.config["precision"] == "bf16"
        assert task.scheduling.gpus == 1
        inputs = session.scalars(select(TaskInput).where(TaskInput.task_id == task.id)).all()
        assert {item.role for item in inputs} == {"model", "base_model"}
        assert all(item.content_hash for item in inputs)

    def test_shared_base_model_can_be_deployed(
        self,
        session: Session,
        deploy: Callable[..., Any],
        files: list[StoredFile],
        manual_worker: ManualWorker,
    ) -> None:
        assert deploy(model=str(make_model(session, None, files=files).uuid)).status_code == 201
        assert set(manual_worker.inputs(manual_worker.take()).trees) == {"model"}

    def test_model_of_another_project_is_not_found(
        self, session: Session, deploy: Callable[..., Any]
    ) -> None:
        foreign = make_model(session, make_project(session))
        for uuid in (foreign.uuid, uuid4()):
            answer = deploy(model=str(uuid))
            assert (answer.status_code, answer.json()["code"]) == (404, "resource.not_found")

    def test_model_that_is_not_ready_is_refused(
        self, session: Session, deploy: Callable[..., Any], project: Project
    ) -> None:
        pending = make_model(session, project, status=ModelStatus.PENDING)
        assert deploy(model=str(pending.uuid)).json()["code"] == "model.not_ready"

    @pytest.mark.parametrize(
        ("facts", "kind"),
        [({"config": {"method": "reward"}}, "a reward model"), ({"kind": "encoder"}, "an encoder")],
    )
    def test_model_that_writes_no_text_is_refused(
        self,
        session: Session,
        deploy: Callable[..., Any],
        project: Project,
        facts: dict[str, Any],
        kind: str,
    ) -> None:
        model = make_model(session, project, card={"facts": facts})
        answer = deploy(model=str(model.uuid))
        assert (answer.status_code, answer.json()["code"]) == (409, "model.writes_no_text")
        assert f"is {kind} and generates no text" in answer.json()["detail"]

    def test_name_in_use_in_the_project_is_refused(
        self, session: Session, deploy: Callable[..., Any]
    ) -> None:
        make_deployment(session, make_project(session), name="once")
        assert deploy(name="once").status_code == 201
        answer = deploy(name="once")
        assert (answer.status_code, answer.json()["code"]) == (409, "resource.name_taken")

    def test_concurrent_requests_for_one_name_create_one_deployment(
        self, deploy: Callable[..., Any]
    ) -> None:
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
    def test_invalid_fields_are_refused(
        self, deploy: Callable[..., Any], body: dict[str, Any]
    ) -> None:
        assert deploy(**body).status_code == 422

    def test_inference_task_can_not_be_submitted_directly(
        self, mine: Api, project: Project, tuned: Model
    ) -> None:
        spec = {"type": "inference", "model": str(tuned.uuid)}
        answer = mine.post(f"projects/{project.uuid}/tasks", json={"name": "t", "spec": spec})
        assert (answer.status_code, answer.json()["code"]) == (422, "task.wrong_type")


class TestWho:
    def test_deployment_of_another_project_is_not_found(
        self, session: Session, api: Act, deployment: Deployment
    ) -> None:
        stranger = api(make_user(session, role="developer"))
        assert stranger.get(f"deployments/{deployment.uuid}").status_code == 404
        assert stranger.delete(f"deployments/{deployment.uuid}").status_code == 404
        for action in ("start", "stop", "restart"):
            assert stranger.post(f"deployments/{deployment.uuid}/{action}").status_code == 404

    def test_viewer_can_read_but_not_change(
        self, session: Session, api: Act, project: Project, deployment: Deployment
    ) -> None:
        viewer = api(make_member(session, project, "viewer"))
        assert viewer.get(f"deployments/{deployment.uuid}").status_code == 200
        assert viewer.get(f"projects/{project.uuid}/deployments").status_code == 200
        assert viewer.post(f"deployments/{deployment.uuid}/stop").status_code == 403
        assert viewer.delete(f"deployments/{deployment.uuid}").status_code == 403

    def test_member_without_the_permission_is_refused(
        self, session: Session, api: Act, project: Project, deployment: Deployment
    ) -> None:
        role = make_role(session, Permission.MODELS_READ, Permission.TASKS_READ)
        member = api(make_member(session, project, role))
        assert member.get(f"deployments/{deployment.uuid}").status_code == 403

    def test_deployment_of_archived_project_can_be_stopped(
        self, session: Session, mine: Api, project: Project, deployment: Deployment
    ) -> None:
        session.execute(update(Project).where(Project.id == project.id).values(status="archived"))
        session.commit()
        assert mine.post(f"deployments/{deployment.uuid}/restart").status_code == 409
        assert mine.post(f"deployments/{deployment.uuid}/stop").status_code == 202


def test_deployments_are_listed_in_pages_and_found_by_name(
    mine: Api, project: Project, deploy: Callable[..., Any]
) -> None:
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
