"""Webhook deliveries, written as rows in the transaction of their event."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, literal, or_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core.broker import CHORES, send
from aiplatform.server.core.database import after_commit
from aiplatform.server.notifications import rules
from aiplatform.server.notifications.models import Webhook, WebhookDelivery

DELIVER = "aiplatform.notifications.deliver"
PING = "webhook:ping"


def wake(session: Session) -> None:
    """Wake a worker after the commit, so that it sends the due webhook deliveries."""
    after_commit(session, lambda: send(DELIVER, CHORES))


def body_of(kind: str, project: UUID, data: dict[str, Any], title: str, message: str) -> str:
    """Return the JSON body of a delivery, with the fields ``type``, ``timestamp`` and ``data``.

    These are the fields that the Standard Webhooks specification proposes.
    """
    return dumps(
        {
            "type": kind,
            "timestamp": datetime.now(UTC),
            "data": {"project": project, "title": title, "message": message, **data},
        }
    )


def fan_out(session: Session, kind: NotificationType, project: UUID, data: dict[str, Any]) -> None:
    """Add a delivery for each webhook of the project that subscribes to the event."""
    title, message = rules.render(kind, data, "en")
    made = session.execute(
        insert(WebhookDelivery)
        .from_select(
            ["webhook_id", "type", "body"],
            select(
                Webhook.id,
                literal(kind.value),
                literal(body_of(kind.value, project, data, title, message)),
            ).where(
                Webhook.project_uuid == project,
                Webhook.is_enabled,
                or_(Webhook.events == [], Webhook.events.op("?")(kind.value)),
            ),
        )
        .returning(WebhookDelivery.id)
    ).all()
    if made:
        wake(session)


def add_delivery(
    session: Session, webhook: Webhook, kind: str, body: str, *, replay_of: UUID | None = None
) -> WebhookDelivery:
    """Add a delivery for one webhook only: a ping, or an event that is being resent."""
    delivery = WebhookDelivery(
        webhook_id=webhook.id, type=kind, body=body, uuid=uuid4(), replay_of=replay_of
    )
    session.add(delivery)
    session.flush()
    session.refresh(delivery)
    wake(session)
    return delivery
