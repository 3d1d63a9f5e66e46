"""Changes of a user's notification preferences."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.core.etags import require_match
from aiplatform.server.identity.access import Principal
from aiplatform.server.notifications import queries, rules
from aiplatform.server.notifications.errors import Mandatory
from aiplatform.server.notifications.models import NotificationPreference, NotificationSettings

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
