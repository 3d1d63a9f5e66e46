"""Tests of the first administrator, of creating accounts, and of passwords."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import session_factory, transaction
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.identity import service
from aiplatform.server.identity.models import User, UserSecurity
from aiplatform.server.identity.service.passwords import verify
from tests.conftest import ADMIN_PASSWORD, environment
from tests.factories import PASSWORD, make_role, make_user, number
from tests.openapi_checks import CheckedClient
from tests.server.seed import DATA


def first_start(**settings: Any) -> User | None:
    with transaction() as session:
        return service.bootstrap(session, Settings(**settings))


def account(name: str = "admin") -> tuple[User, bool | None]:
    with session_factory()() as session:
        user = session.scalars(select(User).where(User.username == name)).one()
        security = session.get(UserSecurity, user.id)
        return user, None if security is None else security.must_change_password


def execute(*statements: str) -> None:
    with transaction() as session:
        for statement in statements:
            session.execute(text(statement))


@pytest.mark.usefixtures("fresh_database")
class TestBootstrap:
    def test_first_start_creates_the_administrator(self) -> None:
        first_start()
        user, must_change = account()
        assert (user.email, user.role, user.is_active) == ("admin@ai-platform.com", "admin", True)
        assert verify(ADMIN_PASSWORD, user.password_hash)[0]
        assert must_change is False
        with session_factory()() as session:
            row = session.scalars(select(AuditLog)).one()
            assert (row.action, row.resource_id) == ("user:bootstrapped", str(user.uuid))
            assert row.details["actor"]["username"] == "system"

    @pytest.mark.parametrize("password", [None, "admin123", "short", "admin"])
    def test_known_or_weak_admin_password_must_be_replaced(self, password: str | None) -> None:
        with environment(AIPLATFORM_ADMIN_PASSWORD=password or "admin123"):
            with transaction() as session:
                service.bootstrap(session, get_settings())
            user, must_change = account()
        assert verify(password or "admin123", user.password_hash)[0]
        assert must_change is True

    def test_a_second_start_changes_nothing(self) -> None:
        first_start()
        before, _ = account()
        assert first_start(admin_password="another password") is None
        after, _ = account()
        assert after.password_hash == before.password_hash

    def test_admin_of_the_contract_gets_a_usable_password(self) -> None:
        execute("DELETE FROM roles", DATA)
        repaired = first_start()
        user, must_change = account()
        assert repaired is not None
        assert verify(ADMIN_PASSWORD, user.password_hash)[0]
        assert must_change is False

    def test_renamed_administrator_is_not_created_again(self) -> None:
        first_start()
        execute("UPDATE users SET username = 'root' WHERE username = 'admin'")
        assert first_start() is None
        with session_factory()() as session:
            assert session.scalars(select(User.username)).all() == ["root"]

    def test_deactivated_administrator_stays_deactivated(self) -> None:
        first_start()
        execute("UPDATE users SET is_active = false")
        assert first_start() is None
        assert account()[0].is_active is False

    def test_concurrent_starts_create_one_administrator(self) -> None:
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: first_start(), range(4)))
        assert len([user for user in made if user is not None]) == 1
        account()


class TestFirstPassword:
    def test_all_other_requests_are_refused_until_it_is_replaced(
        self, client: CheckedClient, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session, role="admin", must_change_password=True)
        me = api(user)
        for path in ("projects", "users", "audit", "notifications"):
            answer = me.get(path)
            assert answer.status_code == 403
            assert answer.json()["code"] == "auth.password_change_required"
        assert me.post("projects", json={"name": "early"}).status_code == 403
        assert me.get("users/me").json()["must_change_password"] is True
        change = {"current_password": PASSWORD, "new_password": "a better password"}
        assert me.put("users/me/password", json=change).status_code == 204
        assert me.get("projects").status_code == 200
        assert me.get("users/me").json()["must_change_password"] is False


class TestChangePassword:
    def change(self, me: Any, current: str = PASSWORD, new: str = "a better password") -> Any:
        return me.put("users/me/password", json={"current_password": current, "new_password": new})

    def test_change_ends_other_sessions(
        self, client: CheckedClient, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        mine, other = api(user), api(user)
        assert self.change(mine).status_code == 204
        assert mine.get("users/me").status_code == 200
        assert other.get("users/me").status_code == 401
        form = {"username": user.username, "password": PASSWORD}
        assert client.post("/api/v1/auth/token", data=form).status_code == 401
        form["password"] = "a better password"
        assert client.post("/api/v1/auth/token", data=form).status_code == 200
        row = session.scalars(
            select(AuditLog).where(
                AuditLog.user_id == user.id, AuditLog.action == "user:password_changed"
            )
        ).one()
        assert row.details["sessions_ended"] == 1

    def test_wrong_current_password_is_refused_recorded_and_throttled(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        me = api(user)
        for _ in range(5):
            answer = self.change(me, current="not it")
            assert answer.status_code == 422
            assert answer.json()["code"] == "account.wrong_password"
        assert self.change(me).status_code == 429
        failed = session.scalars(select(AuditLog.action).where(AuditLog.user_id == user.id)).all()
        assert failed == ["auth:login_failed"] * 5

    @pytest.mark.parametrize("new", ["admin123", "short", PASSWORD, "aaaaaaaaaa"])
    def test_weak_password_is_refused_in_the_language_of_the_caller(
        self, session: Session, api: Callable[..., Any], new: str
    ) -> None:
        me = api(make_user(session))
        answer = self.change(me, new=new)
        assert answer.status_code == 422
        assert answer.json()["code"] == "account.weak_password"
        chinese = me.put(
            "users/me/password",
            json={"current_password": PASSWORD, "new_password": new},
            headers={"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"},
        )
        assert "密码" in chinese.json()["detail"]

    def test_passwords_do_not_appear_in_the_audit_trail(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        me = api(make_user(session))
        self.change(me, current="wrong secret 1")
        self.change(me, new="right secret 2")
        rows = str(session.execute(text("SELECT t::text FROM audit_logs t")).all())
        assert "secret" not in rows


class TestCreateUser:
    def body(self, **fields: Any) -> dict[str, Any]:
        name = f"new{number()}"
        return {
            "username": name,
            "email": f"{name}@example.com",
            "password": "a fine password",
            **fields,
        }

    def test_created_account_can_sign_in(self, client: CheckedClient, admin: Any) -> None:
        body = self.body()
        answer = admin.post("users", json=body)
        assert answer.status_code == 201
        user = answer.json()
        assert user["role"] == "user"
        assert "password" not in str(user).replace("password_", "")
        form = {"username": body["username"], "password": body["password"]}
        assert client.post("/api/v1/auth/token", data=form).status_code == 200
        assert admin.get("users").json()["items"][0] == user | {
            "last_login_at": admin.get("users").json()["items"][0]["last_login_at"]
        }
        audited = admin.get("audit", params={"action": "user:created"}).json()["items"][0]
        assert audited["resource_id"] == user["uuid"]

    def test_created_account_must_change_its_password_if_demanded(
        self, client: CheckedClient, admin: Any
    ) -> None:
        body = self.body(must_change_password=True)
        admin.post("users", json=body)
        form = {"username": body["username"], "password": body["password"]}
        answer = client.post("/api/v1/auth/token", data=form).json()
        assert answer["must_change_password"] is True

    @pytest.mark.parametrize("field", ["username", "email"])
    def test_name_or_address_in_use_in_another_case_is_refused(
        self, admin: Any, field: str
    ) -> None:
        first = self.body()
        admin.post("users", json=first)
        second = self.body(**{field: first[field].upper()})
        answer = admin.post("users", json=second)
        assert answer.status_code == 409
        assert answer.json()["code"] == "resource.name_taken"

    @pytest.mark.parametrize(
        "fields",
        [
            {"username": "a"},
            {"username": "white space"},
            {"username": "カナ"},
            {"username": "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11"},
            {"username": "x" * 51},
            {"email": "no address"},
            {"email": "nul\x00@example.com"},
            {"email": f"{'x' * 99}@example.com"},
            {"password": "admin123"},
            {"password": "short"},
            {"role": None},
            {"unknown": 1},
        ],
    )
    def test_invalid_fields_are_refused(self, admin: Any, fields: dict[str, Any]) -> None:
        assert admin.post("users", json=self.body(**fields)).status_code == 422

    def test_reserved_name_is_refused(self, admin: Any) -> None:
        assert admin.post("users", json=self.body(username="System")).status_code == 409

    def test_unknown_role_is_refused(self, admin: Any) -> None:
        answer = admin.post("users", json=self.body(role="no such role"))
        assert answer.status_code == 404
        assert "role" in answer.json()["detail"]

    def test_role_with_too_long_name_is_refused(self, admin: Any, session: Session) -> None:
        role = make_role(session, Permission.USERS_READ, name="a name over twenty letters")
        assert admin.post("users", json=self.body(role=role.name)).status_code == 422

    def test_role_with_permissions_that_the_caller_lacks_is_refused(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        mine = make_role(session, Permission.USERS_WRITE, Permission.USERS_READ)
        helper = api(make_user(session, role=mine.name))
        assert helper.post("users", json=self.body()).status_code == 201
        assert helper.post("users", json=self.body(role=mine.name)).status_code == 201
        for role, missing in (("admin", "*"), ("viewer", "datasets:read")):
            answer = helper.post("users", json=self.body(role=role))
            assert answer.status_code == 403
            assert missing in answer.json()["permission"]

    def test_concurrent_requests_for_one_name_create_one_account(self, admin: Any) -> None:
        body = self.body()
        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(lambda _: admin.post("users", json=body).status_code, range(4)))
        assert sorted(codes) == [201, 409, 409, 409]


class TestListUsers:
    def test_pages_contain_every_account_once(self, admin: Any, session: Session) -> None:
        made = [make_user(session).username for _ in range(5)]
        seen, cursor = [], None
        while True:
            params = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
            page = admin.get("users", params=params).json()
            seen += [user["username"] for user in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen[:5] == made[::-1]
        assert len(seen) == len(set(seen))
        assert "admin" in seen


class TestOwnAddress:
    def test_change_of_own_address_requires_the_password(
        self, session: Session, api: Callable[..., Any]
    ) -> None:
        user, other = make_user(session), make_user(session)
        mine = api(user)
        email = f"moved{number()}@example.com"
        wrong = mine.put("users/me/email", json={"email": email, "password": "not it at all"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "account.wrong_password")
        taken = {"email": other.email.upper(), "password": PASSWORD}
        assert mine.put("users/me/email", json=taken).status_code == 409
        right = {"email": email, "password": PASSWORD}
        assert mine.put("users/me/email", json=right).status_code == 204
        assert mine.get("users/me").json()["email"] == email
        inbox = mine.get("notifications").json()["items"]
        assert inbox[0]["type"] == "security:email_changed"
