"""Tests of notifications: inboxes, preferences and texts."""

from collections.abc import Callable
from string import Formatter
from typing import Any, get_args
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core import database
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit
from aiplatform.server.core.errors import Language
from aiplatform.server.core.events import get_notifier, libpq_url
from aiplatform.server.notifications import rules
from aiplatform.server.notifications.models import Notification
from aiplatform.server.notifications.service import announce
from tests.factories import PASSWORD, make_notification, make_project, make_user

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


def titles(answer: Any) -> list[str]:
    return [item["title"] for item in answer.json()["items"]]


class TestInbox:
    def test_inbox_lists_own_notifications_newest_first(self, session: Session, api: Act) -> None:
        user, other = make_user(session), make_user(session)
        for title in ("first", "second"):
            make_notification(session, user, title=title)
        make_notification(session, other, title="private")
        assert titles(api(user).get("notifications")) == ["second", "first"]

    def test_notification_contains_text_project_and_data(self, session: Session, api: Act) -> None:
        user = make_user(session)
        project = make_project(session, user)
        announce(
            session, N.TASK_FAILED, to=[user.id], project=project.uuid,
            name="t\x00" * 200, error="why {name} {0} %s", step=3,
        )  # fmt: skip
        commit(session)
        (shown,) = api(user).get("notifications").json()["items"]
        assert (shown["type"], shown["is_read"]) == ("task:failed", False)
        assert shown["message"] == "why {name} {0} %s"
        assert shown["project"] == str(project.uuid)
        assert shown["data"]["step"] == 3
        assert shown["title"] == ("t\ufffd" * 200)[:255]

    def test_notification_is_shown_in_the_language_of_the_reader(
        self, session: Session, api: Act
    ) -> None:
        user = make_user(session)
        announce(session, N.TASK_COMPLETED, to=[user.id], name="tune", task_type="training")
        commit(session)
        make_notification(session, user, type="of an older version", title="as it was")
        shown = [
            [item["title"] for item in api(user).get(
                "notifications", headers={"Accept-Language": language}).json()["items"]]
            for language in ("en", "zh-CN")
        ]  # fmt: skip
        assert shown == [["as it was", "tune: completed"], ["as it was", "tune：已完成"]]

    def test_filter_by_type(self, session: Session, api: Act) -> None:
        user = make_user(session)
        for kind in (N.TASK_COMPLETED, N.TASK_FAILED):
            announce(session, kind, to=[user.id], name="tune")
        commit(session)
        answer = api(user).get("notifications", params={"type": "task:failed"})
        assert titles(answer) == ["tune: failed"]

    def test_unknown_recipients_are_skipped(self, session: Session) -> None:
        before = session.scalar(text("SELECT count(*) FROM notifications"))
        announce(session, N.TASK_FAILED, to=[None, 10**6])
        assert session.scalar(text("SELECT count(*) FROM notifications")) == before

    def test_pages_follow_by_cursor(self, session: Session, api: Act) -> None:
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

    def test_watchers_are_woken_after_the_commit(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        woken: list[str] = []
        monkeypatch.setattr(get_notifier(), "notify", woken.append)
        user = make_user(session)
        announce(session, N.TASK_FAILED, to=[user.id])
        assert woken == []
        commit(session)
        assert woken == [f"inbox:{user.id}"]
        announce(session, N.TASK_FAILED, to=[user.id])
        session.rollback()
        commit(session)
        assert woken == [f"inbox:{user.id}"]

    def test_notifications_are_deleted_with_their_user(self, session: Session) -> None:
        user = make_user(session)
        id_ = make_notification(session, user).notification_id
        session.delete(user)
        session.commit()
        session.expire_all()
        assert session.get(Notification, id_) is None


class TestRead:
    def test_marking_as_read_twice_changes_it_once(self, session: Session, api: Act) -> None:
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

    def test_all_are_marked_as_read_together(self, session: Session, api: Act) -> None:
        user, other = make_user(session), make_user(session)
        for somebody in (user, user, other):
            make_notification(session, somebody)
        me = api(user)
        assert me.get("notifications/unread").json() == {"unread": 2}
        assert me.post("notifications/read").json() == {"changed": 2}
        assert me.post("notifications/read").json() == {"changed": 0}
        assert me.get("notifications/unread").json() == {"unread": 0}
        assert api(other).get("notifications/unread").json() == {"unread": 1}
        rows = session.scalars(select(AuditLog).where(AuditLog.user_id == user.id)).all()
        assert [(row.action, row.details["count"]) for row in rows] == [("notification:read", 2)]

    @pytest.mark.parametrize("uuid", [uuid4(), "not a uuid"])
    def test_unknown_notification_is_not_found(self, session: Session, api: Act, uuid: Any) -> None:
        answer = api(make_user(session)).post(f"notifications/{uuid}/read")
        assert answer.status_code in {404, 422}

    def test_notification_of_another_user_is_not_found(
        self, session: Session, api: Act, admin: Any
    ) -> None:
        details = make_notification(session, make_user(session))
        for me in (api(make_user(session)), admin):
            assert me.post(f"notifications/{details.uuid}/read").status_code == 404

    def test_unread_are_found_by_the_index_of_the_contract(self, owner_url: str) -> None:
        from aiplatform.server.notifications import queries

        class Somebody:
            user_id = 1

        statement = queries.inbox(Somebody(), unread=True)  # type: ignore[arg-type]
        compiled = statement.compile(database.get_engine(), compile_kwargs={"literal_binds": True})
        with psycopg.connect(libpq_url(owner_url)) as connection:
            connection.execute("SET enable_seqscan = off")
            # PostgreSQL may use any index on a nearly empty table. Keep only the expected one.
            connection.execute("DROP INDEX ix_notifications_user")
            plan = connection.execute(f"EXPLAIN {compiled}").fetchall()  # type: ignore[arg-type]
            connection.rollback()
        assert "idx_notifications_unread" in str(plan)


class TestDelete:
    def test_one_notification_is_deleted(self, session: Session, api: Act) -> None:
        user, other = make_user(session), make_user(session)
        mine, kept = (
            make_notification(session, user),
            make_notification(session, user, title="kept"),
        )
        foreign = make_notification(session, other)
        me = api(user)
        assert me.delete(f"notifications/{mine.uuid}").status_code == 204
        assert me.delete(f"notifications/{mine.uuid}").status_code == 404
        assert me.delete(f"notifications/{foreign.uuid}").status_code == 404
        assert titles(me.get("notifications")) == ["kept"]
        assert len(titles(api(other).get("notifications"))) == 1
        row = session.scalars(select(AuditLog).where(AuditLog.user_id == user.id)).one()
        assert (row.action, row.resource_id) == ("notification:deleted", str(mine.uuid))
        assert kept.uuid is not None

    def test_read_notifications_are_deleted_together(self, session: Session, api: Act) -> None:
        user, other = make_user(session), make_user(session)
        for somebody in (user, other):
            make_notification(session, somebody, is_read=True)
            make_notification(session, somebody, title="unread")
        me = api(user)
        assert me.delete("notifications/read").json() == {"changed": 1}
        assert titles(me.get("notifications")) == ["unread"]
        assert len(titles(api(other).get("notifications"))) == 2


class TestPreferences:
    def test_defaults(self, session: Session, api: Act) -> None:
        shown = api(make_user(session)).get("notifications/preferences").json()
        assert (shown["email"], shown["language"]) == ("immediate", "en")
        by_type = {item["type"]: item for item in shown["types"]}
        assert set(by_type) == set(N)
        assert by_type["task:failed"]["email"] is True
        assert by_type["task:completed"]["email"] is False
        assert all(item["inbox"] for item in by_type.values())
        assert {k for k, item in by_type.items() if item["mandatory"]} == {
            kind for kind in N if kind.startswith("security:")
        }

    def test_change_applies_from_the_next_notification(self, session: Session, api: Act) -> None:
        user, other = make_user(session), make_user(session)
        me = api(user)
        etag = me.get("notifications/preferences").headers["etag"]
        change = {"email": "daily", "types": {"task:failed": {"inbox": False}}}
        answer = me.patch("notifications/preferences", json=change, headers={"If-Match": etag})
        assert answer.status_code == 200
        assert answer.json()["email"] == "daily"
        failed = next(t for t in answer.json()["types"] if t["type"] == "task:failed")
        assert (failed["inbox"], failed["email"]) == (False, True)
        for kind in (N.TASK_FAILED, N.TASK_COMPLETED):
            announce(session, kind, to=[user.id, other.id], name="tune")
        commit(session)
        assert titles(me.get("notifications")) == ["tune: completed"]
        assert len(titles(api(other).get("notifications"))) == 2
        row = session.scalars(select(AuditLog).where(AuditLog.user_id == user.id)).one()
        assert row.action == "notification:preferences_updated"

    def test_change_requires_the_current_etag(self, session: Session, api: Act) -> None:
        me = api(make_user(session))
        etag = me.get("notifications/preferences").headers["etag"]
        body = {"language": "zh"}
        path = "notifications/preferences"
        assert me.patch(path, json=body).status_code == 428
        assert me.patch(path, json=body, headers={"If-Match": etag}).status_code == 200
        assert me.patch(path, json=body, headers={"If-Match": etag}).status_code == 412

    def test_security_events_can_not_be_removed_from_the_inbox(
        self, session: Session, api: Act
    ) -> None:
        user = make_user(session)
        me, path = api(user), "notifications/preferences"
        silence = {"types": {"security:login": {"inbox": False}}}
        answer = me.patch(path, json=silence, headers={"If-Match": "*"})
        assert (answer.status_code, answer.json()["code"]) == (409, "notification.mandatory")
        quiet = {"types": {"security:login": {"email": False}}}
        assert me.patch(path, json=quiet, headers={"If-Match": "*"}).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [{"email": "weekly"}, {"types": {"task:unknown": {}}}, {"user_id": 1},
         {"types": {"task:failed": {"inbox": "perhaps"}}}, {"language": "fr"}],
    )  # fmt: skip
    def test_invalid_changes_are_refused(self, body: Any, session: Session, api: Act) -> None:
        me = api(make_user(session))
        answer = me.patch("notifications/preferences", json=body, headers={"If-Match": "*"})
        assert answer.status_code == 422


