"""Changes to an inbox and to a user's notification preferences."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.core.etags import require_match
from aiplatform.server.core.events import notify as wake_watchers
from aiplatform.server.identity.access import Principal
from aiplatform.server.notifications import queries, rules
from aiplatform.server.notifications.errors import Mandatory
from aiplatform.server.notifications.models import (
    Notification,
    NotificationDetails,
    NotificationPreference,
    NotificationSettings,
)


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


Channels = Mapping[str, bool | None]


def update_preferences(
    session: Session,
    principal: Principal,
    if_match: str | None,
    *,
    email: str | None = None,
    language: str | None = None,
    types: Mapping[NotificationType, Channels] | None = None,
) -> NotificationSettings:
    """Change the given preferences; ``types`` has the channels (``inbox``, ``email``) by type.

    Raises:
        PreconditionRequired, PreconditionFailed: see :func:`require_match`.
        Mandatory: when a security event would be removed from the inbox.
    """
    settings = queries.settings_of(session, principal.user_id, lock=True)
    require_match(if_match, settings.updated_at, "preferences")
    changed: dict[str, Any] = {}
    for field, value in (("email", email), ("language", language)):
        if value is not None and value != getattr(settings, field):
            setattr(settings, field, value)
            changed[field] = value
    for kind, channels in (types or {}).items():
        if channels.get("inbox") is False and kind in rules.MANDATORY:
            raise Mandatory(type=kind.value)
        if _set(session, principal.user_id, kind, channels):
            changed[kind.value] = {k: v for k, v in channels.items() if v is not None}
    if changed:
        settings.updated_at = func.clock_timestamp()
        session.flush()
        session.refresh(settings)
        audit.record(
            session,
            principal.actor,
            AuditAction.NOTIFICATION_PREFERENCES_UPDATED,
            "user",
            principal.user_uuid,
            changes=changed,
        )
    return settings


def _set(session: Session, user_id: int, kind: NotificationType, channels: Channels) -> bool:
    row = session.get(NotificationPreference, (user_id, kind.value))
    if row is None:
        row = NotificationPreference(
            user_id=user_id, type=kind.value, inbox=True, email=kind in rules.EMAILED
        )
        session.add(row)
    before = (row.inbox, row.email)
    inbox, email = channels.get("inbox"), channels.get("email")
    row.inbox = row.inbox if inbox is None else inbox
    row.email = row.email if email is None else email
    session.flush()
    return (row.inbox, row.email) != before
