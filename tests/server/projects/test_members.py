"""Tests of members: who may give which role to whom."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.identity.queries import find_user
from aiplatform.server.notifications.models import Notification
from tests.factories import make_member, make_project, make_role, make_user

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


@pytest.fixture(autouse=True)
def _project(request: pytest.FixtureRequest, session: Session, api: Act) -> None:
    request.instance.owner = make_user(session)
    request.instance.project = make_project(session, request.instance.owner)
    request.instance.path = f"projects/{request.instance.project.uuid}/members"
    request.instance.me = api(request.instance.owner)
    request.instance.api = api
    request.instance.session = session


class MemberTests:
    owner: Any
    project: Any
    path: str
    me: Any
    api: Act
    session: Session

    def ask(self, user: Any, role: str, by: Any = None) -> Any:
        return (by or self.me).put(f"{self.path}/{user}", json={"role": role})

    def give(self, user: Any, role: str, by: Any = None) -> Any:
        """Give a user a role; if this creates an invitation, accept it as that user."""
        answer = self.ask(user, role, by)
        if answer.status_code != 202:
            return answer
        invited = find_user(self.session, str(user))
        uuid = answer.json()["uuid"]
        joined = self.api(invited).post(f"users/me/project-invitations/{uuid}/accept")
        assert joined.status_code == 200, joined.text
        return self.ask(user, role, by)

    def take(self, user: Any, by: Any = None) -> Any:
        return (by or self.me).delete(f"{self.path}/{user}")

    def roles(self) -> dict[str, str]:
        items = self.me.get(self.path).json()["items"]
        return {item["user"]["username"]: item["role"] for item in items}


class TestGive(MemberTests):
    def test_role_can_be_given_by_uuid_or_user_name(self, session: Session, api: Act) -> None:
        first, second = make_user(session), make_user(session)
        answer = self.give(first.uuid, "viewer")
        assert answer.status_code == 200
        assert answer.json()["user"] == {"uuid": str(first.uuid), "username": first.username}
        assert self.give(second.username, "developer").json()["role"] == "developer"
        assert self.roles() == {
            self.owner.username: "owner",
            first.username: "viewer",
            second.username: "developer",
        }
        assert api(first).get(f"projects/{self.project.uuid}").status_code == 200

    def test_role_changes_are_audited_and_announced(self, session: Session) -> None:
        user = make_user(session)
        self.give(user.username, "viewer")
        self.give(user.username, "developer")
        self.give(user.username, "developer")
        self.take(user.username)
        rows = session.execute(
            select(AuditLog, AuditEntry)
            .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
            .where(AuditLog.user_id == self.owner.id)
            .order_by(AuditLog.id)
        ).all()
        assert [(row.action, row.details["role"]) for row, _ in rows] == [
            ("member:invited", "viewer"),
            ("member:changed", "developer"),
            ("member:removed", "developer"),
        ]
        assert {entry.project_uuid for _, entry in rows} == {self.project.uuid}
        assert {row.resource_id for row, _ in rows[1:]} == {str(user.uuid)}
        told = session.scalars(
            select(Notification.type).where(Notification.user_id == user.id)
        ).all()
        assert list(told) == ["member:invited", "member:changed", "member:removed"]

    def test_role_counts_from_the_next_request_on(self, session: Session, api: Act) -> None:
        user = make_user(session)
        them, path = api(user), f"projects/{self.project.uuid}"
        assert them.get(path).status_code == 404
        self.give(user.username, "viewer")
        assert them.get(path).status_code == 200
        assert them.patch(path, json={"name": "x"}).status_code == 403
        self.give(user.username, "developer")
        assert them.patch(path, json={"name": "x"}).status_code == 428
        self.take(user.username)
        assert them.get(path).status_code == 404

    @pytest.mark.parametrize("user", [uuid4(), "nobody", "1"])
    def test_unknown_user_is_reported_only_to_administrators(self, admin: Any, user: Any) -> None:
        assert self.ask(user, "viewer").status_code == 202
        answer = self.ask(user, "viewer", admin)
        assert answer.status_code == 404
        assert "user" in answer.json()["detail"]

    @pytest.mark.parametrize("role", ["nothing", "user", "owner"])
    def test_unknown_role_is_not_found(self, session: Session, role: str) -> None:
        answer = self.give(make_user(session).username, role)
        assert answer.status_code == 404
        assert "role" in answer.json()["detail"]

    def test_owner_can_not_get_or_lose_a_role(self) -> None:
        assert (
            self.give(self.owner.username, "viewer").json()["code"] == "project.owner_has_no_role"
        )
        assert self.take(self.owner.username).status_code == 409

    def test_concurrent_invitations_of_one_user_become_one(self, session: Session) -> None:
        user = make_user(session)
        with ThreadPoolExecutor(6) as pool:
            codes = set(
                pool.map(
                    lambda n: self.ask(user.username, ("viewer", "developer")[n % 2]).status_code,
                    range(6),
                )
            )
        assert codes == {202}
        assert len(self.me.get(f"projects/{self.project.uuid}/invitations").json()["items"]) == 1


class TestPermissionLimits(MemberTests):
    @pytest.fixture
    def lead(self, session: Session, api: Act) -> Any:
        role = make_role(
            session,
            Permission.MEMBERS_READ,
            Permission.MEMBERS_WRITE,
            Permission.PROJECTS_READ,
            "tasks:*",
        )
        self.lead_user = make_member(session, self.project, role)
        self.lead_role = role
        return api(self.lead_user)

    def test_role_with_more_permissions_can_not_be_given(self, session: Session, lead: Any) -> None:
        user = make_user(session)
        less = make_role(session, Permission.TASKS_WRITE)
        assert self.give(user.username, less.name, lead).status_code == 200
        assert self.give(user.username, self.lead_role.name, lead).status_code == 200
        for role, missing in (("viewer", "datasets:read"), ("admin", "*")):
            answer = self.give(user.username, role, lead)
            assert answer.status_code == 403
            assert missing in answer.json()["permission"]
        assert self.roles()[user.username] == self.lead_role.name

    def test_user_can_not_give_themselves_a_higher_role(self, lead: Any) -> None:
        assert self.give(self.lead_user.username, "admin", lead).status_code == 403

    def test_role_with_more_permissions_can_not_be_taken(self, session: Session, lead: Any) -> None:
        chief = make_member(session, self.project, "admin")
        assert self.give(chief.username, self.lead_role.name, lead).status_code == 403
        assert self.take(chief.username, lead).status_code == 403
        assert self.roles()[chief.username] == "admin"

    def test_platform_permissions_of_a_role_do_not_count_in_a_project(
        self, session: Session, lead: Any, api: Act
    ) -> None:
        mixed = make_role(session, Permission.TASKS_READ, Permission.USERS_WRITE)
        user = make_user(session)
        assert self.give(user.username, mixed.name, lead).status_code == 200
        assert api(user).get("users").status_code == 403

    def test_project_administrator_has_no_permissions_outside(
        self, session: Session, api: Act
    ) -> None:
        chief = api(make_member(session, self.project, "admin"))
        assert chief.get(f"projects/{self.project.uuid}/members").status_code == 200
        other = make_project(session)
        assert chief.get(f"projects/{other.uuid}").status_code == 404
        for path in ("users", "audit"):
            assert chief.get(path).status_code == 403
        user = make_user(session)
        assert self.give(user.username, "admin", chief).status_code == 200

    def test_developer_and_viewer_can_not_manage_members(self, session: Session, api: Act) -> None:
        user = make_user(session)
        for role in ("developer", "viewer"):
            member = api(make_member(session, self.project, role))
            assert member.get(self.path).json()["permission"] == "members:read"
            assert self.give(user.username, "viewer", member).status_code == 403


class TestRemove(MemberTests):
    def test_removal_of_a_user_who_is_not_a_member_is_not_found(self, session: Session) -> None:
        answer = self.take(make_user(session).username)
        assert answer.status_code == 404
        assert "member" in answer.json()["detail"]

    def test_deleted_user_is_not_listed(self, session: Session) -> None:
        user = make_member(session, self.project, "viewer")
        session.delete(user)
        session.commit()
        assert list(self.roles().values()) == ["owner"]


class TestList(MemberTests):
    @pytest.mark.parametrize("limit", [1, 2, 3, 50])
    def test_members_are_listed_in_pages_owner_first(self, session: Session, limit: int) -> None:
        made = [make_member(session, self.project, "viewer").username for _ in range(3)]
        seen: list[str] = []
        cursor = None
        while True:
            params = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
            page = self.me.get(self.path, params=params).json()
            assert len(page["items"]) <= limit
            seen += [item["user"]["username"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [self.owner.username, *made]
