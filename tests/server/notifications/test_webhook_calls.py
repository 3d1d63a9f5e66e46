"""Tests of webhook calls: they are signed and never lost, and the log contains no secrets."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core.database import transaction
from aiplatform.server.notifications import jobs
from aiplatform.server.notifications.models import WebhookAttempt
from aiplatform.server.notifications.service import announce, webhook_calls
from tests.factories import make_delivery, make_project, make_user, make_webhook
from tests.server.notifications.deliveries import drain, only, tell
from tests.server.notifications.receiver import Receiver, receiving

pytestmark = pytest.mark.usefixtures("client", "loopback_open")
Act = Callable[..., Any]


class TestSending:
    def test_receiver_can_verify_the_signature(
        self, session: Session, api: Act, receiver: Receiver
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        body = {"name": "chat", "url": receiver.url, "events": ["task:failed"]}
        made = api(owner).post(f"projects/{project.uuid}/webhooks", json=body)
        assert made.status_code == 201
        secret = made.json()["secret"]
        tell(session, project, task="0")
        tell(session, project, N.TASK_COMPLETED)  # not subscribed
        tell(session, make_project(session))  # another project
        assert drain() == 1
        (event,) = receiver.events(secret)
        assert event["type"] == "task:failed"
        assert event["data"]["project"] == str(project.uuid)
        assert (event["data"]["name"], event["data"]["title"]) == ("tune", "tune: failed")
        with pytest.raises(Exception, match="No matching signature"):
            receiver.events("whsec_" + "A" * 43 + "=")

    def test_webhook_without_named_events_gets_all(
        self, session: Session, receiver: Receiver
    ) -> None:
        project = make_project(session)
        make_webhook(session, project, url=receiver.url)
        for kind in (N.TASK_FAILED, N.MEMBER_ADDED, N.DEPLOYMENT_READY):
            tell(session, project, kind)
        assert drain() == 3

    def test_security_events_are_not_sent(self, session: Session, receiver: Receiver) -> None:
        project = make_project(session)
        make_webhook(session, project, url=receiver.url)
        tell(session, project, N.SECURITY_LOGIN)
        tell(session, project, N.WEBHOOK_DISABLED)
        assert drain() == 0

    def test_rolled_back_event_is_not_sent(self, session: Session, receiver: Receiver) -> None:
        project = make_project(session)
        make_webhook(session, project, url=receiver.url)
        announce(session, N.TASK_FAILED, to=[], project=project.uuid)
        session.rollback()
        assert drain() == 0

    def test_disabled_webhook_gets_nothing(self, session: Session, receiver: Receiver) -> None:
        project = make_project(session)
        make_webhook(session, project, url=receiver.url, is_enabled=False)
        tell(session, project)
        assert drain() == 0

    def test_parallel_calls_of_one_webhook_are_limited(
        self, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        for _ in range(8):
            make_delivery(session, webhook)
        receiver.wait = 0.2
        threads = [threading.Thread(target=drain) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        drain()
        assert len(receiver.got) == len(set(receiver.ids())) == 8
        assert receiver.most == webhook_calls.AT_ONCE

    def test_slow_receiver_does_not_delay_others(
        self, session: Session, receiver: Receiver
    ) -> None:
        slow = make_webhook(session, make_project(session), url=receiver.url)
        for _ in range(6):
            make_delivery(session, slow)
        with receiving() as other:
            quick = make_webhook(session, make_project(session), url=other.url)
            make_delivery(session, quick)
            receiver.wait = 3.0
            stop = threading.Event()

            def deliver() -> None:
                while not stop.is_set() and webhook_calls.deliver_next():
                    pass

            threads = [threading.Thread(target=deliver) for _ in range(4)]
            for thread in threads:
                thread.start()
            other.until(lambda: len(other.got) == 1)
            stop.set()
            begun = len(receiver.got)
            for thread in threads:
                thread.join()
        assert begun <= webhook_calls.AT_ONCE, "no slow call had to end first"


class TestNothingIsLost:
    def test_lost_wake_up_is_repeated(
        self, session: Session, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        sent: list[str] = []
        monkeypatch.setattr(jobs, "send", lambda name, queue: sent.append(name))
        jobs.send_due()
        assert sent == []
        make_delivery(session, webhook)
        jobs.send_due()
        assert sent == [jobs.DELIVER]
        assert jobs.deliver() == 1
        assert len(receiver.got) == 1

    def test_killed_worker_sends_again_with_the_same_id(
        self, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook)
        script = textwrap.dedent(
            """
            import os, signal
            from aiplatform.server.notifications.service import webhook_calls
            webhook_calls.record_result = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            webhook_calls.deliver_next()
            """
        )
        ended = subprocess.run(
            [sys.executable, "-c", script], env=dict(os.environ), timeout=60, check=False
        )
        assert ended.returncode == -signal.SIGKILL
        assert len(receiver.got) == 1
        delivery = only(session, webhook)
        assert (delivery.status, delivery.attempts) == ("pending", 1)
        assert drain() == 0  # the killed worker's lock on the delivery has not expired
        session.execute(text("UPDATE webhook_deliveries SET locked_until = now()"))
        session.commit()
        assert drain() == 1
        assert only(session, webhook).status == "delivered"
        assert len(receiver.got) == 2
        assert len(set(receiver.ids())) == 1
        lost, good = session.scalars(
            select(WebhookAttempt)
            .where(WebhookAttempt.delivery_id == delivery.id)
            .order_by(WebhookAttempt.attempt)
        )
        assert (lost.status_code, lost.error, good.status_code) == (None, None, 200)

    def test_worker_that_lost_its_lease_does_not_overwrite_the_result(
        self, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook)
        with transaction() as mine:
            frozen = webhook_calls.claim(mine, webhook.id)
        assert frozen is not None
        session.execute(text("UPDATE webhook_deliveries SET locked_until = now()"))
        session.commit()
        assert drain() == 1
        with transaction() as mine:
            webhook_calls.record_result(mine, frozen, webhook_calls.CallResult(1, status=500))
        delivery = only(session, webhook)
        assert (delivery.status, delivery.attempts) == ("delivered", 2)

    def test_worker_that_lost_its_lease_does_not_release_the_new_one(
        self, session: Session
    ) -> None:
        webhook = make_webhook(session, make_project(session))
        make_delivery(session, webhook)
        with transaction() as mine:
            frozen = webhook_calls.claim(mine, webhook.id)
        assert frozen is not None
        session.execute(text("UPDATE webhook_deliveries SET locked_until = now()"))
        session.commit()
        with transaction() as mine:
            assert webhook_calls.claim(mine, webhook.id) is not None
        with transaction() as mine:
            webhook_calls.record_result(mine, frozen, webhook_calls.CallResult(1, status=200))
        delivery = only(session, webhook)
        assert (delivery.status, delivery.locked_until is not None) == ("pending", True)

    def test_concurrent_workers_send_each_delivery_once(
        self, session: Session, receiver: Receiver
    ) -> None:
        project = make_project(session)
        for _ in range(5):
            webhook = make_webhook(session, project, url=receiver.url)
            for _ in range(4):
                make_delivery(session, webhook)
        threads = [threading.Thread(target=drain) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        drain()
        assert len(receiver.got) == len(set(receiver.ids())) == 20

    def test_old_deliveries_are_deleted(self, session: Session) -> None:
        webhook = make_webhook(session, make_project(session))
        old = datetime.now(UTC) - timedelta(days=31)
        make_delivery(session, webhook, status="delivered", ended_at=old)
        waiting = make_delivery(session, webhook, created_at=old)
        jobs.clean_up()
        assert only(session, webhook).uuid == waiting.uuid


def test_log_contains_no_secret_and_no_signature(
    session: Session, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    webhook = make_webhook(session, make_project(session), url=receiver.url)
    make_delivery(session, webhook)
    drain()
    signature = receiver.got[0][0]["webhook-signature"]
    for hidden in (signature, signature[3:], "c3Nzc3Nz", "in-the-url"):
        assert hidden not in caplog.text
