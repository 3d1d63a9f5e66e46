"""Tests of API keys: creation, permissions and revocation."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.client import Client
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import ApiKey, Role, User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import ProjectPermission
from aiplatform.server.projects.service import keys
from tests.conftest import Api
from tests.factories import (
    make_dataset,
    make_member,
    make_model,
    make_project,
    make_role,
    make_user,
    number,
)
from tests.openapi_checks import CheckedClient

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


def create_key(me: Any, *scopes: str, **fields: Any) -> Any:
    body = {"name": f"key {uuid4().hex[:8]}", "scopes": [str(s) for s in scopes], **fields}
    return me.post("users/me/keys", json=body)


@pytest.fixture
def holder(session: Session, api: Act, client: CheckedClient) -> Callable[..., tuple[Any, Any]]:
    """Return a function that creates a key and returns a client for the key and the response."""

    def hold(user: User, *scopes: str, **fields: Any) -> tuple[Any, Any]:
        answer = create_key(api(user), *scopes, **fields)
        assert answer.status_code == 201, answer.text
        return Api(client, answer.json()["key"]), answer.json()

    return hold


Hold = Callable[..., tuple[Any, Any]]


class TestCreate:
    def test_new_key_is_shown_once_and_stored_as_hash(self, session: Session, api: Act) -> None:
        user = make_user(session)
        project = make_project(session, user)
        answer = create_key(
            api(user), "datasets:read", name="ci", project=str(project.uuid), expires_in_days=7
        )
        assert answer.status_code == 201
        assert answer.headers["cache-control"] == "no-store"
        made = answer.json()
        shown = made.pop("key")
        assert shown.startswith("aip_key_")
        assert len(shown) == 51
        assert made["prefix"] == shown[:12]
        assert made["project"] == str(project.uuid)
        days = datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC)
        assert timedelta(days=6.9) < days <= timedelta(days=7)
        assert api(user).get("users/me/keys").json()["items"] == [made]
        row = session.scalars(select(ApiKey).where(ApiKey.user_id == user.id)).one()
        assert shown.encode() not in row.key_hash
        told = session.scalars(select(AuditLog).where(AuditLog.resource_id == made["uuid"])).one()
        assert told.action == "api_key:created"
        assert told.details["scopes"] == ["datasets:read"]
        assert shown not in str(told.details)

    @pytest.mark.parametrize(
        ("scopes", "missing"),
        [
            (["users:read"], "users:read"),
            (["*"], "*"),
            (["datasets:read", "tasks:write"], "tasks:write"),
            (["datasets:*"], "datasets:*"),
            (["members:write"], "members:write"),
            (["roles:*"], "roles:*"),
        ],
    )
    def test_key_with_more_permissions_than_its_author_is_refused(
        self, session: Session, api: Act, scopes: list[str], missing: str
    ) -> None:
        user = make_user(session)
        project = make_project(session)
        make_member(session, project, "viewer", user)
        for place in (None, str(project.uuid)):
            answer = create_key(api(user), *scopes, project=place)
            assert answer.status_code == 403
            assert answer.json()["permission"] == missing

    def test_wildcard_in_one_project_does_not_allow_a_global_wildcard_key(
        self, session: Session, api: Act
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        assert create_key(api(owner), "*").status_code == 403
        assert create_key(api(owner), "*", project=str(project.uuid)).status_code == 201
        assert create_key(api(owner), "datasets:*", "tasks:write").status_code == 201
        assert create_key(api(owner), "users:read", project=str(project.uuid)).status_code == 403

    def test_permission_in_another_project_does_not_count(self, session: Session, api: Act) -> None:
        user = make_user(session)
        make_project(session, user)
        other = make_project(session)
        make_member(session, other, "viewer", user)
        answer = create_key(api(user), "datasets:write", project=str(other.uuid))
        assert answer.status_code == 403

    def test_key_for_a_foreign_project_is_not_found(self, session: Session, api: Act) -> None:
        user = make_user(session)
        make_project(session, user)
        for uuid in (make_project(session).uuid, uuid4()):
            assert create_key(api(user), "datasets:read", project=str(uuid)).status_code == 404

    @pytest.mark.parametrize(
        "body",
        [
            {"scopes": []},
            {"scopes": ["datasets:fly"]},
            {"scopes": ["*:read"]},
            {"scopes": ["datasets:read\x00"]},
            {"scopes": ["datasets:read"], "name": " "},
            {"scopes": ["datasets:read"], "expires_in_days": 0},
            {"scopes": ["datasets:read"], "expires_in_days": 10**9},
            {"scopes": ["datasets:read"], "user": "admin"},
            {"scopes": ["datasets:read"], "key_hash": "00"},
        ],
    )
    def test_invalid_key_is_refused(self, session: Session, api: Act, body: dict[str, Any]) -> None:
        assert api(make_user(session)).post(
            "users/me/keys", json={"name": "x", **body}
        ).status_code == 422  # fmt: skip

    def test_key_name_is_unique_per_owner_until_revoked_or_expired(
        self, session: Session, api: Act, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = make_user(session)
        make_project(session, user)
        me = api(user)
        first = create_key(me, "tasks:read", name="ci").json()
        assert create_key(me, "tasks:read", name="ci").json()["code"] == "resource.name_taken"
        me.delete(f"users/me/keys/{first['uuid']}")
        assert create_key(me, "tasks:read", name="ci").status_code == 201
        second = session.scalars(
            select(ApiKey).where(ApiKey.user_id == user.id, ApiKey.revoked_at.is_(None))
        ).one()
        second.expires_at = datetime.now(UTC) - timedelta(days=1)
        session.commit()
        assert create_key(me, "tasks:read", name="ci").status_code == 201
        monkeypatch.setattr(keys, "MAX_KEYS", 1)
        assert create_key(me, "tasks:read").status_code == 422

    def test_concurrent_keys_with_one_name_succeed_once(self, session: Session, api: Act) -> None:
        user = make_user(session)
        make_project(session, user)
        me = api(user)
        with ThreadPoolExecutor(8) as pool:
            codes = list(
                pool.map(lambda _: create_key(me, "tasks:read", name="ci").status_code, range(8))
            )
        assert sorted(codes) == [201] + [409] * 7


class TestUse:
    def test_key_follows_the_present_permissions_of_its_owner(
        self, session: Session, holder: Hold
    ) -> None:
        user, project = make_user(session), make_project(session)
        make_member(session, project, "developer", user)
        key, _ = holder(user, "datasets:write", "datasets:read")
        place = f"projects/{project.uuid}/datasets"
        assert key.post(place).status_code == 422  # admitted, but no file name is given
        grant = session.scalars(
            select(ProjectPermission).where(ProjectPermission.user_id == user.id)
        ).one()
        grant.role_id = session.scalars(select(Role.id).where(Role.name == "viewer")).one()
        session.commit()
        assert key.post(place).status_code == 403
        assert key.get(place).status_code == 200
        session.delete(grant)
        session.commit()
        assert key.get(place).status_code == 404

    def test_key_of_a_former_administrator_loses_permissions(
        self, session: Session, holder: Hold
    ) -> None:
        user = make_user(session, role="admin")
        project = make_project(session)
        key, _ = holder(user, "*")
        assert key.get("users").status_code == 200
        assert key.get(f"projects/{project.uuid}").status_code == 200
        user.role = "user"
        session.commit()
        assert key.get("users").status_code == 403
        assert key.get(f"projects/{project.uuid}").status_code == 404

    def test_promotion_of_the_owner_does_not_exceed_the_scopes(
        self, session: Session, holder: Hold
    ) -> None:
        user = make_user(session)
        project = make_project(session, user)
        wide, _ = holder(user, "*", project=str(project.uuid))
        narrow, _ = holder(user, "datasets:read")
        user.role = "admin"
        session.commit()
        assert wide.get("users").status_code == 403
        assert wide.get(f"projects/{make_project(session).uuid}").status_code == 404
        assert narrow.get("users").status_code == 403
        assert narrow.delete(f"projects/{project.uuid}").status_code == 403

    def test_key_for_one_project_has_no_permissions_outside(
        self, session: Session, api: Act, holder: Hold
    ) -> None:
        user = make_user(session, role="admin")
        project = make_project(session)
        place = str(project.uuid)
        refused = create_key(api(user), "users:write", "datasets:read", project=place)
        assert (refused.status_code, refused.json()["code"]) == (
            422,
            "api_key.scope_outside_project",
        )
        assert "users:write" in refused.json()["detail"]
        key, made = holder(user, "datasets:read", project=place)
        row = session.scalars(select(ApiKey).where(ApiKey.uuid == made["uuid"])).one()
        row.scopes = ["datasets:read", "users:*"]  # as in keys created before this check
        session.commit()
        assert key.get(f"projects/{place}/datasets").status_code == 200
        assert key.get("users").status_code == 403
        assert key.get("users/me").json()["permissions"] == []

    def test_lists_contain_only_what_the_key_can_read(self, session: Session, holder: Hold) -> None:
        user = make_user(session)
        mine, other = make_project(session, user), make_project(session, user)
        for project in (mine, other):
            make_model(session, project)
        shared = make_model(session, None)

        def seen(key: Any, path: str) -> set[str]:
            return {item["uuid"] for item in key.get(path, params={"limit": 500}).json()["items"]}

        bound, _ = holder(user, "projects:read", "models:read", project=str(mine.uuid))
        free, _ = holder(user, "projects:read", "models:read")
        blind, _ = holder(user, "datasets:read")
        assert seen(bound, "projects") == {str(mine.uuid)}
        assert seen(free, "projects") == {str(mine.uuid), str(other.uuid)}
        assert seen(blind, "projects") == set()
        assert len(seen(free, "models")) - len(seen(bound, "models")) == 1
        assert str(shared.uuid) in seen(bound, "models")
        assert seen(blind, "models") == set()
        assert blind.get(f"models/{shared.uuid}").status_code == 403

    def test_creating_projects_needs_the_scope_and_an_unbound_key(
        self, session: Session, holder: Hold
    ) -> None:
        user = make_user(session)
        project = make_project(session, user)
        body = {"json": {"name": "new"}}
        assert holder(user, "datasets:*")[0].post("projects", **body).status_code == 403
        bound, _ = holder(user, "*", project=str(project.uuid))
        assert bound.post("projects", **body).status_code == 403
        assert holder(user, "projects:write")[0].post("projects", **body).status_code == 201

    def test_key_can_not_grant_more_than_its_scopes(self, session: Session, holder: Hold) -> None:
        user = make_user(session)
        project = make_project(session, user)
        key, _ = holder(user, "members:*", "datasets:read")
        role = make_role(session, "datasets:read")
        place = f"projects/{project.uuid}/members/{make_user(session).username}"
        assert key.put(place, json={"role": "developer"}).status_code == 403
        assert key.put(place, json={"role": role.name}).status_code == 202

    def test_key_can_not_manage_keys_or_sign_in_data(self, session: Session, holder: Hold) -> None:
        key, made = holder(make_user(session, role="admin"), "*")
        somebody, any_state = f"users/{make_user(session).uuid}", {"If-Match": "*"}
        renamed = {"username": f"renamed{number()}"}
        assert key.patch(somebody, json=renamed, headers=any_state).status_code == 200
        for answer in (
            # Whoever sets the address for password links can sign in as that user.
            key.patch(somebody, json={"email": "mine@example.com"}, headers=any_state),
            create_key(key, "datasets:read"),
            key.get("users/me/keys"),
            key.delete(f"users/me/keys/{made['uuid']}"),
            key.put("users/me/password", json={"current_password": "x", "new_password": "y"}),
            key.post("auth/logout"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "auth.session_required")
        assert key.get("users/me").status_code == 200

    def test_key_use_is_recorded_once_a_minute_and_named_in_the_audit_trail(
        self, session: Session, holder: Hold
    ) -> None:
        user = make_user(session)
        key, made = holder(user, "projects:write")
        row = session.scalars(select(ApiKey).where(ApiKey.uuid == made["uuid"])).one()
        assert row.last_used_at is None
        project = key.post("projects", json={"name": "made by a key"}).json()
        session.refresh(row)
        first = row.last_used_at
        assert first is not None
        key.get("projects")
        session.refresh(row)
        assert row.last_used_at == first
        row.last_used_at = first - timedelta(minutes=2)
        session.commit()
        key.get("users")  # refused, but still counts as a use
        session.refresh(row)
        assert row.last_used_at is not None
        assert row.last_used_at > first - timedelta(minutes=1)
        told = session.scalars(
            select(AuditLog).where(
                AuditLog.resource_id == project["uuid"], AuditLog.action == "project:created"
            )
        ).one()
        assert told.details["actor"]["key"] == made["uuid"]

    def test_concurrent_requests_with_one_key_succeed(self, session: Session, holder: Hold) -> None:
        key, _ = holder(make_user(session), "projects:write")
        with ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda _: key.get("users/me").status_code, range(64)))
        assert codes == [200] * 64


class TestRevocation:
    def test_key_revoked_by_its_owner_is_refused(
        self, session: Session, api: Act, holder: Hold
    ) -> None:
        user = make_user(session)
        key, made = holder(user, "projects:write")
        place = f"users/me/keys/{made['uuid']}"
        assert api(make_user(session)).delete(place).status_code == 404
        for _ in range(2):
            assert api(user).delete(place).status_code == 204
        assert key.get("users/me").status_code == 401
        assert api(user).get("users/me/keys").json()["items"] == []
        shown = api(user).get("users/me/keys", params={"revoked": True}).json()["items"]
        assert shown[0]["revoked_at"] is not None
        actions = session.scalars(
            select(AuditLog.action).where(AuditLog.resource_id == made["uuid"])
        ).all()
        assert sorted(actions) == ["api_key:created", "api_key:revoked"]

    def test_key_revoked_by_an_administrator_is_refused_and_its_owner_notified(
        self, session: Session, admin: Any, holder: Hold
    ) -> None:
        user = make_user(session)
        key, made = holder(user, "projects:write")
        listed = admin.get(f"users/{user.username}/keys").json()["items"]
        assert [item["uuid"] for item in listed] == [made["uuid"]]
        other = make_user(session)
        assert admin.delete(f"users/{other.username}/keys/{made['uuid']}").status_code == 404
        assert admin.delete(f"users/{user.uuid}/keys/{made['uuid']}").status_code == 204
        assert key.get("users/me").status_code == 401
        told = session.scalars(
            select(Notification.type).where(Notification.user_id == user.id)
        ).all()
        assert sorted(told) == ["security:key_created", "security:key_revoked"]

    def test_revocation_by_a_user_with_fewer_permissions_is_refused(
        self, session: Session, api: Act, admin: Any, holder: Hold
    ) -> None:
        user = make_user(session, role="admin")
        _, made = holder(user, "projects:write")
        helper = api(make_user(session, role=make_role(session, "users:*").name))
        place = f"users/{user.username}/keys/{made['uuid']}"
        assert helper.delete(place).status_code == 403
        assert admin.delete(place).status_code == 204

    def test_expired_key_is_refused(self, session: Session, holder: Hold) -> None:
        key, made = holder(make_user(session), "projects:write", expires_in_days=1)
        assert key.get("users/me").status_code == 200
        row = session.scalars(select(ApiKey).where(ApiKey.uuid == made["uuid"])).one()
        row.expires_at = datetime.now(UTC) - timedelta(seconds=1)
        session.commit()
        assert key.get("users/me").status_code == 401

    def test_key_of_a_deactivated_user_stays_revoked_after_reactivation(
        self, session: Session, holder: Hold
    ) -> None:
        user = make_user(session)
        key, made = holder(user, "projects:write")
        user.is_active = False
        session.commit()
        assert key.get("users/me").status_code == 401
        user.is_active = True
        session.commit()
        assert key.get("users/me").status_code == 401
        row = session.scalars(select(ApiKey).where(ApiKey.uuid == made["uuid"])).one()
        assert row.revoke_reason == "deactivated"

    def test_key_of_a_deleted_user_or_project_is_refused(
        self, session: Session, holder: Hold
    ) -> None:
        user = make_user(session)
        project = make_project(session, user)
        bound, _ = holder(user, "*", project=str(project.uuid))
        free, _ = holder(user, "datasets:*")
        session.delete(project)
        session.commit()
        assert bound.get("users/me").status_code == 401
        assert free.get("users/me").status_code == 200
        session.delete(user)
        session.commit()
        assert free.get("users/me").status_code == 401


class TestProjectOfKey:
    """Tests that a key for one project finds the project by name, whatever scopes the key has."""

    @pytest.fixture
    def found(self, session: Session, holder: Hold) -> Callable[..., Any]:
        def found(user: User, project: Any, *scopes: str, **params: Any) -> list[Any]:
            key, _ = holder(user, *(scopes or ("datasets:read",)), project=str(project.uuid))
            answer = key.get("projects", params=params)
            assert answer.status_code == 200
            items: list[Any] = answer.json()["items"]
            return items

        return found

    @pytest.mark.parametrize("role", [None, "viewer", "custom"])
    def test_key_finds_its_project_with_name_only(
        self, session: Session, found: Callable[..., Any], role: str | None
    ) -> None:
        project = make_project(session, name=f"faq-{number()}", description="not for the key")
        if role is None:
            user = session.get_one(User, project.owner_id)
        else:
            given = make_role(session, "datasets:read") if role == "custom" else role
            user = make_member(session, project, given)
        make_project(session, user)
        [item] = found(user, project, name=project.name)
        assert (item["uuid"], item["name"]) == (str(project.uuid), project.name)
        assert (item["description"], item["owner"], item["config"]) == (None, None, {})

    def test_key_with_permission_reads_its_project_in_full(
        self, session: Session, found: Callable[..., Any]
    ) -> None:
        project = make_project(session, description="for readers")
        user = session.get_one(User, project.owner_id)
        [item] = found(user, project, "projects:read")
        assert item["description"] == "for readers"
        assert item["owner"]["username"] == user.username

    def test_key_does_not_find_a_project_that_its_owner_has_left(
        self, session: Session, holder: Hold
    ) -> None:
        project = make_project(session)
        user = make_member(session, project, "viewer")
        key, _ = holder(user, "datasets:read", project=str(project.uuid))
        session.execute(
            ProjectPermission.__table__.delete().where(ProjectPermission.user_id == user.id)
        )
        session.commit()
        assert key.get("projects").json()["items"] == []

    def test_sdk_with_key_finds_the_project_by_name(
        self, session: Session, api: Act, server_url: str
    ) -> None:
        project = make_project(session, name=f"faq-{number()}")
        dataset = make_dataset(session, project)
        user = session.get_one(User, project.owner_id)
        shown = create_key(api(user), "datasets:read", project=str(project.uuid)).json()["key"]
        with Client(server_url, token=shown, project=project.name) as client:
            assert [each.name for each in client.datasets.list()] == [dataset.name]
        with Client(server_url, token=shown) as client:  # the key's only project
            assert [each.name for each in client.datasets.list()] == [dataset.name]
