"""Reading and clearing an inbox."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.events import notify as wake_watchers
from aiplatform.server.identity.access import Principal
from aiplatform.server.notifications import queries
from aiplatform.server.notifications.models import Notification, NotificationDetails


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
        _record(session, principal, AuditAction.NOTIFICATION_READ, details)
    return row, details


def mark_all_read(session: Session, principal: Principal) -> int:
    """Mark all of the principal's notifications as read; return the number that were unread."""
    changed = queries.mark_all_read(session, principal)
    if changed:
        _record(session, principal, AuditAction.NOTIFICATION_READ, None, count=changed)
    return changed


def delete_notification(session: Session, principal: Principal, uuid: UUID) -> None:
    """Delete one of the principal's notifications.

    Raises:
        NotFound: when they have no such notification.
    """
    row, details = queries.get_notification(session, principal, uuid)
    _record(session, principal, AuditAction.NOTIFICATION_DELETED, details)
    session.delete(row)
    session.flush()


def delete_read(session: Session, principal: Principal) -> int:
    """Delete the notifications that the principal has read, and return their number."""
    deleted = queries.delete_read(session, principal)
    if deleted:
        _record(session, principal, AuditAction.NOTIFICATION_DELETED, None, count=deleted)
    return deleted


def _record(
    session: Session,
    principal: Principal,
    action: AuditAction,
    details: NotificationDetails | None,
    **facts: Any,
) -> None:
    audit.record(
        session,
        principal.actor,
        action,
        "notification",
        None if details is None else details.uuid,
        project=None if details is None else details.project_uuid,
        **facts,
    )
    wake_watchers(session, f"inbox:{principal.user_id}")
