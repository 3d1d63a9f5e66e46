"""Each user's inbox."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core import database
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit
from aiplatform.server.core.events import get_notifier
from aiplatform.server.notifications.models import Notification
from aiplatform.server.notifications.service import notify_user
from tests.factories import make_notification, make_project, make_user

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


def titles(answer: Any) -> list[str]:
    return [item["title"] for item in answer.json()["items"]]


class TestInbox:
    def test_is_ones_own_newest_first(self, session: Session, api: Act) -> None:
        user, other = make_user(session), make_user(session)
        for title in ("first", "second"):
            make_notification(session, user, title=title)
        make_notification(session, other, title="private")
        assert titles(api(user).get("notifications")) == ["second", "first"]

    def test_shows_what_there_is_to_know(self, session: Session, api: Act) -> None:
        user = make_user(session)
        project = make_project(session, user)
        notify_user(
            session, user.id, "task:failed", "t\x00" * 200, "why", project=project.uuid, step=3
        )
        commit(session)
        (shown,) = api(user).get("notifications").json()["items"]
        assert (shown["type"], shown["message"], shown["is_read"]) == ("task:failed", "why", False)
        assert shown["project"] == str(project.uuid)
        assert shown["data"] == {"step": 3}
        assert shown["title"] == ("t\ufffd" * 200)[:255]

    def test_nobody_is_told_nothing(self, session: Session) -> None:
        before = session.scalar(text("SELECT count(*) FROM notifications"))
        notify_user(session, None, "task:failed", "title", "message")
        assert session.scalar(text("SELECT count(*) FROM notifications")) == before

    def test_walks_by_cursor(self, session: Session, api: Act) -> None:
        user = make_user(session)
        made = [make_notification(session, user).uuid for _ in range(5)]
        me, seen, cursor = api(user), [], None
        while True:
            params = {"limit": 2} | ({} if cursor is None else {"cursor": cursor})
            page = me.get("notifications", params=params).json()
            seen += [item["uuid"] for item in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [str(uuid) for uuid in reversed(made)]

    def test_wakes_who_watches_after_the_commit(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        woken: list[str] = []
        monkeypatch.setattr(get_notifier(), "notify", woken.append)
        user = make_user(session)
        notify_user(session, user.id, "task:failed", "title", "message")
        assert woken == []
        commit(session)
        assert woken == [f"inbox:{user.id}"]
        notify_user(session, user.id, "task:failed", "title", "message")
        session.rollback()
        commit(session)
        assert woken == [f"inbox:{user.id}"]

    def test_goes_with_its_user(self, session: Session) -> None:
        user = make_user(session)
        id_ = make_notification(session, user).notification_id
        session.delete(user)
        session.commit()
        session.expire_all()
        assert session.get(Notification, id_) is None


class TestRead:
    def test_once_and_for_all(self, session: Session, api: Act) -> None:
        user = make_user(session)
        details, _ = make_notification(session, user), make_notification(session, user)
        me = api(user)
        for _ in range(2):
            answer = me.post(f"notifications/{details.uuid}/read")
            assert answer.status_code == 200
            assert answer.json()["is_read"] is True
        assert len(titles(me.get("notifications", params={"unread": True}))) == 1
        assert len(titles(me.get("notifications"))) == 2
        actions = session.scalars(select(AuditLog.action).where(AuditLog.user_id == user.id)).all()
        assert actions == ["notification:read"]

    @pytest.mark.parametrize("uuid", [uuid4(), "not a uuid"])
    def test_what_is_not_there(self, session: Session, api: Act, uuid: Any) -> None:
        answer = api(make_user(session)).post(f"notifications/{uuid}/read")
        assert answer.status_code in {404, 422}

    def test_somebody_elses_is_not_there(self, session: Session, api: Act, admin: Any) -> None:
        details = make_notification(session, make_user(session))
        for me in (api(make_user(session)), admin):
            assert me.post(f"notifications/{details.uuid}/read").status_code == 404

    def test_the_unread_are_found_by_the_contracts_index(self, database_url: str) -> None:
        from aiplatform.server.notifications import queries

        class Somebody:
            user_id = 1

        with database.transaction() as session:
            session.execute(text("SET LOCAL enable_seqscan = off"))
            statement = queries.inbox(Somebody(), unread=True)  # type: ignore[arg-type]
            compiled = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
            plan = session.scalars(text(f"EXPLAIN {compiled}")).all()
        assert "idx_notifications_unread" in "\n".join(plan)
