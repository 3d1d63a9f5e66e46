"""Notifications are made in the transaction of what they tell."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core.events import notify as wake_watchers
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