class TestSecurityEvents:
    def sign_in(self, client: Any, user: Any, agent: str) -> str:
        form = {"username": user.username, "password": PASSWORD, "grant_type": "password"}
        answer = client.post("/api/v1/auth/token", data=form, headers={"User-Agent": agent})
        assert answer.status_code == 200
        return str(answer.json()["access_token"])

    def test_sign_in_with_another_program_is_reported(
        self, session: Session, client: Any, api: Act
    ) -> None:
        user = make_user(session)
        for agent in ("one", "one", "two", "one", "two"):
            self.sign_in(client, user, agent)
        (told,) = api(user).get("notifications").json()["items"]
        assert told["type"] == "security:login"
        assert (told["data"]["agent"], told["data"]["address"]) == ("two", "127.0.0.1")

    def test_a_changed_password(self, session: Session, client: Any, api: Act) -> None:
        user = make_user(session)
        body = {"current_password": PASSWORD, "new_password": "quite another one"}
        assert api(user).put("users/me/password", json=body).status_code == 204
        assert titles(api(user).get("notifications")) == ["Your password was changed"]

    def test_notification_contains_no_secret(self, session: Session, api: Act) -> None:
        self.test_a_changed_password(session, None, api)
        rows = session.scalars(select(Notification.data)).all()
        assert not any("quite another one" in str(row) or PASSWORD in str(row) for row in rows)


