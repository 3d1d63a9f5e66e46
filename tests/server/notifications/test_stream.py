"""Tests of the live stream of notifications, and of its end."""

import time
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core.database import commit
from aiplatform.server.core.events import libpq_url
from aiplatform.server.identity.models import AuthSession
from aiplatform.server.notifications.service import Hub, announce, stream
from aiplatform.server.notifications.service.stream import Position
from tests.factories import make_key, make_notification, make_token, make_user
from tests.server.notifications.stream_client import call, tell


class TestLive:
    def test_notification_arrives_with_the_new_count(self, session: Session, watch: Any) -> None:
        user, other = make_user(session), make_user(session)
        watcher = watch(make_token(session, user))
        assert watcher.events[0][:2] == ("ready", {"unread": 0})
        began = time.monotonic()
        tell(session, other, "foreign")
        tell(session, user, "mine")
        watcher.until(lambda w: "unread" in w.kinds())
        assert time.monotonic() - began < 2
        assert watcher.names() == ["mine"]
        assert watcher.events[-1][:2] == ("unread", {"unread": 1})
        title = next(data["title"] for kind, data, _ in watcher.events if kind == "notification")
        assert title == "mine: completed"

    def test_notification_is_in_the_language_of_the_reader(
        self, session: Session, watch: Any
    ) -> None:
        user = make_user(session)
        english = watch(make_token(session, user))
        chinese = watch(make_token(session, user), language="zh")
        tell(session, user, "tune")
        for watcher, title in ((english, "tune: completed"), (chinese, "tune：已完成")):
            watcher.until(lambda w: bool(w.names()))
            assert watcher.events[1][1]["title"] == title

    def test_count_changes_when_read_elsewhere(
        self, session: Session, watch: Any, server_url: str
    ) -> None:
        user = make_user(session)
        token = make_token(session, user)
        details = make_notification(session, user)
        watcher = watch(token)
        assert watcher.events[0][1] == {"unread": 1}
        call(server_url, token, "POST", f"notifications/{details.uuid}/read")
        watcher.until(lambda w: ("unread", {"unread": 0}, None) in w.events)

    def test_rolled_back_notification_is_not_sent(self, session: Session, watch: Any) -> None:
        user = make_user(session)
        watcher = watch(make_token(session, user))
        announce(session, N.TASK_COMPLETED, to=[user.id], name="undone")
        session.rollback()
        tell(session, user, "done")
        watcher.until(lambda w: "done" in w.names())
        assert watcher.names() == ["done"]


class TestEnd:
    @pytest.mark.parametrize("how", ["session ended", "deactivated", "logout"])
    def test_stream_ends_within_a_second_after_the_session(
        self, how: str, session: Session, watch: Any, server_url: str
    ) -> None:
        user = make_user(session)
        token = make_token(session, user)
        watcher = watch(token)
        began = time.monotonic()
        if how == "deactivated":
            session.execute(
                text("UPDATE users SET is_active = false WHERE id = :id"), {"id": user.id}
            )
            session.commit()
        elif how == "logout":
            assert call(server_url, token, "POST", "auth/logout") == 204
        else:
            login = session.scalars(select(AuthSession).where(AuthSession.user_id == user.id)).one()
            login.ended_at = login.created_at
            session.commit()
        assert watcher.ended.wait(5)
        assert time.monotonic() - began < 1.6
        assert watcher.kinds()[-1] == "error"
        assert watcher.events[-1][1]["status"] == 401

    def test_api_key_is_refused(self, session: Session, server_url: str) -> None:
        make_key(session, make_user(session), "projects:read", token="aip_key_of_a_watcher")
        answer = httpx.get(
            f"{server_url}/api/v1/notifications/stream",
            headers={"Authorization": "Bearer aip_key_of_a_watcher"},
        )
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.session_required")

    def test_inactive_user_or_invalid_token_is_refused(
        self, session: Session, server_url: str
    ) -> None:
        user = make_user(session, active=False)
        for token in (make_token(session, user), "nonsense"):
            answer = httpx.get(
                f"{server_url}/api/v1/notifications/stream",
                headers={"Authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 401

    def test_closed_streams_are_removed(self, session: Session, watch: Any, app: FastAPI) -> None:
        hub: Hub = app.state.notifications
        watchers = [watch(make_token(session, make_user(session))) for _ in range(3)]
        assert hub.watching >= 3
        for watcher in watchers:
            watcher.close()
        deadline = time.monotonic() + 10
        while hub.watching and time.monotonic() < deadline:
            time.sleep(0.05)
        assert hub.watching == 0

    def test_streams_of_one_user_are_limited(
        self, session: Session, watch: Any, server_url: str, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(stream, "MAX_STREAMS", 2)
        token = make_token(session, make_user(session))
        for _ in range(2):
            watch(token)
        answer = httpx.get(
            f"{server_url}/api/v1/notifications/stream",
            headers={"Authorization": f"Bearer {token}"},
        )
        assert (answer.status_code, answer.json()["code"]) == (429, "notification.too_many_streams")

    def test_heartbeats_are_sent(self, session: Session, server_url: str, monkeypatch: Any) -> None:
        monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.1)
        headers = {"Authorization": f"Bearer {make_token(session, make_user(session))}"}
        with (
            httpx.Client(timeout=10) as client,
            client.stream(
                "GET", f"{server_url}/api/v1/notifications/stream", headers=headers
            ) as answer,
        ):
            assert any(line == ": still here" for line in answer.iter_lines())


class TestCost:
    def test_watchers_hold_no_connection_and_share_queries(
        self, session: Session, watch: Any, database_url: str, monkeypatch: Any
    ) -> None:
        looks: list[int] = []
        original = stream._news

        def counted(tail: Position, changed: set[int]) -> Any:
            looks.append(len(changed))
            return original(tail, changed)

        users = [make_user(session) for _ in range(15)]
        watchers = [watch(make_token(session, user)) for user in users]
        monkeypatch.setattr(stream, "_news", counted)
        for user in users:
            announce(session, N.TASK_COMPLETED, to=[user.id], name="all")
        commit(session)
        for watcher in watchers:
            watcher.until(lambda w: w.names() == ["all"])
        assert len(looks) < 10
        with psycopg.connect(libpq_url(database_url)) as connection:
            listening = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND query LIKE 'LISTEN%'"
            ).fetchone()
        assert listening == (1,)

    def test_stream_continues_after_the_database_was_away(
        self, session: Session, watch: Any, monkeypatch: Any
    ) -> None:
        from sqlalchemy.exc import OperationalError

        original, failures = stream._news, [0]

        def failing(tail: Position, changed: set[int]) -> Any:
            if failures[0] < 2:
                failures[0] += 1
                raise OperationalError("x", None, Exception("away"))
            return original(tail, changed)

        user = make_user(session)
        watcher = watch(make_token(session, user))
        monkeypatch.setattr(stream, "_news", failing)
        tell(session, user, "told all the same")
        watcher.until(lambda w: bool(w.names()))
        assert failures == [2]
