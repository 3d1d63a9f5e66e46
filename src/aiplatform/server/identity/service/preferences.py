"""Reading and changing an account's preferences for the web interface."""

from collections.abc import Mapping

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import UserPreferences


def read_preferences(session: Session, user_id: int) -> UserPreferences:
    """Return the preferences of an account; all are null if it has never set any."""
    return session.get(UserPreferences, user_id) or UserPreferences(user_id=user_id)


def update_preferences(
    session: Session, principal: Principal, changes: Mapping[str, str | None]
) -> UserPreferences:
    """Change the given preferences (``language`` and ``theme``)."""
    session.execute(
        insert(UserPreferences).values(user_id=principal.user_id).on_conflict_do_nothing()
    )
    preferences = session.get_one(UserPreferences, principal.user_id, with_for_update=True)
    changed = {
        name: value for name, value in changes.items() if value != getattr(preferences, name)
    }
    if not changed:
        return preferences
    for name, value in changed.items():
        setattr(preferences, name, value)
    session.flush()
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_PREFERENCES_UPDATED,
        "user",
        principal.user_uuid,
        changes=changed,
    )
    return preferences
