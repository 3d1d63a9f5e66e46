"""Named selects of the inbox, scoped to its owner."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, false, select
from sqlalchemy.orm import Session

from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import Principal
from aiplatform.server.notifications.models import Notification, NotificationDetails


def inbox(principal: Principal, *, unread: bool = False) -> Select[*tuple[Any, ...]]:
    """The principal's notifications, each with the row that has its uuid."""
    statement = (
        select(Notification, NotificationDetails)
        .join(NotificationDetails, NotificationDetails.notification_id == Notification.id)
        .where(Notification.user_id == principal.user_id)
    )
    # Written as the contract's partial index has it, so that it is used.
    return statement.where(Notification.is_read == false()) if unread else statement


def get_notification(
    session: Session, principal: Principal, uuid: UUID
) -> tuple[Notification, NotificationDetails]:
    """One of the principal's notifications, locked.

    Raises:
        NotFound: when there is none, or it is somebody else's.
    """
    row = session.execute(
        inbox(principal).where(NotificationDetails.uuid == uuid).with_for_update(of=Notification)
    ).one_or_none()
    if row is None:
        raise NotFound(resource="notification")
    return row[0], row[1]
