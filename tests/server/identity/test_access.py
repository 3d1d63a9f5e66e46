"""Tests of the permission guards for routes that belong to no project."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from starlette.requests import Request

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.identity.access import actor_of
from aiplatform.server.identity.models import User
from tests.factories import make_member, make_project, make_role, make_token, make_user
from tests.openapi_checks import CheckedClient

pytestmark = pytest.mark.usefixtures("client")


def request_from(client: tuple[str, int] | None) -> Request:
    return Request({"type": "http", "headers": [], "client": client})


@pytest.mark.parametrize(
    ("client", "address"),
    [
        (("192.0.2.1", 1), "192.0.2.1"),
        (("2001:db8::1", 1), "2001:db8::1"),
        (("fe80::1%eth0", 1), "fe80::1"),
        (("testclient", 1), None),
        (("", 0), None),
        (None, None),
    ],
)
def test_actor_of_request_keeps_only_addresses_that_the_database_accepts(
    client: tuple[str, int] | None, address: str | None
) -> None:
    assert actor_of(request_from(client)).ip_address == address


def denied(session: Session, user: User) -> tuple[AuditLog, AuditEntry]:
    """Return the only audit entry of the user; fail if there is not exactly one."""
    row = session.execute(
        select(AuditLog, AuditEntry)
        .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
        .where(AuditLog.user_id == user.id)
    ).one()
    return row[0], row[1]


class TestAuthentication:
    @pytest.mark.parametrize(
        "header",
        [None, "", "Bearer", "Bearer ", "Bearer nonsense", "Basic YWRtaW46YWRtaW4=", "Bearer 密"],
    )
    def test_request_without_valid_token_is_refused(
        self, client: CheckedClient, header: str | None
    ) -> None:
        headers = {} if header is None else {"Authorization": header.encode()}
        answer = client.get("/api/v1/users/me", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "auth.unauthenticated"

    def test_request_with_expired_token_is_refused(
        self, client: CheckedClient, session: Session
    ) -> None:
        token = make_token(session, make_user(session), lifetime=timedelta(seconds=-1))
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/v1/users/me", headers=headers).status_code == 401

    def test_deactivation_applies_from_the_next_request(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        me = api(user)
        assert me.get("users/me").status_code == 200
        user.is_active = False
        session.commit()
        assert me.get("users/me").status_code == 401
        user.is_active = True
        session.commit()
        assert me.get("users/me").status_code == 200

    @pytest.mark.parametrize("value", ["NULL", "false"])
    def test_account_that_is_not_active_is_refused(
        self, session: Session, api: Callable[..., Any], value: str
    ) -> None:
        user = make_user(session)
        session.execute(
            text(f"UPDATE users SET is_active = {value} WHERE id = :id"), {"id": user.id}
        )
        session.commit()
        assert api(user).get("users/me").status_code == 401

    def test_token_of_deleted_user_is_refused(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        me = api(user)
        session.delete(user)
        session.commit()
        assert me.get("users/me").status_code == 401

    def test_own_account_lists_permissions_of_the_global_role(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        assert api(make_user(session)).get("users/me").json()["permissions"] == []
        viewer = api(make_user(session, role="viewer")).get("users/me").json()
        assert "datasets:read" in viewer["permissions"]

    def test_unknown_role_grants_nothing(self, session: Session, api: Callable[..., Any]) -> None:
        assert api(make_user(session, role="ghost")).get("users").status_code == 403


class TestPermission:
    def test_missing_permission_is_named_and_recorded(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        answer = api(user).get("users", headers={"User-Agent": "curious"})
        assert answer.status_code == 403
        assert answer.json()["permission"] == "users:read"
        assert "users:read" in answer.json()["detail"]
        row, entry = denied(session, user)
        assert (row.action, entry.outcome) == ("access:denied", "denied")
        assert row.details["permission"] == "users:read"
        assert row.details["path"] == "/api/v1/users"
        assert row.user_agent == "curious"

    def test_refusal_by_a_service_is_recorded(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session, role=make_role(session, Permission.USERS_WRITE).name)
        path = f"users/{user.username}"
        answer = api(user).patch(path, json={"role": "admin"}, headers={"If-Match": "*"})
        assert (answer.status_code, answer.json()["code"]) == (403, "account.own_role")
        row, entry = denied(session, user)
        assert (row.details["permission"], row.details["method"]) == ("account.own_role", "PATCH")
        assert row.details["path"] == f"/api/v1/{path}"
        assert entry.project_uuid is None

    def test_refusal_by_a_service_is_recorded_with_its_project(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        project = make_project(session, make_user(session))
        user = make_member(session, project, make_role(session, Permission.MEMBERS_WRITE))
        path = f"projects/{project.uuid}/members/{user.username}"
        answer = api(user).put(path, json={"role": "admin"})
        assert answer.status_code == 403
        row, entry = denied(session, user)
        assert row.details["permission"] == answer.json()["permission"]
        assert entry.project_uuid == project.uuid

    @pytest.mark.parametrize("held", ["users:read", "users:*", "*"])
    def test_custom_role_grants_its_permission(
        self, session: Session, api: Callable[..., Any], held: str
    ) -> None:
        role = make_role(session, held)
        assert api(make_user(session, role=role.name)).get("users").status_code == 200

    def test_lost_permission_is_refused_from_the_next_request(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        role = make_role(session, Permission.USERS_READ)
        me = api(make_user(session, role=role.name))
        assert me.get("users").status_code == 200
        role.permissions = []
        session.commit()
        assert me.get("users").status_code == 403

    def test_many_denials_at_once_do_not_exhaust_the_pool(
        self, session: Session, api: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from concurrent.futures import ThreadPoolExecutor

        me = api(make_user(session))
        with ThreadPoolExecutor(40) as pool:
            codes = list(pool.map(lambda _: me.get("users").status_code, range(80)))
        assert codes == [403] * 80
