"""Tests of deleted projects: nobody can access them; they are restored or purged as a whole."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import BinHome, Project
from tests.conftest import Api
from tests.factories import (
    make_binned_dataset,
    make_binned_project,
    make_blob,
    make_dataset,
    make_deployment,
    make_member,
    make_model,
    make_project,
    make_rows,
    make_task,
    make_user,
    make_version,
    references,
)
from tests.openapi_checks import CheckedClient
from tests.server.projects.conftest import Act, audit_entries

pytestmark = pytest.mark.usefixtures("client")


class TestProjects:
    def test_deleted_project_is_hidden_from_everybody(
        self, session: Session, mine: Api, admin: Api, api: Act, project: Project, home: Path
    ) -> None:
        member = api(make_member(session, project, "developer"))
        dataset = make_dataset(session, project)
        make_version(session, dataset, file=make_rows(session, home))
        model = make_model(session, project)
        task = make_task(session, project, status=TaskStatus.COMPLETED)
        deployment = make_deployment(session, project, model, status=DeploymentStatus.READY)
        assert mine.delete(f"projects/{project.uuid}").status_code == 204
        chat = {"model": str(deployment.uuid), "messages": [{"role": "user", "content": "Hi"}]}
        for who in (mine, admin, member):
            for path in (
                f"projects/{project.uuid}", f"projects/{project.uuid}/bin",
                f"projects/{project.uuid}/usage", f"projects/{project.uuid}/members",
                f"datasets/{dataset.uuid}", f"models/{model.uuid}", f"tasks/{task.uuid}",
                f"deployments/{deployment.uuid}", f"datasets/{dataset.uuid}/versions/v1/rows",
            ):  # fmt: skip
                assert who.get(path).status_code == 404, path
            assert who.request("POST", "//v1/chat/completions", json=chat).status_code == 404
            listed = who.get("projects", params={"limit": 500}).json()["items"]
            assert str(project.uuid) not in {item["uuid"] for item in listed}
            models = who.get("models", params={"limit": 500}).json()["items"]
            assert str(model.uuid) not in {item["uuid"] for item in models}
            served = who.request("GET", "//v1/models").json()["data"]
            assert deployment.name not in {item["id"] for item in served}

    def test_restored_project_has_everything_except_running_tasks(
        self, session: Session, mine: Api, api: Act, owner: User
    ) -> None:
        project = make_project(session, owner, status="archived")
        member = make_member(session, project, "viewer")
        dataset = make_dataset(session, project)
        waiting = make_task(session, project)
        running = make_task(session, project, status=TaskStatus.RUNNING)
        mine.delete(f"projects/{project.uuid}")
        for task, status in ((waiting, "cancelled"), (running, "cancelling")):
            session.refresh(task)
            assert task.status == status
        listed = mine.get("bin").json()["items"]
        assert [item["name"] for item in listed] == [project.name]
        # In the meantime, another project can use the name.
        assert mine.post("projects", json={"name": project.name}).status_code == 201
        restored = mine.post(f"bin/{project.uuid}/restore").json()
        assert restored["name"] == f"{project.name}-restored"
        shown = mine.get(f"projects/{project.uuid}").json()
        assert (shown["status"], shown["name"]) == ("archived", restored["name"])
        assert api(member).get(f"datasets/{dataset.uuid}").status_code == 200
        assert mine.get(f"tasks/{waiting.uuid}").json()["status"] == "cancelled"
        assert len(audit_entries(session, "project:restored", project.uuid)) == 1

    def test_only_holders_of_all_permissions_see_and_restore_it(
        self, session: Session, api: Act, project: Project, admin: Api
    ) -> None:
        gone = make_binned_project(session, project)
        makers = {role: make_member(session, gone, role) for role in ("viewer", "developer")}
        for role, user in makers.items():
            assert api(user).get("bin").json()["items"] == [], role
            refused = api(user).post(f"bin/{gone.uuid}/restore")
            assert refused.status_code == 403, role
        outsider = api(make_user(session))
        assert outsider.get("bin").json()["items"] == []
        for method, path in (("POST", f"bin/{gone.uuid}/restore"), ("DELETE", f"bin/{gone.uuid}")):
            assert outsider.request(method, path).status_code == 404
        listed = admin.get("bin", params={"limit": 500}).json()["items"]
        assert str(gone.uuid) in {item["uuid"] for item in listed}
        in_charge = api(make_member(session, gone, "admin"))
        assert [item["uuid"] for item in in_charge.get("bin").json()["items"]] == [str(gone.uuid)]
        assert in_charge.post(f"bin/{gone.uuid}/restore").status_code == 200

    def test_key_lists_only_deleted_projects_in_its_scope(
        self, session: Session, api: Act, client: CheckedClient, owner: User
    ) -> None:
        first, second = make_project(session, owner), make_project(session, owner)
        keys = []
        for scopes, bound in (
            (["projects:read"], None),
            (["projects:read"], str(first.uuid)),
            (["datasets:read"], None),
        ):
            body = {"name": f"key {len(keys)}", "scopes": scopes, "project": bound}
            keys.append(Api(client, api(owner).post("users/me/keys", json=body).json()["key"]))
        for project in (first, second):
            assert api(owner).delete(f"projects/{project.uuid}").status_code == 204
        seen = [{item["uuid"] for item in key.get("bin").json()["items"]} for key in keys]
        assert seen == [{str(first.uuid), str(second.uuid)}, {str(first.uuid)}, set()]

    def test_project_of_the_bin_can_not_be_entered(self, session: Session, admin: Api) -> None:
        make_binned_dataset(session, make_project(session))
        home = session.scalars(select(Project).join(BinHome)).one()
        for method, path in (
            ("GET", f"projects/{home.uuid}"), ("GET", f"projects/{home.uuid}/datasets"),
            ("DELETE", f"projects/{home.uuid}"), ("POST", f"bin/{home.uuid}/restore"),
            ("DELETE", f"bin/{home.uuid}"),
        ):  # fmt: skip
            assert admin.request(method, path).status_code == 404, path

    def test_purge_includes_what_the_project_had_in_its_bin(
        self, session: Session, mine: Api, project: Project, home: Path
    ) -> None:
        file = make_blob(session, b"purged " + uuid4().bytes, "rows.parquet", home)
        shared = make_blob(session, b"others' " + uuid4().bytes, "rows.parquet", home)
        other = make_dataset(session, make_project(session))
        make_version(session, other, file=shared)
        dataset = make_dataset(session, project)
        make_version(session, dataset, file=file)
        make_version(session, dataset, version="v2", file=shared)
        task = make_task(session, project, status=TaskStatus.COMPLETED)
        mine.delete(f"datasets/{dataset.uuid}")
        mine.delete(f"projects/{project.uuid}")
        assert mine.delete(f"bin/{project.uuid}").status_code == 204
        session.commit()
        assert session.scalar(select(func.count()).where(Dataset.uuid == dataset.uuid)) == 0
        assert (references(session, file.sha256), references(session, shared.sha256)) == (0, 1)
        session.refresh(task)
        assert task.project_id is None
        for kind, uuid in (("dataset", dataset.uuid), ("project", project.uuid)):
            assert len(audit_entries(session, f"{kind}:purged", uuid)) == 1
