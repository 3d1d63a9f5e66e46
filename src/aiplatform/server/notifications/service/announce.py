"""Functions that notify users and webhooks of an event, in the event's transaction."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert, literal, or_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core.broker import CHORES, send
from aiplatform.server.core.database import after_commit
from aiplatform.server.core.events import notify as wake_watchers
from aiplatform.server.identity.models import User
from aiplatform.server.notifications import queries, rules
from aiplatform.server.notifications.models import (
    Notification,
    NotificationDetails,
    Webhook,
    WebhookDelivery,
)
from aiplatform.server.notifications.service.email import send_or_defer

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


def announce(
    session: Session,
    kind: NotificationType,
    *,
    to: Iterable[int | None],
    project: UUID | None = None,
    **data: Any,
) -> None:
    """Notify the users ``to`` through their chosen channels, and the project's webhooks.

    Args:
        session: the event's transaction; if it rolls back, nobody is notified.
        kind: the type of the notification.
        to: ids of users; None and deleted users are skipped.
        project: the project of the event.
        **data: the values that the texts of ``kind`` use (see ``rules.TEXTS``), and those that a
            program needs to find the resource. Never pass secrets.
    """
    facts = jsonable(data)
    for recipient in queries.recipients(session, {user for user in to if user is not None}, kind):
        if recipient.inbox:
            _put_into_inbox(session, recipient.user_id, kind, facts, project)
        send_or_defer(session, recipient, kind, facts)
    if project is not None and kind in rules.WEBHOOK_EVENTS:
        fan_out(session, kind, project, facts)


def announce_security_event(session: Session, user: User, kind: str, facts: dict[str, str]) -> None:
    """Notify an account's holder of a security event; the domain ``identity`` calls this."""
    data: dict[str, Any] = dict(facts)
    announce(session, NotificationType(f"security:{kind}"), to=[user.id], **data)


def _put_into_inbox(
    session: Session,
    user_id: int,
    kind: NotificationType,
    data: dict[str, Any],
    project: UUID | None,
) -> None:
    title, message = rules.render(kind, data, "en")
    row = Notification(user_id=user_id, type=kind.value, title=title, message=message, data=data)
    session.add(row)
    session.flush()
    session.add(NotificationDetails(notification_id=row.id, project_uuid=project))
    session.flush()
    wake_watchers(session, f"inbox:{user_id}")