class TestTexts:
    @pytest.mark.parametrize("kind", list(N))
    @pytest.mark.parametrize("language", ["en", "zh"])
    def test_every_type_has_texts(self, kind: N, language: Any) -> None:
        title, _ = rules.render(kind, {}, language)
        assert title
        assert rules.TEXTS[kind][language].label
        # A template with an attribute or index could read parts of objects.
        text = rules.TEXTS[kind][language]
        names = [name for _, name, spec, conversion in
                 [*Formatter().parse(text.title), *Formatter().parse(text.message)]
                 if name is not None]  # fmt: skip
        assert all(name.isidentifier() for name in names)

    def test_both_languages_use_the_same_values(self) -> None:
        def names(text: str) -> set[str]:
            return {name for _, name, _, _ in Formatter().parse(text) if name}

        for kind, texts in rules.TEXTS.items():
            assert names(texts["en"].message) == names(texts["zh"].message), kind
            assert names(texts["en"].title) == names(texts["zh"].title), kind


@pytest.mark.parametrize("kind", TaskType)
def test_completed_task_is_named_by_its_work(kind: TaskType) -> None:
    data = {"name": "n", "task_type": kind.value}
    messages = [rules.render(N.TASK_COMPLETED, data, of)[1] for of in get_args(Language)]
    assert all("_" not in message and "?" not in message for message in messages)
    if kind is TaskType.MODEL_IMPORT:
        assert messages == ["The import of a model has completed.", "模型导入任务已完成。"]
