"""Tests of creating, changing and testing a project's webhooks."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Verifier

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.notifications.models import Webhook, WebhookAttempt
from tests.conftest import environment
from tests.factories import make_delivery, make_member, make_project, make_user, make_webhook
from tests.server.notifications.deliveries import drain, only, tell
from tests.server.notifications.receiver import Receiver

pytestmark = pytest.mark.usefixtures("client", "loopback_open")
Act = Callable[..., Any]


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        ["http://10.0.0.1/", "http://169.254.169.254/latest", "http://[::1]/", "http://127.1/",
         "ftp://example.com/", "https://user:pass@example.com/", "https://example.com:25/",
         "nonsense", "http://2130706433/"],
    )  # fmt: skip
    def test_forbidden_address_is_refused_when_it_is_entered(
        self, url: str, session: Session, api: Act
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        with environment(AIPLATFORM_OUTGOING_NETWORKS=""):
            answer = api(owner).post(
                f"projects/{project.uuid}/webhooks", json={"name": "x", "url": url}
            )
        assert (answer.status_code, answer.json()["code"]) == (422, "webhook.url_refused")

    def test_forbidden_address_is_refused_when_it_is_called(
        self, session: Session, receiver: Receiver
    ) -> None:
        webhook = make_webhook(session, make_project(session), url=receiver.url)
        make_delivery(session, webhook)
        with environment(AIPLATFORM_OUTGOING_NETWORKS=""):
            drain()
        assert receiver.got == []
        delivery = only(session, webhook)
        assert delivery.status == "pending"
        attempt = session.get(WebhookAttempt, (delivery.id, 1))
        assert attempt is not None
        assert attempt.error is not None
        assert attempt.error.startswith("OutgoingRefused")


class TestManaging:
    def test_secret_is_shown_once_and_stored_encrypted(self, session: Session, api: Act) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        me = api(owner)
        body = {"name": "chat", "url": "https://chat.example.com/hook?token=abc"}
        made = me.post(f"projects/{project.uuid}/webhooks", json=body).json()
        secret = made["secret"]
        path = f"webhooks/{made['uuid']}"
        listed = me.get(f"projects/{project.uuid}/webhooks")
        assert listed.json()["items"][0]["uuid"] == made["uuid"]
        for answer in (listed, me.get(path)):
            assert secret not in answer.text
        row = session.scalars(select(Webhook).where(Webhook.uuid == made["uuid"])).one()
        assert secret.encode() not in row.secret
        trail = str(session.scalars(select(AuditLog.details)).all())
        assert secret not in trail
        assert "token=abc" not in trail
        assert "https://chat.example.com" in trail

    def test_both_secrets_sign_for_a_time_after_a_rotation(
        self, session: Session, api: Act, receiver: Receiver
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        me = api(owner)
        made = me.post(
            f"projects/{project.uuid}/webhooks", json={"name": "x", "url": receiver.url}
        ).json()
        path = f"webhooks/{made['uuid']}"
        fresh = me.post(f"{path}/rotate", json={"overlap_hours": 1}).json()["secret"]
        assert fresh != made["secret"]
        tell(session, project)
        drain()
        assert len(receiver.events(made["secret"])) == len(receiver.events(fresh)) == 1
        session.execute(text("UPDATE webhooks SET previous_until = now()"))
        session.commit()
        tell(session, project)
        drain()
        assert len(receiver.events(fresh)) == 2
        headers, body = receiver.got[-1]
        with pytest.raises(Exception, match="No matching signature"):
            Verifier(made["secret"]).verify(body, headers)
        assert me.post(f"{path}/rotate", json={"overlap_hours": 0}).json()["secret"] != fresh

    def test_ping_and_replay_are_delivered(
        self, session: Session, api: Act, receiver: Receiver
    ) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        webhook = make_webhook(session, project, url=receiver.url)
        me, path = api(owner), f"webhooks/{webhook.uuid}"
        ping = me.post(f"{path}/test")
        assert (ping.status_code, ping.json()["type"]) == (202, "webhook:ping")
        drain()
        again = me.post(f"{path}/deliveries/{ping.json()['uuid']}/replay").json()
        assert again["uuid"] != ping.json()["uuid"]
        twice = me.post(f"{path}/deliveries/{again['uuid']}/replay").json()
        assert twice["message_id"] == again["message_id"] == ping.json()["uuid"]
        drain()
        assert receiver.ids() == [ping.json()["uuid"]] * 3
        assert len(me.get(f"{path}/deliveries").json()["items"]) == 3

    def test_change_requires_the_current_etag(self, session: Session, api: Act) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        first, second = (make_webhook(session, project) for _ in range(2))
        me, path = api(owner), f"webhooks/{first.uuid}"
        assert me.patch(path, json={"name": "new"}).status_code == 428
        etag = me.get(path).headers["etag"]
        change = {"name": "new", "events": ["task:failed", "task:failed"], "is_enabled": False}
        answer = me.patch(path, json=change, headers={"If-Match": etag})
        assert answer.json()["events"] == ["task:failed"]
        assert me.patch(path, json=change, headers={"If-Match": etag}).status_code == 412
        taken = me.patch(path, json={"name": second.name}, headers={"If-Match": "*"})
        assert taken.status_code == 409
        off = me.post(f"{path}/test")
        assert (off.status_code, off.json()["code"]) == (409, "webhook.disabled")
        assert me.delete(path).status_code == 204
        assert me.get(path).status_code == 404

    @pytest.mark.parametrize(
        "body",
        [{"name": "", "url": "https://a.example.com"}, {"name": "x"},
         {"name": "x", "url": "https://a.example.com", "events": ["task:nothing"]},
         {"name": "x", "url": "https://a.example.com", "events": ["security:login"]},
         {"name": "x", "url": "https://a.example.com", "secret": "whsec_mine"},
         {"name": "x", "url": "https://a.example.com", "project_id": 1},
         {"name": "x", "url": "https://a.example.com/" + "a" * 3000}],
    )  # fmt: skip
    def test_invalid_fields_are_refused(self, body: Any, session: Session, api: Act) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        answer = api(owner).post(f"projects/{project.uuid}/webhooks", json=body)
        assert answer.status_code == 422

    def test_number_of_webhooks_is_limited(self, session: Session, api: Act) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        for _ in range(20):
            make_webhook(session, project)
        body = {"name": "one more", "url": "https://a.example.com"}
        answer = api(owner).post(f"projects/{project.uuid}/webhooks", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "webhook.too_many")

    def test_delivery_of_another_webhook_is_not_found(self, session: Session, api: Act) -> None:
        owner = make_user(session)
        project = make_project(session, owner)
        mine = make_webhook(session, project)
        foreign = make_delivery(session, make_webhook(session, make_project(session)))
        sibling = make_delivery(session, make_webhook(session, project))
        for delivery in (foreign, sibling):
            path = f"webhooks/{mine.uuid}/deliveries/{delivery.uuid}"
            assert api(owner).get(path).status_code == 404
            assert api(owner).post(f"{path}/replay").status_code == 404

    def test_developer_can_not_read_webhooks(self, session: Session, api: Act) -> None:
        project = make_project(session)
        webhook = make_webhook(session, project)
        developer = make_member(session, project, "developer")
        assert api(developer).get(f"webhooks/{webhook.uuid}").status_code == 403
