"""Tests of models: versions, sharing and visibility."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import BlobRef
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_member,
    make_model,
    make_project,
    make_role,
    make_user,
    number,
)

Create = Callable[..., Any]


class TestVersions:
    def test_versions_count_up_per_name(self, create: Create) -> None:
        assert [create(name="counted").json()["version"] for _ in range(3)] == ["1", "2", "3"]
        assert create(name="other").json()["version"] == "1"

    def test_chosen_version_is_accepted_once(self, create: Create) -> None:
        assert create(name="chosen", version="2024-beta").status_code == 201
        answer = create(name="chosen", version="2024-beta")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.version_taken")
        assert create(name="chosen", version="7").status_code == 201
        assert create(name="chosen").json()["version"] == "8"

    def test_simultaneous_creations_get_different_versions(self, create: Create) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: create(name="raced"), range(8)))
        assert sorted(answer.json()["version"] for answer in answers) == list("12345678")

    def test_versions_are_counted_per_project(
        self, create: Create, owner_api: Api, session: Session, owner: User
    ) -> None:
        create(name="same")
        other = make_project(session, owner)
        body = {"name": "same", "source": {"kind": "upload"}}
        assert owner_api.post(f"projects/{other.uuid}/models", json=body).json()["version"] == "1"

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "../x"},
            {"name": "a b"},
            {"name": ""},
            {"version": "a@b"},
            {"source": {"kind": "hub", "repository": "a/../b"}},
            {"source": {"kind": "url", "url": "http://x"}},
            {"task": "x"},
        ],
    )
    def test_create_with_invalid_body_is_refused(
        self, create: Create, body: dict[str, Any]
    ) -> None:
        assert create(**body).json()["code"] == "request.invalid"


class TestSharing:
    @pytest.fixture
    def shared(self, session: Session, home: Any) -> Model:
        files = [make_blob(session, b"{}", "weights/config.json", home)]
        return make_model(session, None, files=files)

    def test_create_shared_model_needs_global_permission(
        self, create: Create, session: Session, owner: User
    ) -> None:
        answer = create(shared=True)
        assert (answer.status_code, answer.json()["code"]) == (403, "model.shared_protected")
        denied = session.scalars(
            select(AuditLog).where(AuditLog.user_id == owner.id, AuditLog.action == "access:denied")
        ).one()
        assert denied.details["permission"] == "*"

    def test_shared_model_has_no_project_but_its_import_has(
        self, admin: Api, project: Project, session: Session, end: Callable[..., Task]
    ) -> None:
        body = {"name": f"base-{number()}", "source": {"kind": "upload"}, "shared": True}
        created = admin.post(f"projects/{project.uuid}/models", json=body).json()
        assert created["project"] is None
        path = f"models/{created['uuid']}"
        assert admin.put(f"{path}/files/config.json", content=b"{}").status_code == 200
        task = admin.post(f"{path}/import").json()
        assert task["project"] == str(project.uuid)
        files = {"weights/config.json": b"{}"}
        end(task["uuid"], TaskStatus.COMPLETED, files=files, result={})
        assert admin.get(path).json()["status"] == "ready"
        reference = session.scalars(
            select(BlobRef)
            .join(Model, Model.id == BlobRef.model_id)
            .where(Model.uuid == created["uuid"])
        ).one()
        assert reference.project_id is None

    def test_import_of_shared_model_of_deleted_project_is_refused(
        self, admin: Api, session: Session, admin_user: User
    ) -> None:
        gone = make_project(session, admin_user)
        body = {"name": f"base-{number()}", "source": {"kind": "upload"}, "shared": True}
        created = admin.post(f"projects/{gone.uuid}/models", json=body).json()
        admin.put(f"models/{created['uuid']}/files/a.json", content=b"{}")
        session.delete(gone)
        session.commit()
        answer = admin.post(f"models/{created['uuid']}/import")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.project_gone")

    def test_shared_model_is_read_by_all_and_changed_by_administrators(
        self, shared: Model, api: Callable[..., Api], session: Session, admin: Api, owner_api: Api
    ) -> None:
        somebody = api(make_user(session))
        path = f"models/{shared.uuid}"
        assert somebody.get(path).json()["project"] is None
        assert somebody.get(f"{path}/files/weights/config.json").content == b"{}"
        for user in (somebody, owner_api):
            assert user.delete(path).status_code == 403
            assert user.put(f"{path}/files/a.json", content=b"x").status_code == 403
            assert user.post(f"{path}/import").status_code == 403
        assert api(None).get(path).status_code == 401
        assert admin.delete(path).status_code == 204

    def test_model_in_archived_project_cannot_be_changed(
        self, create: Create, owner_api: Api, session: Session, project: Project
    ) -> None:
        created = create().json()
        project.status = "archived"
        session.commit()
        path = f"models/{created['uuid']}"
        assert owner_api.get(path).status_code == 200
        assert owner_api.delete(path).json()["code"] == "project.archived"
        assert owner_api.put(f"{path}/files/a", content=b"x").json()["code"] == "project.archived"


class TestLists:
    def test_list_has_all_readable_models(self, session: Session, api: Callable[..., Api]) -> None:
        name = f"listed{number()}"
        user = make_user(session)
        owned = make_project(session, user)
        granted, denied, foreign = (make_project(session) for _ in range(3))
        make_member(session, granted, make_role(session, "models:*"), user)
        make_member(session, denied, make_role(session, "datasets:read", "tasks:*"), user)
        visible = [
            make_model(session, place, name=name, version=str(version))
            for version, place in enumerate((None, owned, granted), start=1)
        ]
        for place in (denied, foreign):
            make_model(session, place, name=name)
        listed = api(user).get(f"models?name={name}").json()["items"]
        assert {item["uuid"] for item in listed} == {str(model.uuid) for model in visible}
        one = api(user).get(f"models?name={name}&version=3").json()["items"]
        assert [item["uuid"] for item in one] == [str(visible[2].uuid)]

    def test_list_has_all_models_for_administrators(
        self, session: Session, admin: Api, project: Project
    ) -> None:
        model = make_model(session, project)
        assert [m["uuid"] for m in admin.get(f"models?name={model.name}").json()["items"]] == [
            str(model.uuid)
        ]

    def test_list_pages_contain_every_readable_model(
        self, session: Session, api: Callable[..., Api]
    ) -> None:
        name = f"paged{number()}"
        user = make_user(session)
        owned, foreign = make_project(session, user), make_project(session)
        for version in range(1, 8):
            make_model(session, owned, name=name, version=str(version))
            make_model(session, foreign, name=name, version=str(version))
        seen: list[str] = []
        path = f"models?name={name}&limit=3"
        cursor = ""
        while True:
            page = api(user).get(path + cursor).json()
            seen += [item["version"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == list("7654321")

    def test_project_list_has_own_models_only(
        self, owner_api: Api, session: Session, project: Project
    ) -> None:
        model = make_model(session, project)
        make_model(session, None, name=model.name)
        listed = owner_api.get(f"projects/{project.uuid}/models").json()["items"]
        assert [item["uuid"] for item in listed] == [str(model.uuid)]
        assert owner_api.get(f"projects/{project.uuid}/models?name=%00").json()["items"] == []

    def test_model_without_details_is_shown(
        self, owner_api: Api, session: Session, project: Project
    ) -> None:
        row = Model(project_id=project.id, name="bare", version="1", metrics={})
        session.add(row)
        session.commit()
        session.refresh(row)
        assert owner_api.get(f"models/{row.uuid}").json()["status"] == "pending"
        assert owner_api.get(f"models/{row.uuid}/lineage").json()["task"] is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"package": "x"}, "source: must have the field kind, which says what it is: one of "),
        ({"kind": "hup"}, "source: has 'hup' in the field kind, which must be one of "),
    ],
)
def test_create_with_unknown_source_kind_lists_valid_kinds(
    create: Callable[..., Any], source: dict[str, str], expected: str
) -> None:
    answer = create(source=source)
    assert answer.status_code == 422
    told = answer.json()
    assert f"{expected}hub, package, upload" in told["detail"]
    assert "discriminator" not in answer.text
