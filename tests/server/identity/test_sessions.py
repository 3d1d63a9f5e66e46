"""Signing in, renewing, signing out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import bcrypt
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.identity import rules
from aiplatform.server.identity.models import AuthSession, AuthToken, User
from tests.factories import PASSWORD, make_token, make_user, number

pytestmark = pytest.mark.usefixtures("client")


def sign_in(client: TestClient, username: str, password: str = PASSWORD, **options: Any) -> Any:
    return client.post(
        "/api/v1/auth/token",
        data={"username": username, "password": password, "grant_type": "password"},
        **options,
    )


def renew(client: TestClient, token: str) -> Any:
    return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def me(client: TestClient, token: str) -> int:
    answer = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})
    return int(answer.status_code)


def actions(session: Session, user: User) -> list[str]:
    session.rollback()
    return list(
        session.scalars(
            select(AuditLog.action).where(AuditLog.user_id == user.id).order_by(AuditLog.id)
        )
    )


def age_use(session: Session, seconds: float) -> None:
    """Let the time since every use of a refresh token be longer."""
    session.execute(
        update(AuthToken)
        .where(AuthToken.used_at.is_not(None))
        .values(used_at=AuthToken.used_at - timedelta(seconds=seconds))
    )
    session.commit()


class TestSignIn:
    def test_gives_tokens_that_open_the_api(self, client: TestClient, session: Session) -> None:
        user = make_user(session)
        answer = sign_in(client, user.username)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        tokens = answer.json()
        assert tokens["token_type"] == "bearer"
        assert tokens["expires_in"] == 30 * 60
        assert tokens["must_change_password"] is False
        assert me(client, tokens["access_token"]) == 200
        session.refresh(user)
        assert user.last_login_at is not None
        assert actions(session, user) == ["auth:login"]

    def test_a_refresh_token_is_no_access_token(self, client: TestClient, session: Session) -> None:
        tokens = sign_in(client, make_user(session).username).json()
        assert me(client, tokens["refresh_token"]) == 401
        assert renew(client, tokens["access_token"]).status_code == 401

    def test_tokens_rest_hashed(self, client: TestClient, session: Session) -> None:
        tokens = sign_in(client, make_user(session).username).json()
        for table in ("auth_tokens", "auth_sessions", "audit_logs"):
            rows = str(session.execute(text(f"SELECT t::text FROM {table} t")).all())
            assert tokens["access_token"] not in rows
            assert tokens["refresh_token"] not in rows

    def test_refuses_alike_whatever_is_wrong(self, client: TestClient, session: Session) -> None:
        user, gone = make_user(session), make_user(session, active=False)
        answers = [
            sign_in(client, user.username, "not the password"),
            sign_in(client, f"nobody{number()}"),
            sign_in(client, gone.username),
            sign_in(client, "nul\x00name"),
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.text for answer in answers}) == 1
        assert answers[0].json()["code"] == "wrong_credentials"
        assert answers[0].headers["www-authenticate"] == "Bearer"
        assert actions(session, user) == ["auth:login_failed"]
        assert actions(session, gone) == ["auth:login_failed"]

    def test_keeps_no_typed_name_of_an_unknown_account(
        self, client: TestClient, session: Session
    ) -> None:
        typed = f"my secret {number()}"
        sign_in(client, typed)
        rows = str(session.execute(text("SELECT details::text FROM audit_logs")).all())
        assert typed not in rows
        outcome = session.scalars(
            select(AuditEntry.outcome).order_by(AuditEntry.audit_id.desc()).limit(1)
        ).one()
        assert outcome == "failure"

    def test_records_where_from(self, client: TestClient, session: Session) -> None:
        user = make_user(session)
        sign_in(client, user.username, headers={"User-Agent": "browser"})
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
        assert str(login.ip_address) == "127.0.0.1"
        assert login.user_agent == "browser"

    def test_upgrades_a_bcrypt_hash(self, client: TestClient, session: Session) -> None:
        legacy = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        user = make_user(session, password_hash=legacy)
        assert sign_in(client, user.username, "not the password").status_code == 401
        session.refresh(user)
        assert user.password_hash == legacy
        assert sign_in(client, user.username).status_code == 200
        session.refresh(user)
        assert user.password_hash.startswith("$argon2id$")
        assert sign_in(client, user.username).status_code == 200

    def test_an_account_of_the_contracts_own_sql_can_sign_in(
        self, client: TestClient, session: Session
    ) -> None:
        legacy = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        name = f"plain{number()}"
        session.execute(
            text(
                "INSERT INTO users (username, email, password_hash) VALUES (:name, :email, :hash)"
            ),
            {"name": name, "email": f"{name}@example.com", "hash": legacy},
        )
        session.commit()
        tokens = sign_in(client, name).json()
        assert me(client, tokens["access_token"]) == 200

    def test_needs_the_form(self, client: TestClient) -> None:
        answer = client.post("/api/v1/auth/token", json={"username": "a", "password": "b"})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"

    def test_forgets_sessions_whose_tokens_have_all_expired(
        self, client: TestClient, session: Session
    ) -> None:
        user = make_user(session)
        make_token(session, user, lifetime=timedelta(days=-1))
        living = make_token(session, user)
        sign_in(client, user.username)
        count = select(func.count()).where(AuthSession.user_id == user.id)
        assert session.scalar(count) == 2
        assert me(client, living) == 200


class TestSlowDown:
    def fail(self, client: TestClient, name: str, times: int) -> list[int]:
        return [sign_in(client, name, "wrong one").status_code for _ in range(times)]

    @pytest.mark.parametrize("exists", [True, False])
    def test_too_many_failures_must_wait(
        self, client: TestClient, session: Session, exists: bool
    ) -> None:
        name = make_user(session).username if exists else f"nobody{number()}"
        assert self.fail(client, name, 5) == [401] * 5
        answer = sign_in(client, name)  # even the right password
        assert answer.status_code == 429
        assert answer.json()["code"] == "too_many_attempts"
        assert answer.headers["retry-after"] == "1"
        chinese = sign_in(client, name, headers={"Accept-Language": "zh-CN"})
        assert "秒后重试" in chinese.json()["detail"]

    def test_waiting_helps(
        self, client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = make_user(session)
        self.fail(client, user.username, 5)
        assert sign_in(client, user.username).status_code == 429
        monkeypatch.setattr(rules, "wait_after", lambda failures, free: timedelta(0))
        assert sign_in(client, user.username).status_code == 200
        monkeypatch.undo()
        # The right password ends the count.
        assert self.fail(client, user.username, 5) == [401] * 5
        assert sign_in(client, user.username).status_code == 429

    def test_another_address_and_another_account_are_not_slowed(
        self, app: Any, client: TestClient, session: Session
    ) -> None:
        user, other = make_user(session), make_user(session)
        self.fail(client, user.username, 5)
        assert sign_in(client, other.username).status_code == 200
        elsewhere = TestClient(app, client=("2001:db8::7%eth0", 1))
        assert sign_in(elsewhere, user.username).status_code == 200

    def test_all_addresses_together_are_slowed_later(
        self, app: Any, client: TestClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rules, "FREE_FAILURES_ANYWHERE", 8)
        user = make_user(session)
        for part in range(8):
            one = TestClient(app, client=(f"192.0.2.{part}", 1))
            assert sign_in(one, user.username, "wrong one").status_code == 401
        assert sign_in(client, user.username).status_code == 429

    def test_parallel_guesses_do_not_get_around_it(
        self, client: TestClient, session: Session
    ) -> None:
        user = make_user(session)
        with ThreadPoolExecutor(12) as pool:
            codes = list(
                pool.map(
                    lambda n: sign_in(client, user.username, f"guess {n}").status_code, range(12)
                )
            )
        assert codes.count(401) == 5
        assert codes.count(429) == 7


class TestRefresh:
    def pair(self, client: TestClient, session: Session) -> tuple[User, dict[str, str]]:
        user = make_user(session)
        return user, sign_in(client, user.username).json()

    def test_rotates(self, client: TestClient, session: Session) -> None:
        user, first = self.pair(client, session)
        second = renew(client, first["refresh_token"]).json()
        assert me(client, second["access_token"]) == 200
        # What is under way with the old access token may end in peace.
        assert me(client, first["access_token"]) == 200
        third = renew(client, second["refresh_token"])
        assert third.status_code == 200
        assert actions(session, user) == ["auth:login", "auth:refresh", "auth:refresh"]

    def test_a_second_use_ends_the_family(self, client: TestClient, session: Session) -> None:
        user, first = self.pair(client, session)
        second = renew(client, first["refresh_token"]).json()
        age_use(session, 11)
        assert renew(client, first["refresh_token"]).status_code == 401
        assert me(client, second["access_token"]) == 401
        assert me(client, first["access_token"]) == 401
        assert renew(client, second["refresh_token"]).status_code == 401
        assert actions(session, user)[-1] == "auth:token_reused"
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
        assert login.end_reason == "token_reused"

    def test_a_second_use_after_the_successor_was_used_ends_it_even_at_once(
        self, client: TestClient, session: Session
    ) -> None:
        _, first = self.pair(client, session)
        second = renew(client, first["refresh_token"]).json()
        third = renew(client, second["refresh_token"]).json()
        assert renew(client, first["refresh_token"]).status_code == 401
        assert me(client, third["access_token"]) == 401

    def test_a_lost_answer_can_be_asked_for_again(
        self, client: TestClient, session: Session
    ) -> None:
        _, first = self.pair(client, session)
        lost = renew(client, first["refresh_token"]).json()
        again = renew(client, first["refresh_token"])
        assert again.status_code == 200
        pair = again.json()
        assert me(client, pair["access_token"]) == 200
        # Only one living pair: whoever got the first answer is out.
        assert me(client, lost["access_token"]) == 401
        assert renew(client, lost["refresh_token"]).status_code == 401
        assert renew(client, pair["refresh_token"]).status_code == 200

    def test_parallel_uses_leave_one_living_pair(
        self, client: TestClient, session: Session
    ) -> None:
        _, first = self.pair(client, session)
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: renew(client, first["refresh_token"]), range(6)))
        assert {answer.status_code for answer in answers} == {200}
        living = [a for a in answers if me(client, a.json()["access_token"]) == 200]
        assert len(living) == 1

    def test_other_sessions_go_on(self, client: TestClient, session: Session) -> None:
        user, first = self.pair(client, session)
        other = sign_in(client, user.username).json()
        renew(client, first["refresh_token"])
        age_use(session, 11)
        renew(client, first["refresh_token"])
        assert me(client, other["access_token"]) == 200

    @pytest.mark.parametrize("change", ["expired", "deactivated", "signed out", "user gone"])
    def test_refuses(self, client: TestClient, session: Session, change: str) -> None:
        user, first = self.pair(client, session)
        if change == "expired":
            session.execute(update(AuthToken).values(expires_at=func.now()))
        elif change == "deactivated":
            user.is_active = False
        elif change == "signed out":
            headers = {"Authorization": f"Bearer {first['access_token']}"}
            assert client.post("/api/v1/auth/logout", headers=headers).status_code == 204
        else:
            session.delete(user)
        session.commit()
        answer = renew(client, first["refresh_token"])
        assert answer.status_code == 401
        assert answer.json()["code"] == "unauthenticated"

    @pytest.mark.parametrize("token", ["nonsense", "nul\x00", "密", "x" * 200])
    def test_unknown_tokens_are_refused(self, client: TestClient, token: str) -> None:
        assert renew(client, token).status_code == 401


class TestSignOut:
    def test_ends_the_session_at_once(
        self, client: TestClient, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        first, second = api(user), api(user)
        assert first.post("auth/logout").status_code == 204
        assert first.get("users/me").status_code == 401
        assert first.post("auth/logout").status_code == 401
        assert second.get("users/me").status_code == 200
        assert actions(session, user) == ["auth:logout"]
