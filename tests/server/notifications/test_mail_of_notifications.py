"""Tests of notifications by email: immediate, in digests, or later if they can't be encrypted."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core import mail
from aiplatform.server.core.database import commit
from aiplatform.server.notifications import jobs
from aiplatform.server.notifications.models import Notification, NotificationDigest, WebhookDelivery
from aiplatform.server.notifications.service import announce
from tests.conftest import environment
from tests.factories import PASSWORD, make_project, make_user, make_webhook
from tests.server.notifications.mailbox import Mailbox, parts

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[..., Any]


class TestNotifications:
    def test_mail_is_sent_in_the_language_of_the_user(
        self, session: Session, api: Act, box: Mailbox
    ) -> None:
        user = make_user(session)
        change = {"language": "zh"}
        api(user).patch("notifications/preferences", json=change, headers={"If-Match": "*"})
        announce(session, N.TASK_FAILED, to=[user.id], name="tune", error="no memory")
        announce(session, N.TASK_COMPLETED, to=[user.id], name="tune")  # not sent by default
        commit(session)
        while mail.send_next():
            pass
        ((recipients, message),) = box.got
        assert recipients == [user.email]
        assert message["Subject"] == "tune：失败"
        plain, html = parts(message)
        for shown in (plain, html):
            assert "no memory" in shown
            assert "https://platform.example.com 上的收件箱：aiplatform notifications ls" in shown
            assert "aiplatform notifications preferences" in shown
        assert "href" not in html
        assert message["List-Unsubscribe"] is None, "there is no page where that could be done"

    def test_changed_address_is_reported_to_the_old_one(
        self, session: Session, api: Act, box: Mailbox
    ) -> None:
        user, admin = make_user(session), make_user(session, role="admin")
        for address, change in (
            ("first@example.com", lambda to: api(admin).patch(
                f"users/{user.uuid}", json={"email": to}, headers={"If-Match": "*"}
            )),
            ("second@example.com", lambda to: api(user).put(
                "users/me/email", json={"email": to, "password": PASSWORD}
            )),
        ):  # fmt: skip
            session.refresh(user)
            before = user.email
            session.rollback()
            assert change(address).status_code in {200, 204}
            while mail.send_next():
                pass
            ((recipients, message),) = box.got
            assert recipients == [before]
            assert message["Subject"] == "Your address was changed"
            box.got.clear()

    def test_digest_collects_notifications_and_security_events_do_not_wait(
        self, session: Session, api: Act, box: Mailbox
    ) -> None:
        user, other = make_user(session), make_user(session)
        me = api(user)
        change = {"email": "daily", "types": {"task:completed": {"email": True}}}
        me.patch("notifications/preferences", json=change, headers={"If-Match": "*"})
        for number in range(3):
            announce(session, N.TASK_COMPLETED, to=[user.id], name=f"run {number}")
        announce(session, N.SECURITY_TOTP_DISABLED, to=[user.id])
        commit(session)
        jobs.send_due()
        while mail.send_next():
            pass
        assert [m["Subject"] for _, m in box.got] == ["Your second factor was removed"]
        box.got.clear()
        due = session.scalar(select(func.min(NotificationDigest.due_at - func.now())))
        assert due is not None
        assert timedelta(hours=23) < due < timedelta(hours=25)
        session.execute(update(NotificationDigest).values(due_at=func.now()))
        session.commit()
        jobs.send_due()
        jobs.send_due()
        while mail.send_next():
            pass
        ((recipients, message),) = box.got
        assert recipients == [user.email]
        assert message["Subject"] == "3 notifications"
        plain, _ = parts(message)
        assert [plain.index(f"run {n}") for n in range(3)] == sorted(
            plain.index(f"run {n}") for n in range(3)
        )
        assert other.email not in recipients

    def test_user_without_email_or_deactivated_gets_none(
        self, session: Session, api: Act, box: Mailbox
    ) -> None:
        quiet, gone = make_user(session), make_user(session, active=False)
        path = "notifications/preferences"
        api(quiet).patch(path, json={"email": "off"}, headers={"If-Match": "*"})
        announce(session, N.TASK_FAILED, to=[quiet.id, gone.id], name="tune", error="x")
        announce(session, N.SECURITY_LOGIN, to=[quiet.id, gone.id])
        commit(session)
        assert mail.send_next() is False

    def test_digest_is_not_sent_to_a_deactivated_user(self, session: Session, box: Mailbox) -> None:
        user = make_user(session)
        session.add(
            NotificationDigest(user_id=user.id, type="task:failed", data={}, due_at=func.now())
        )
        session.execute(text("UPDATE users SET is_active = false WHERE id = :i"), {"i": user.id})
        session.commit()
        jobs.send_due()
        assert mail.send_next() is False
        assert session.scalar(select(func.count()).select_from(NotificationDigest)) == 0


class TestWithoutAKey:
    """Tests with an unusable key file: users must still be notified of events."""

    @pytest.fixture
    def nowhere(self, tmp_path: Path) -> str:
        return str(tmp_path / "nowhere.key")

    def test_inbox_and_webhooks_are_served_and_the_mail_follows(
        self, session: Session, box: Mailbox, nowhere: str
    ) -> None:
        user = make_user(session)
        project = make_project(session, user)
        webhook = make_webhook(session, project)
        with environment(AIPLATFORM_KEY_FILE=nowhere):
            tell = {"project": project.uuid, "name": "tune", "error": "x"}
            announce(session, N.TASK_FAILED, to=[user.id], **tell)
            commit(session)
        inbox = select(func.count()).select_from(Notification).filter_by(user_id=user.id)
        assert session.scalar(inbox) == 1
        called = select(func.count()).select_from(WebhookDelivery)
        assert session.scalar(called.filter_by(webhook_id=webhook.id)) == 1
        assert mail.send_next() is False
        session.execute(update(NotificationDigest).values(due_at=func.now()))
        session.commit()
        jobs.send_due()
        assert mail.send_next() is True
        ((recipients, message),) = box.got
        assert recipients == [user.email]
        assert "tune" in parts(message)[0]

    def test_digests_wait_without_stopping_the_job(
        self, session: Session, box: Mailbox, nowhere: str
    ) -> None:
        for user in (make_user(session), make_user(session)):
            session.add(
                NotificationDigest(user_id=user.id, type="task:failed", data={}, due_at=func.now())
            )
        session.commit()
        with environment(AIPLATFORM_KEY_FILE=nowhere):
            jobs.send_due()
        waits = session.scalars(select(NotificationDigest.due_at - func.now())).all()
        assert len(waits) == 2
        assert all(timedelta(minutes=4) < wait < timedelta(minutes=6) for wait in waits)
