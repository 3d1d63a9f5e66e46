"""Tests of token renewal with refresh tokens, each of which can be used once."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import AuthSession, AuthToken, User
from tests.factories import make_user
from tests.openapi_checks import CheckedClient
from tests.server.identity.conftest import actions, age_used_tokens, me, renew, sign_in

pytestmark = pytest.mark.usefixtures("client")


class TestRefresh:
    def pair(self, client: CheckedClient, session: Session) -> tuple[User, dict[str, str]]:
        user = make_user(session)
        return user, sign_in(client, user.username).json()

    def test_refresh_returns_a_new_pair_of_tokens(
        self, client: CheckedClient, session: Session
    ) -> None:
        user, first = self.pair(client, session)
        second = renew(client, first["refresh_token"]).json()
        assert me(client, second["access_token"]) == 200
        # Requests that use the old access token may finish.
        assert me(client, first["access_token"]) == 200
        third = renew(client, second["refresh_token"])
        assert third.status_code == 200
        assert actions(session, user) == ["auth:login", "auth:refresh", "auth:refresh"]

    def test_second_use_ends_the_session(self, client: CheckedClient, session: Session) -> None:
        user, first = self.pair(client, session)
        second = renew(client, first["refresh_token"]).json()
        age_used_tokens(session, 11)
        assert renew(client, first["refresh_token"]).status_code == 401
        assert me(client, second["access_token"]) == 401
        assert me(client, first["access_token"]) == 401
        assert renew(client, second["refresh_token"]).status_code == 401
        assert actions(session, user)[-1] == "auth:token_reused"
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
        assert login.end_reason == "token_reused"

    def test_second_use_after_use_of_the_successor_ends_the_session_at_once(
        self, client: CheckedClient, session: Session
    ) -> None:
        _, first = self.pair(client, session)
        second = renew(client, first["refresh_token"]).json()
        third = renew(client, second["refresh_token"]).json()
        assert renew(client, first["refresh_token"]).status_code == 401
        assert me(client, third["access_token"]) == 401

    def test_lost_answer_can_be_requested_again(
        self, client: CheckedClient, session: Session
    ) -> None:
        _, first = self.pair(client, session)
        lost = renew(client, first["refresh_token"]).json()
        again = renew(client, first["refresh_token"])
        assert again.status_code == 200
        pair = again.json()
        assert me(client, pair["access_token"]) == 200
        # Only the new pair is valid; the pair in the lost response is not.
        assert me(client, lost["access_token"]) == 401
        assert renew(client, pair["refresh_token"]).status_code == 200

    def test_parallel_uses_leave_one_valid_pair(
        self, client: CheckedClient, session: Session
    ) -> None:
        _, first = self.pair(client, session)
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: renew(client, first["refresh_token"]), range(6)))
        assert {answer.status_code for answer in answers} == {200}
        living = [a for a in answers if me(client, a.json()["access_token"]) == 200]
        assert len(living) == 1

    def test_thief_and_owner_never_both_stay_signed_in(
        self, client: CheckedClient, session: Session
    ) -> None:
        """Give both the same refresh token; both renew their tokens several times in parallel."""
        for _ in range(6):
            _, first = self.pair(client, session)

            def walk(steps: int, start: str = first["refresh_token"]) -> str | None:
                token, access = start, None
                for _ in range(steps):
                    answer = renew(client, token)
                    if answer.status_code != 200:
                        return None
                    token, access = answer.json()["refresh_token"], answer.json()["access_token"]
                return access

            with ThreadPoolExecutor(2) as pool:
                held = list(pool.map(walk, (3, 2)))
            living = [access for access in held if access and me(client, access) == 200]
            assert len(living) <= 1

    @pytest.mark.parametrize("gone", ["token", "session"])
    def test_token_or_session_deleted_while_waiting_is_refused(
        self, client: CheckedClient, session: Session, gone: str
    ) -> None:
        user, first = self.pair(client, session)
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
        session.execute(select(AuthSession.id).where(AuthSession.id == login.id).with_for_update())
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(renew, client, first["refresh_token"])
            time.sleep(0.5)
            if gone == "token":
                session.execute(delete(AuthToken).where(AuthToken.session_id == login.id))
            else:
                session.execute(delete(AuthSession).where(AuthSession.id == login.id))
            session.commit()
            assert waiting.result().status_code == 401

    def test_refresh_deletes_expired_tokens(self, client: CheckedClient, session: Session) -> None:
        user, first = self.pair(client, session)
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
        session.execute(
            update(AuthToken)
            .where(AuthToken.session_id == login.id, AuthToken.kind == "access")
            .values(expires_at=func.now() - timedelta(seconds=1))
        )
        session.commit()
        assert renew(client, first["refresh_token"]).status_code == 200
        kinds = session.scalars(select(AuthToken.kind).where(AuthToken.session_id == login.id))
        assert sorted(kinds) == ["access", "refresh", "refresh"]

    def test_other_sessions_continue_after_a_second_use(
        self, client: CheckedClient, session: Session
    ) -> None:
        user, first = self.pair(client, session)
        other = sign_in(client, user.username).json()
        renew(client, first["refresh_token"])
        age_used_tokens(session, 11)
        renew(client, first["refresh_token"])
        assert me(client, other["access_token"]) == 200

    @pytest.mark.parametrize("change", ["expired", "deactivated", "signed out", "user gone"])
    def test_token_of_ended_session_is_refused(
        self, client: CheckedClient, session: Session, change: str
    ) -> None:
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
        assert answer.json()["code"] == "auth.unauthenticated"

    @pytest.mark.parametrize("token", ["nonsense", "nul\x00", "密", "x" * 200])
    def test_unknown_token_is_refused(self, client: CheckedClient, token: str) -> None:
        assert renew(client, token).status_code == 401
