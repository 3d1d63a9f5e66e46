"""Tests of signing in, and of the delays after wrong passwords."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import bcrypt
import pytest
from pwdlib import PasswordHash
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditEntry
from aiplatform.server.identity import rules
from aiplatform.server.identity.models import AuthSession, LoginFailure, User
from aiplatform.server.identity.service import passwords
from aiplatform.server.identity.service.passwords import hash_password
from tests.factories import PASSWORD, make_token, make_user, number
from tests.openapi_checks import CheckedClient
from tests.server.identity.conftest import actions, me, renew, sign_in

pytestmark = pytest.mark.usefixtures("client")


class TestSignIn:
    def test_sign_in_returns_valid_tokens(self, client: CheckedClient, session: Session) -> None:
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

    def test_refresh_token_is_not_an_access_token(
        self, client: CheckedClient, session: Session
    ) -> None:
        tokens = sign_in(client, make_user(session).username).json()
        assert me(client, tokens["refresh_token"]) == 401
        assert renew(client, tokens["access_token"]).status_code == 401

    def test_tokens_are_stored_as_hashes(self, client: CheckedClient, session: Session) -> None:
        tokens = sign_in(client, make_user(session).username).json()
        for table in ("auth_tokens", "auth_sessions", "audit_logs"):
            rows = str(session.execute(text(f"SELECT t::text FROM {table} t")).all())
            assert tokens["access_token"] not in rows
            assert tokens["refresh_token"] not in rows

    def test_refusals_do_not_reveal_the_reason(
        self, client: CheckedClient, session: Session
    ) -> None:
        user, gone = make_user(session), make_user(session, active=False)
        answers = [
            sign_in(client, user.username, "not the password"),
            sign_in(client, f"nobody{number()}"),
            sign_in(client, gone.username),
            sign_in(client, "nul\x00name"),
        ]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.text for answer in answers}) == 1
        assert answers[0].json()["code"] == "auth.wrong_credentials"
        assert answers[0].headers["www-authenticate"] == "Bearer"
        assert actions(session, user) == ["auth:login_failed"]
        assert actions(session, gone) == ["auth:login_failed"]

    def test_entered_name_of_unknown_account_is_not_stored(
        self, client: CheckedClient, session: Session
    ) -> None:
        typed = f"my secret {number()}"
        sign_in(client, typed)
        rows = str(session.execute(text("SELECT details::text FROM audit_logs")).all())
        assert typed not in rows
        outcome = session.scalars(
            select(AuditEntry.outcome).order_by(AuditEntry.audit_id.desc()).limit(1)
        ).one()
        assert outcome == "failure"

    def test_session_has_address_and_user_agent(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        sign_in(client, user.username, headers={"User-Agent": "browser"})
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
        assert str(login.ip_address) == "127.0.0.1"
        assert login.user_agent == "browser"

    def test_sign_in_replaces_a_bcrypt_hash(self, client: CheckedClient, session: Session) -> None:
        legacy = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        user = make_user(session, password_hash=legacy)
        assert sign_in(client, user.username, "not the password").status_code == 401
        session.refresh(user)
        assert user.password_hash == legacy
        assert sign_in(client, user.username).status_code == 200
        session.refresh(user)
        assert user.password_hash.startswith("$argon2id$")
        assert sign_in(client, user.username).status_code == 200

    def test_account_inserted_by_sql_can_sign_in(
        self, client: CheckedClient, session: Session
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

    def test_sign_in_requires_form_data(self, client: CheckedClient) -> None:
        answer = client.post("/api/v1/auth/token", json={"username": "a", "password": "b"})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"

    def test_sign_in_deletes_sessions_without_valid_tokens(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        make_token(session, user, lifetime=timedelta(days=-1))
        living = make_token(session, user)
        sign_in(client, user.username)
        count = select(func.count()).where(AuthSession.user_id == user.id)
        assert session.scalar(count) == 2
        assert me(client, living) == 200

    def test_unknown_account_costs_the_same_work(
        self, client: CheckedClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Compare the calls that verify hashes, because measured times would be unreliable."""
        verified: list[str] = []
        original = PasswordHash.verify

        def verify(self: PasswordHash, password: Any, stored: Any) -> bool:
            verified.append(str(stored))
            return original(self, password, stored)

        monkeypatch.setattr(PasswordHash, "verify", verify)
        real = hash_password(PASSWORD)
        user = make_user(session, password_hash=real)
        gone = make_user(session, password_hash=real, active=False)
        for name in (user.username, gone.username, f"nobody{number()}", "nul\x00name"):
            verified.clear()
            assert sign_in(client, name, "not the password").status_code == 401
            assert len(verified) == 1, name
            # The same cost: algorithm, memory, passes and lanes.
            assert verified[0].split("$")[:4] == real.split("$")[:4]

    def test_password_changed_during_sign_in_is_refused(
        self, client: CheckedClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check that no session is opened with a password that was changed in the meantime."""
        user = make_user(session)
        original = passwords.verify

        def verify(password: str, stored: str | None) -> Any:
            outcome = original(password, stored)
            session.execute(
                update(User).where(User.id == user.id).values(password_hash=hash_password("new"))
            )
            session.commit()
            return outcome

        monkeypatch.setattr(passwords, "verify", verify)
        assert sign_in(client, user.username).status_code == 401
        assert (
            session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).all() == []
        )


class TestThrottling:
    def fail(self, client: CheckedClient, name: str, times: int) -> list[int]:
        return [sign_in(client, name, "wrong one").status_code for _ in range(times)]

    @pytest.mark.parametrize("exists", [True, False])
    def test_attempt_after_too_many_failures_must_wait(
        self, client: CheckedClient, session: Session, exists: bool
    ) -> None:
        name = make_user(session).username if exists else f"nobody{number()}"
        assert self.fail(client, name, 5) == [401] * 5
        answer = sign_in(client, name)  # even with the right password
        assert answer.status_code == 429
        assert answer.json()["code"] == "auth.too_many_attempts"
        assert answer.headers["retry-after"] == "1"
        chinese = sign_in(client, name, headers={"Accept-Language": "zh-CN"})
        assert "秒后重试" in chinese.json()["detail"]

    def test_attempt_after_the_wait_is_accepted(
        self, client: CheckedClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        user = make_user(session)
        self.fail(client, user.username, 5)
        assert sign_in(client, user.username).status_code == 429
        monkeypatch.setattr(rules, "wait_after", lambda failures, free: timedelta(0))
        assert sign_in(client, user.username).status_code == 200
        monkeypatch.undo()
        # The right password resets the count.
        assert self.fail(client, user.username, 5) == [401] * 5
        assert sign_in(client, user.username).status_code == 429

    def test_other_address_or_account_is_not_throttled(
        self, app: Any, client: CheckedClient, session: Session
    ) -> None:
        user, other = make_user(session), make_user(session)
        self.fail(client, user.username, 5)
        assert sign_in(client, other.username).status_code == 200
        elsewhere = CheckedClient(app, base_url="http://127.0.0.1", client=("2001:db8::7%eth0", 1))
        assert sign_in(elsewhere, user.username).status_code == 200

    def test_failures_from_all_addresses_are_throttled_later(
        self, app: Any, client: CheckedClient, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rules, "FREE_FAILURES_ANYWHERE", 8)
        user = make_user(session)
        for part in range(8):
            one = CheckedClient(app, base_url="http://127.0.0.1", client=(f"192.0.2.{part}", 1))
            assert sign_in(one, user.username, "wrong one").status_code == 401
        assert sign_in(client, user.username).status_code == 429

    def test_failures_from_one_address_are_throttled_over_all_accounts(
        self, app: Any, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(rules, "FREE_FAILURES_ADDRESS", 6)
        sprayer = CheckedClient(app, base_url="http://127.0.0.1", client=("198.51.100.9", 1))
        mine = make_user(session)
        codes = []
        for _ in range(6):
            codes.append(sign_in(sprayer, f"nobody{number()}", "wrong one").status_code)
            codes.append(sign_in(sprayer, mine.username).status_code)  # does not reset the count
        assert codes == [401, 200] * 5 + [401, 429]
        elsewhere = CheckedClient(app, base_url="http://127.0.0.1", client=("198.51.100.10", 1))
        assert sign_in(elsewhere, mine.username).status_code == 200

    def test_ipv6_addresses_of_one_network_count_as_one(
        self, app: Any, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        for part in range(5):
            one = CheckedClient(
                app, base_url="http://127.0.0.1", client=(f"2001:db8:1:2::{part}", 1)
            )
            assert sign_in(one, user.username, "wrong one").status_code == 401
        neighbour = CheckedClient(
            app, base_url="http://127.0.0.1", client=("2001:db8:1:2:ffff::1", 1)
        )
        assert sign_in(neighbour, user.username).status_code == 429
        elsewhere = CheckedClient(app, base_url="http://127.0.0.1", client=("2001:db8:1:3::1", 1))
        assert sign_in(elsewhere, user.username).status_code == 200

    def test_old_failures_are_ignored_and_deleted(
        self, client: CheckedClient, session: Session
    ) -> None:
        user, other = make_user(session), make_user(session)
        self.fail(client, user.username, 5)
        session.execute(
            update(LoginFailure).values(failed_at=LoginFailure.failed_at - rules.FAILURE_WINDOW)
        )
        session.commit()
        assert sign_in(client, user.username).status_code == 200
        self.fail(client, other.username, 1)
        session.rollback()
        assert session.scalar(select(func.count()).select_from(LoginFailure)) == 1

    def test_parallel_guesses_are_throttled(self, client: CheckedClient, session: Session) -> None:
        user = make_user(session)
        with ThreadPoolExecutor(12) as pool:
            codes = list(
                pool.map(
                    lambda n: sign_in(client, user.username, f"guess {n}").status_code, range(12)
                )
            )
        assert codes.count(401) == 5
        assert codes.count(429) == 7
