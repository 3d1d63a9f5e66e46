"""Helpers that create, send and read webhook deliveries."""

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core.database import commit
from aiplatform.server.notifications.models import Webhook, WebhookDelivery
from aiplatform.server.notifications.service import announce, webhook_calls


def tell(session: Session, project: Any, kind: N = N.TASK_FAILED, **data: Any) -> None:
    announce(session, kind, to=[], project=project.uuid, **{"name": "tune", "error": "no", **data})
    commit(session)


def drain() -> int:
    sent = 0
    while webhook_calls.deliver_next():
        sent += 1
    return sent


def make_due(session: Session) -> None:
    """Make all deliveries due now."""
    session.execute(update(WebhookDelivery).values(next_attempt_at=func.now()))
    session.commit()


def only(session: Session, webhook: Webhook) -> WebhookDelivery:
    session.expire_all()
    return session.scalars(
        select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    ).one()
