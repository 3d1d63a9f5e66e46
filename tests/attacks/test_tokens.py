"""Attack: tokens that are replayed, planted, or used after they should have expired."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.identity.models import AuthSession, User
from aiplatform.server.notifications.models import Notification
from tests.conftest import Api
from tests.factories import PASSWORD, make_user
from tests.openapi_checks import CheckedClient


def sign_in(client: CheckedClient, user: User, **headers: str) -> dict[str, Any]:
    form = {"username": user.username, "password": PASSWORD, "grant_type": "password"}
    answer = client.post("/api/v1/auth/token", data=form, headers=headers)
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def refresh(client: CheckedClient, token: str) -> Any:
    return client.post("/api/v1/auth/refresh", json={"refresh_token": token})


def works(client: CheckedClient, token: str) -> bool:
    return bool(Api(client, token).get("users/me").status_code == 200)


class TestReplay:
    def test_used_refresh_token_ends_the_session(
        self, client: CheckedClient, session: Session
    ) -> None:
        stolen = sign_in(client, make_user(session))
        second = refresh(client, stolen["refresh_token"]).json()
        third = refresh(client, second["refresh_token"]).json()
        assert refresh(client, stolen["refresh_token"]).status_code == 401
        assert not works(client, third["access_token"])
        assert refresh(client, third["refresh_token"]).status_code == 401

    @pytest.mark.parametrize("renewals", [0, 1, 2])
    def test_refresh_by_thief_within_grace_ends_session_at_next_refresh_of_owner(
        self, client: CheckedClient, session: Session, renewals: int
    ) -> None:
        """Let a thief repeat the owner's refresh immediately, like a client that lost the response.

        Then the thief keeps refreshing the new tokens.
        """
        user = make_user(session)
        first = sign_in(client, user)["refresh_token"]
        owners = refresh(client, first).json()
        thiefs = refresh(client, first).json()
        for _ in range(renewals):
            thiefs = refresh(client, thiefs["refresh_token"]).json()
        assert works(client, thiefs["access_token"])
        assert not works(client, owners["access_token"])
        assert refresh(client, owners["refresh_token"]).status_code == 401
        assert not works(client, thiefs["access_token"])
        assert refresh(client, thiefs["refresh_token"]).status_code == 401
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
        assert login.end_reason == "token_reused"
        [row] = session.scalars(
            select(AuditLog).where(
                AuditLog.action == "auth:token_reused", AuditLog.user_id == user.id
            )
        )
        assert row.details["withdrawn"] is True
        told = select(Notification.type).where(Notification.user_id == user.id)
        assert "security:token_reused" in session.scalars(told).all()

    def test_refresh_by_thief_before_owner_ends_session_at_next_refresh_of_thief(
        self, client: CheckedClient, session: Session
    ) -> None:
        first = sign_in(client, make_user(session))["refresh_token"]
        thiefs = refresh(client, first).json()
        owners = refresh(client, first).json()
        assert works(client, owners["access_token"])
        assert refresh(client, thiefs["refresh_token"]).status_code == 401
        assert not works(client, owners["access_token"])

    def test_client_that_repeats_lost_refresh_keeps_its_session(
        self, client: CheckedClient, session: Session
    ) -> None:
        first = sign_in(client, make_user(session))["refresh_token"]
        for _ in range(3):
            tokens = refresh(client, first).json()
        for _ in range(3):
            assert works(client, tokens["access_token"])
            tokens = refresh(client, tokens["refresh_token"]).json()

    def test_access_and_refresh_token_cannot_replace_each_other(
        self, client: CheckedClient, session: Session
    ) -> None:
        tokens = sign_in(client, make_user(session))
        assert refresh(client, tokens["access_token"]).status_code == 401
        assert not works(client, tokens["refresh_token"])

    def test_token_outside_the_bearer_header_is_refused(
        self, client: CheckedClient, session: Session
    ) -> None:
        token = sign_in(client, make_user(session))["access_token"]
        assert works(client, token)
        for sent in (
            {"params": {"access_token": token, "token": token}},
            {"cookies": {"access_token": token, "Authorization": f"Bearer {token}"}},
            {"headers": {"Authorization": token}},
            {"headers": {"Authorization": f"Basic {token}"}},
            {"headers": {"X-Authorization": f"Bearer {token}"}},
        ):
            assert client.get("/api/v1/users/me", **sent).status_code == 401, sent

    def test_tokens_after_sign_out_are_refused(
        self, client: CheckedClient, session: Session
    ) -> None:
        tokens = sign_in(client, make_user(session))
        Api(client, tokens["access_token"]).post("auth/logout")
        assert not works(client, tokens["access_token"])
        assert refresh(client, tokens["refresh_token"]).status_code == 401


class TestFixation:
    def test_sign_in_creates_new_session(self, client: CheckedClient, session: Session) -> None:
        """Check that the new session does not use a token that an attacker planted."""
        user = make_user(session)
        planted = sign_in(client, make_user(session))["access_token"]
        headers = {"Authorization": f"Bearer {planted}", "Cookie": f"session={planted}"}
        got = sign_in(client, user, **headers)
        assert planted not in got.values()
        answer = client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {planted}"})
        assert answer.json()["username"] != user.username
        again = sign_in(client, user)
        assert again["access_token"] != got["access_token"]

    def test_sign_in_sets_no_cookie(self, client: CheckedClient, session: Session) -> None:
        user = make_user(session)
        form = {"username": user.username, "password": PASSWORD, "grant_type": "password"}
        answer = client.post("/api/v1/auth/token", data=form)
        assert "set-cookie" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"


class TestSurvival:
    def test_deactivation_ends_all_tokens_at_once(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        tokens = sign_in(client, user)
        user.is_active = False
        session.commit()
        assert not works(client, tokens["access_token"])
        assert refresh(client, tokens["refresh_token"]).status_code == 401
        form = {"username": user.username, "password": PASSWORD, "grant_type": "password"}
        assert client.post("/api/v1/auth/token", data=form).status_code == 401

    def test_changed_password_ends_other_sessions(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        mine, thief = sign_in(client, user), sign_in(client, user)
        answer = Api(client, mine["access_token"]).put(
            "users/me/password",
            json={"current_password": PASSWORD, "new_password": "violet harbour engine 93"},
        )
        assert answer.status_code == 204, answer.text
        assert works(client, mine["access_token"])
        assert not works(client, thief["access_token"])
        assert refresh(client, thief["refresh_token"]).status_code == 401

    def test_removed_role_takes_effect_at_once(
        self, client: CheckedClient, session: Session, admin_user: User
    ) -> None:
        user = make_user(session, role="admin")
        token = sign_in(client, user)["access_token"]
        assert Api(client, token).get("users").status_code == 200
        user.role = "user"
        session.commit()
        assert Api(client, token).get("users").status_code == 403


class TestUnknownAccounts:
    def test_sign_in_to_unknown_account_takes_same_work_and_answer(
        self, client: CheckedClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pwdlib import PasswordHash

        asked: list[str] = []
        verify = PasswordHash.verify

        def counted(self: PasswordHash, password: Any, known: Any) -> bool:
            asked.append(str(known)[:20])
            return bool(verify(self, password, known))

        monkeypatch.setattr(PasswordHash, "verify", counted)
        inactive = make_user(session, active=False)
        answers = []
        for name in (make_user(session).username, "nobody-at-all", inactive.username):
            asked.clear()
            form = {"username": name, "password": "wrong one", "grant_type": "password"}
            answer = client.post("/api/v1/auth/token", data=form)
            answers.append((answer.status_code, answer.text, len(asked)))
        assert len(set(answers)) == 1, answers
        assert answers[0][0] == 401
        assert answers[0][2] == 1
