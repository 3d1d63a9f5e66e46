"""Tests of the permissions to create, change and delete roles."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import DESCRIPTIONS, SYSTEM_ROLES, Permission
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import Role, User
from tests.conftest import environment
from tests.factories import (
    make_invitation,
    make_key,
    make_member,
    make_project,
    make_role,
    make_user,
    number,
)

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]
ANY = {"If-Match": "*"}


def create(me: Any, *permissions: str, **fields: Any) -> Any:
    body = {"name": f"made{number()}", "permissions": list(permissions), **fields}
    return me.post("roles", json=body)


@pytest.fixture
def manager(session: Session, api: Act) -> Any:
    """Return a client for a user who may only manage roles and datasets, and read tasks."""
    role = make_role(session, "roles:*", "datasets:*", "tasks:read")
    user = make_user(session, role=role.name)
    found = api(user)
    found.user = user
    return found


class TestVocabulary:
    def test_every_user_can_list_permissions(self, session: Session, api: Act) -> None:
        items = api(make_user(session)).get("permissions").json()["items"]
        assert [item["permission"] for item in items] == [str(p) for p in Permission]
        by_name = {item["permission"]: item for item in items}
        assert by_name["datasets:write"]["reaches_projects"] is True
        assert by_name["users:write"]["reaches_projects"] is False
        assert by_name["users:write"]["description_zh"]

    def test_every_permission_is_described_in_both_languages(self) -> None:
        assert set(DESCRIPTIONS) == set(Permission)
        assert all(en and zh and en != zh for en, zh in DESCRIPTIONS.values())


class TestRead:
    def test_system_roles_come_first(self, session: Session, api: Act) -> None:
        items = api(make_user(session)).get("roles").json()["items"]
        assert [item["name"] for item in items[:3]] == ["admin", "developer", "viewer"]
        assert all(item["is_system"] for item in items[:3])
        assert items[0]["permissions"] == ["*"]

    def test_system_roles_are_described_in_the_requested_language(
        self, session: Session, api: Act
    ) -> None:
        me = api(make_user(session))
        rows = session.scalars(select(Role).where(Role.is_system)).all()
        assert {row.name for row in rows} == set(SYSTEM_ROLES)
        for row in rows:
            english, chinese = SYSTEM_ROLES[row.name]
            assert row.description == chinese
            for asked, text in (("zh-CN,en;q=0.5", chinese), ("en", english), ("fr", english)):
                headers = {"Accept-Language": asked}
                listed = me.get("roles", headers=headers).json()["items"]
                assert next(r["description"] for r in listed if r["name"] == row.name) == text
                one = me.get(f"roles/{row.name}", headers=headers)
                assert one.json()["description"] == text
                assert one.headers["etag"]

    def test_custom_role_is_described_as_written(self, admin: Any) -> None:
        made = create(admin, "datasets:read", description="标注员 only").json()
        for asked in ("zh", "en"):
            found = admin.get(f"roles/{made['name']}", headers={"Accept-Language": asked})
            assert found.json()["description"] == "标注员 only"

    def test_uses_are_shown_to_managers_of_roles(
        self, session: Session, api: Act, manager: Any, admin_user: User
    ) -> None:
        role = make_role(session, "datasets:read")
        make_user(session, role=role.name)
        make_member(session, make_project(session), role)
        make_invitation(session, admin_user, role=role.name)
        seen = manager.get(f"roles/{role.uuid}").json()
        assert seen["uses"] == {"users": 1, "members": 1, "invitations": 1, "sso": 0}
        assert api(make_user(session)).get(f"roles/{role.name}").json()["uses"] is None
        assert manager.get("roles/nothing").status_code == 404


class TestCreate:
    def test_created_role_grants_its_permissions(
        self, session: Session, admin: Any, api: Act
    ) -> None:
        answer = create(admin, "users:read", "datasets:*", "users:read", description="Looks")
        assert answer.status_code == 201
        made = answer.json()
        assert made["permissions"] == ["datasets:*", "users:read"]
        assert made["is_system"] is False
        assert answer.headers["etag"] == admin.get(f"roles/{made['name']}").headers["etag"]
        assert api(make_user(session, role=made["name"])).get("users").status_code == 200
        told = session.scalars(select(AuditLog).where(AuditLog.resource_id == made["uuid"])).one()
        assert told.action == "role:created"

    @pytest.mark.parametrize(
        ("permissions", "missing"),
        [
            (["*"], "*"),
            (["users:write"], "users:write"),
            (["datasets:read", "tasks:write"], "tasks:write"),
            (["tasks:*"], "tasks:*"),
            (["audit:read", "roles:read"], "audit:read"),
        ],
    )
    def test_permissions_that_the_caller_lacks_are_refused(
        self, manager: Any, permissions: list[str], missing: str
    ) -> None:
        answer = create(manager, *permissions)
        assert (answer.status_code, answer.json()["permission"]) == (403, missing)
        assert create(manager, "datasets:write", "roles:*", "tasks:read").status_code == 201

    def test_permissions_beyond_the_scopes_of_a_key_are_refused(
        self, session: Session, client: Any, admin_user: User
    ) -> None:
        from tests.conftest import Api

        make_key(session, admin_user, "roles:write", "tasks:read", token="key-for-roles")
        key = Api(client, "key-for-roles")
        assert create(key, "tasks:read").status_code == 201
        assert create(key, "users:read").json()["permission"] == "users:read"
        assert create(key, "*").status_code == 403

    @pytest.mark.parametrize(
        "name", ["user", "owner", "Owner", "admin", "ADMIN", "Viewer", "developer"]
    )
    def test_taken_or_reserved_name_is_refused(self, admin: Any, name: str) -> None:
        assert create(admin, name=name).json()["code"] == "resource.name_taken"

    @pytest.mark.parametrize(
        "fields",
        [
            {"name": "a"},
            {"name": "a" * 51},
            {"name": "has space"},
            {"name": "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11"},
            {"name": "角色"},
            {"permissions": ["users:fly"]},
            {"permissions": ["*:*"]},
            {"permissions": None},
            {"is_system": True},
            {"uuid": "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11"},
        ],
    )
    def test_invalid_fields_are_refused(self, admin: Any, fields: dict[str, Any]) -> None:
        body = {"name": "fine", "permissions": [], **fields}
        assert admin.post("roles", json=body).status_code == 422

    def test_role_with_long_name_can_only_be_given_in_projects(
        self, session: Session, admin: Any
    ) -> None:
        name = "r" * 21
        assert create(admin, "datasets:read", name=name).status_code == 201
        user, project = make_user(session), make_project(session)
        place = f"projects/{project.uuid}/members/{user.username}"
        assert admin.put(place, json={"role": name}).status_code == 200
        answer = admin.patch(f"users/{user.uuid}", json={"role": name}, headers=ANY)
        assert answer.status_code == 422

    def test_concurrent_requests_for_one_name_create_one_role(self, admin: Any) -> None:
        with ThreadPoolExecutor(6) as pool:
            codes = list(pool.map(lambda _: create(admin, name="wanted").status_code, range(6)))
        assert sorted(codes) == [201] + [409] * 5


class TestChange:
    def test_change_requires_the_current_etag(self, session: Session, admin: Any) -> None:
        role = make_role(session, "datasets:read")
        place = f"roles/{role.name}"
        tag = admin.get(place).headers["etag"]
        body = {"permissions": ["datasets:read", "datasets:write"]}
        assert admin.patch(place, json=body).status_code == 428
        changed = admin.patch(place, json=body, headers={"If-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        assert (
            admin.patch(place, json={"permissions": []}, headers={"If-Match": tag}).status_code
            == 412
        )
        told = session.scalars(
            select(AuditLog).where(
                AuditLog.resource_id == str(role.uuid), AuditLog.action == "role:updated"
            )
        ).one()
        assert told.details["before"] == {"permissions": ["datasets:read"]}

    def test_change_applies_from_the_next_request(
        self, session: Session, admin: Any, api: Act
    ) -> None:
        role = make_role(session, "users:read")
        me = api(make_user(session, role=role.name))
        assert me.get("users").status_code == 200
        admin.patch(f"roles/{role.uuid}", json={"permissions": []}, headers=ANY)
        assert me.get("users").status_code == 403

    @pytest.mark.parametrize("name", ["admin", "developer", "viewer"])
    def test_system_roles_never_change(self, session: Session, admin: Any, name: str) -> None:
        for answer in (
            admin.patch(f"roles/{name}", json={"permissions": ["*"]}, headers=ANY),
            admin.patch(f"roles/{name}", json={"description": "x"}, headers=ANY),
            admin.delete(f"roles/{name}"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (409, "role.system_role")

    def test_adding_or_removing_permissions_that_the_caller_lacks_is_refused(
        self, session: Session, manager: Any
    ) -> None:
        weak = make_role(session, "datasets:read")
        strong = make_role(session, "users:write")
        for name, wanted in ((weak.name, ["users:write"]), (strong.name, [])):
            answer = manager.patch(f"roles/{name}", json={"permissions": wanted}, headers=ANY)
            assert (answer.status_code, answer.json()["permission"]) == (403, "users:write")
        assert manager.delete(f"roles/{strong.name}").status_code == 403
        done = manager.patch(
            f"roles/{weak.name}", json={"permissions": ["datasets:*"]}, headers=ANY
        )
        assert done.status_code == 200

    def test_role_that_the_caller_has_can_not_be_changed(
        self, session: Session, manager: Any
    ) -> None:
        own = manager.user.role
        answer = manager.patch(f"roles/{own}", json={"permissions": ["*"]}, headers=ANY)
        assert answer.json()["code"] == "role.held"
        # The manager holds this permission globally, but not in someone else's project.
        inside = make_role(session, "datasets:read")
        make_member(session, make_project(session), inside, manager.user)
        answer = manager.patch(
            f"roles/{inside.name}", json={"permissions": ["datasets:*"]}, headers=ANY
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "role.held")

    def test_change_that_leaves_no_administrator_is_refused(
        self, session: Session, api: Act, admin_user: User
    ) -> None:
        role = make_role(session, "*")
        me = api(make_user(session, role=role.name))
        admin_user.is_active = False
        session.commit()
        try:
            answer = me.patch(f"roles/{role.name}", json={"permissions": []}, headers=ANY)
            assert (answer.status_code, answer.json()["code"]) == (
                409,
                "account.last_administrator",
            )
        finally:
            admin_user.is_active = True
            session.commit()

    @pytest.mark.parametrize(
        "body",
        [{"name": "other"}, {"is_system": True}, {"permissions": None}, {"permissions": ["x"]}],
    )
    def test_invalid_changes_are_refused(
        self, session: Session, admin: Any, body: dict[str, Any]
    ) -> None:
        role = make_role(session)
        assert admin.patch(f"roles/{role.name}", json=body, headers=ANY).status_code == 422


class TestDelete:
    def test_role_in_use_is_not_deleted(
        self, session: Session, admin: Any, admin_user: User
    ) -> None:
        role = make_role(session, "datasets:read", name=f"used{number()}")
        place = f"roles/{role.name}"
        user = make_user(session, role=role.name)
        member = make_member(session, make_project(session), role)
        invitation = make_invitation(session, admin_user, role=role.name)
        answer = admin.delete(place)
        assert answer.status_code == 409
        told = answer.json()
        assert (told["users"], told["members"], told["invitations"]) == (1, 1, 1)
        user.role = "user"
        session.commit()
        assert admin.delete(place).json()["users"] == 0
        session.delete(member)
        session.commit()
        with environment(AIPLATFORM_OIDC_ROLES=f"team={role.name}"):
            session.delete(invitation)
            session.commit()
            assert admin.delete(place).json()["sso"] == 1
        assert admin.delete(place).status_code == 204
        assert admin.get(place).status_code == 404
        assert admin.delete(place).status_code == 404

    def test_concurrent_grant_and_deletion_refuse_one_of_them(
        self, session: Session, admin: Any
    ) -> None:
        """Check that a deletion never takes a role away from a member."""
        project = make_project(session)
        for _ in range(8):
            name = make_role(session, "datasets:read").name
            user = make_user(session)
            place = f"projects/{project.uuid}/members/{user.username}"
            with ThreadPoolExecutor(2) as pool:
                given = pool.submit(admin.put, place, json={"role": name})
                deleted = pool.submit(admin.delete, f"roles/{name}")
            codes = (given.result().status_code, deleted.result().status_code)
            assert codes in {(200, 409), (404, 204), (409, 204)}, codes
            session.expire_all()
            there = session.scalar(select(Role.id).where(Role.name == name))
            assert (there is not None) == (codes[0] == 200)
