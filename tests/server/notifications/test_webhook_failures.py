"""Tests of failing webhooks, which are called again and eventually disabled."""

import gzip
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.notifications import rules
from aiplatform.server.notifications.models import Notification, WebhookAttempt
from aiplatform.server.notifications.service import webhook_calls
from tests.factories import make_delivery, make_project, make_user, make_webhook
from tests.server.notifications.deliveries import drain, make_due, only
from tests.server.notifications.receiver import Receiver

pytestmark = pytest.mark.usefixtures("client", "loopback_open")
Act = Callable[..., Any]


class TestRetries:
    @pytest.mark.parametrize("status", [500, 404, 302, 199 + 1000])
    def test_failed_delivery_is_sent_again(
        self, status: int, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook)
        if status > 999:
            receiver.server_close()  # nobody listens
        receiver.status = min(status, 599)
        receiver.headers = {"Location": receiver.url}
        assert drain() == 1
        delivery = only(session, webhook)
        assert (delivery.status, delivery.attempts) == ("pending", 1)
        left = delivery.next_attempt_at - datetime.now(UTC)
        assert timedelta(seconds=2) < left < timedelta(seconds=7)
        session.refresh(webhook)
        assert webhook.failing_since is not None
        if status <= 999:
            receiver.status = 204
            make_due(session)
            assert drain() == 1
            assert only(session, webhook).status == "delivered"
            session.refresh(webhook)
            assert webhook.failing_since is None
            assert len(set(receiver.ids())) == 1

    def test_log_contains_every_call(self, session: Session, api: Act, receiver: Receiver) -> None:
        owner = make_user(session)
        webhook = make_webhook(session, make_project(session, owner), url=receiver.url)
        delivery = make_delivery(session, webhook, body='{"a": 1}')
        receiver.status, receiver.answer = 500, b"x\x00" * 5000
        drain()
        receiver.status, receiver.answer = 200, b"thanks"
        make_due(session)
        drain()
        shown = api(owner).get(f"webhooks/{webhook.uuid}/deliveries/{delivery.uuid}").json()
        assert (shown["status"], shown["attempts"]) == ("delivered", 2)
        assert shown["body"] == '{"a": 1}'
        first, second = shown["calls"]
        assert (first["status_code"], second["status_code"]) == (500, 200)
        assert len(first["response"]) == webhook_calls.MAX_KEPT_TEXT
        assert second["response"] == "thanks"
        assert first["duration_ms"] >= 0

    def test_retry_after_of_the_receiver_is_respected(
        self, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook)
        receiver.status, receiver.headers = 429, {"Retry-After": "120"}
        drain()
        left = only(session, webhook).next_attempt_at - datetime.now(UTC)
        assert timedelta(seconds=100) < left < timedelta(seconds=125)

    @pytest.mark.parametrize(
        ("body", "headers", "kept"),
        [(b"x" * 5_000_000, {}, "x" * webhook_calls.MAX_KEPT_TEXT),
         (gzip.compress(b"thanks"), {"Content-Encoding": "gzip"}, ""),
         (b"thanks", {"Content-Length": "100"}, "thanks"),
         (b"thanks", {"Content-Type": "text/plain; charset=zip"}, "thanks"),
         ("谢谢".encode("gbk"), {"Content-Type": "text/plain; charset=gbk"}, "谢谢")],
        ids=["large", "packed", "cut off", "no encoding of text", "another encoding"],
    )  # fmt: skip
    def test_status_decides_whatever_the_body_is(
        self, body: bytes, headers: dict[str, str], kept: str, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        delivery = make_delivery(session, webhook)
        receiver.answer, receiver.headers = body, headers
        assert drain() == 1
        assert only(session, webhook).status == "delivered"
        attempt = session.get_one(WebhookAttempt, (delivery.id, 1))
        assert (attempt.status_code, attempt.error, attempt.response) == (200, None, kept)

    def test_status_decides_even_if_the_body_does_not_end(
        self, session: Session, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhook_calls, "CALL_SECONDS", 0.6)
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook)
        receiver.answer, receiver.drip = b"x" * 30, 0.1
        began = time.monotonic()
        assert drain() == 1
        assert time.monotonic() - began < 2
        assert only(session, webhook).status == "delivered"

    def test_delivery_fails_after_the_last_attempt(
        self, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook, attempts=len(rules.RETRIES))
        receiver.status = 500
        drain()
        delivery = only(session, webhook)
        assert (delivery.status, delivery.ended_at is not None) == ("failed", True)

    def test_waits_grow_to_days_and_are_spread(self) -> None:
        waits = [rules.retry_delay(n, 0.5) for n in range(1, len(rules.RETRIES) + 1)]
        assert waits == sorted(waits, key=lambda wait: wait or timedelta(0))
        assert sum((wait or timedelta(0) for wait in waits), timedelta(0)) > timedelta(days=2)
        assert rules.retry_delay(len(rules.RETRIES) + 1, 0.5) is None
        low, high = rules.retry_delay(3, 0.0), rules.retry_delay(3, 1.0)
        assert (low, high) == (timedelta(seconds=240), timedelta(seconds=360))


class TestSwitchingOff:
    def test_webhook_is_disabled_after_days_of_failure_and_its_creator_notified(
        self, session: Session, api: Act, receiver: Receiver
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        webhook = make_webhook(
            session, project, url=receiver.url, created_by=owner.id,
            failing_since=datetime.now(UTC) - rules.DISABLE_AFTER,
        )  # fmt: skip
        make_delivery(session, webhook)
        receiver.status = 500
        drain()
        session.refresh(webhook)
        assert (webhook.is_enabled, webhook.disabled_reason) == (False, "failing")
        told = session.scalars(select(Notification).where(Notification.user_id == owner.id)).one()
        assert told.type == "webhook:disabled"
        make_due(session)
        assert drain() == 0
        # Once enabled again, the webhook gets the pending deliveries.
        receiver.status = 200
        me, path = api(owner), f"webhooks/{webhook.uuid}"
        etag = me.get(path).headers["etag"]
        answer = me.patch(path, json={"is_enabled": True}, headers={"If-Match": etag})
        assert answer.json()["disabled_reason"] is None
        assert drain() == 1
        assert only(session, webhook).status == "delivered"

    def test_webhook_is_disabled_at_once_if_the_receiver_is_gone(
        self, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook)
        receiver.status = 410
        drain()
        session.refresh(webhook)
        assert (webhook.is_enabled, webhook.disabled_reason) == (False, "gone")

    @pytest.mark.parametrize("who", ["another call", "its owner"])
    def test_webhook_is_disabled_once_and_not_after_its_owner_did(
        self, who: str, session: Session, receiver: Receiver
    ) -> None:
        owner = make_user(session)
        webhook = make_webhook(
            session, make_project(session, owner), url=receiver.url, created_by=owner.id
        )
        for _ in range(2):
            make_delivery(session, webhook)
        found = []
        for _ in range(2):
            with transaction() as mine:
                found.append(webhook_calls.claim(mine, webhook.id))
        if who == "its owner":
            webhook.is_enabled = False
            session.commit()
        for call in found:
            assert call is not None
            with transaction() as mine:
                webhook_calls.record_result(mine, call, webhook_calls.CallResult(1, status=410))
        session.refresh(webhook)
        off = (webhook.is_enabled, webhook.disabled_reason)
        assert off == (False, None if who == "its owner" else "gone")
        told = select(func.count()).select_from(Notification).filter_by(user_id=owner.id)
        assert session.scalar(told) == (0 if who == "its owner" else 1)
