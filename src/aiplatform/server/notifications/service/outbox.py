"""Webhook deliveries are rows, written in the transaction of what they tell."""

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
    """After the commit, let a worker look for what is due."""
    after_commit(session, lambda: send(DELIVER, CHORES))


def body_of(kind: str, project: UUID, data: dict[str, Any], title: str, message: str) -> str:
    """What is sent, as the scheme proposes: ``type``, ``timestamp``, ``data``."""
    return dumps(
        {
            "type": kind,
            "timestamp": datetime.now(UTC),
            "data": {"project": project, "title": title, "message": message, **data},
        }
    )


def fan_out(session: Session, kind: NotificationType, project: UUID, data: dict[str, Any]) -> None:
    """Write a delivery for each of the project's webhooks that wants to hear of it."""
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
    """One delivery to one webhook: a ping, or an event once more."""
    delivery = WebhookDelivery(
        webhook_id=webhook.id, type=kind, body=body, uuid=uuid4(), replay_of=replay_of
    )
    session.add(delivery)
    session.flush()
    session.refresh(delivery)
    wake(session)
    return delivery
