"""Notifications are made in the transaction of what they tell."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core import audit
from aiplatform.server.core.events import notify as wake_watchers
from aiplatform.server.identity.access import Principal
from aiplatform.server.notifications import queries
from aiplatform.server.notifications.models import Notification, NotificationDetails


def notify_user(
    session: Session,
    user_id: int | None,
    kind: str,
    title: str,
    message: str,
    *,
    project: UUID | None = None,
    **data: Any,
) -> None:
    """Put a notification into a user's inbox; does nothing for a user who is gone."""
    if user_id is None:
        return
    row = Notification(
        user_id=user_id,
        type=kind,
        title=clean_text(title)[:255],
        message=clean_text(message),
        data=data,
    )
    session.add(row)
    session.flush()
    session.add(NotificationDetails(notification_id=row.id, project_uuid=project))
    wake_watchers(session, f"inbox:{user_id}")


def mark_read(
    session: Session, principal: Principal, uuid: UUID
) -> tuple[Notification, NotificationDetails]:
    """Mark one of the principal's notifications as read.

    Raises:
        NotFound: when they have no such notification.
    """
    row, details = queries.get_notification(session, principal, uuid)
    if not row.is_read:
        row.is_read = True
        session.flush()
        audit.record(
            session,
            principal.actor,
            AuditAction.NOTIFICATION_READ,
            "notification",
            details.uuid,
            project=details.project_uuid,
        )
        wake_watchers(session, f"inbox:{principal.user_id}")
    return row, details
