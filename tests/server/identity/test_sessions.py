"""Tests of signing out and of an account's sessions."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import AuthSession
from aiplatform.server.identity.service import credential_watcher
from tests.conftest import Api
from tests.factories import make_token, make_user
from tests.openapi_checks import CheckedClient
from tests.server.identity.conftest import actions, me, sign_in

pytestmark = pytest.mark.usefixtures("client")


class TestSignOut:
    def test_sign_out_ends_the_session_at_once(
        self, client: CheckedClient, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        first, second = api(user), api(user)
        assert first.post("auth/logout").status_code == 204
        assert first.get("users/me").status_code == 401
        assert first.post("auth/logout").status_code == 401
        assert second.get("users/me").status_code == 200
        assert actions(session, user) == ["auth:logout"]


class TestOwnSessions:
    def test_list_contains_device_address_and_times(
        self, client: CheckedClient, session: Session
    ) -> None:
        user = make_user(session)
        first = sign_in(client, user.username, headers={"User-Agent": "phone"}).json()
        sign_in(client, user.username, headers={"User-Agent": "laptop"})
        mine = Api(client, first["access_token"])
        items = mine.get("users/me/sessions").json()["items"]
        assert [(item["user_agent"], item["current"]) for item in items] == [
            ("laptop", False), ("phone", True),
        ]  # fmt: skip
        assert items[0]["ip_address"] == "127.0.0.1"
        assert items[0]["created_at"] <= items[0]["last_seen_at"]
        assert mine.get("users/me/sessions", params={"limit": 1}).json()["next_cursor"]

    def test_one_or_all_other_sessions_can_be_ended(
        self, client: CheckedClient, session: Session, api: Callable[..., Any]
    ) -> None:
        user = make_user(session)
        mine, others = api(user), [api(user) for _ in range(3)]
        uuid = mine.get("users/me/sessions").json()["items"][0]["uuid"]
        assert mine.delete(f"users/me/sessions/{uuid}").status_code == 204
        assert [other.get("users/me").status_code for other in others] == [200, 200, 401]
        assert mine.delete(f"users/me/sessions/{uuid}").status_code == 404
        assert mine.delete("users/me/sessions").json() == {"ended": 2}
        assert [other.get("users/me").status_code for other in others] == [401] * 3
        assert mine.get("users/me").status_code == 200
        assert actions(session, user) == ["session:ended", "session:ended"]

    def test_session_of_another_user_can_not_be_ended(
        self, session: Session, api: Callable[..., Any], admin: Any
    ) -> None:
        user, other = make_user(session), make_user(session)
        theirs = api(other)
        uuid = theirs.get("users/me/sessions").json()["items"][0]["uuid"]
        assert api(user).delete(f"users/me/sessions/{uuid}").status_code == 404
        assert theirs.get("users/me").status_code == 200
        # An administrator can end all sessions but does not see their devices and addresses.
        assert admin.delete(f"users/{other.username}/sessions").json() == {"ended": 1}
        assert theirs.get("users/me").status_code == 401

    def test_time_of_last_use_is_stored(
        self, app: Any, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(credential_watcher, "RECORD_SECONDS", 0.0)
        user = make_user(session)
        token = make_token(session, user)
        mine = select(AuthSession.last_seen_at).where(AuthSession.user_id == user.id)
        assert session.scalar(mine) is None
        with CheckedClient(app, base_url="http://127.0.0.1") as started:
            assert me(started, token) == 200
        session.rollback()  # the time is written when the process stops, if not before
        assert session.scalar(mine) is not None
