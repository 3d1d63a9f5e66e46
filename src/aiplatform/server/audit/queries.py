"""Named selects of the audit trail. Only who may read all of it gets here."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.identity.models import User


def entries(
    session: Session,
    *,
    action: str | None = None,
    resource: str | None = None,
    user: str | None = None,
    project: UUID | None = None,
    outcome: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Select[*tuple[Any, ...]]:
    """Audit rows with what hangs on them and their user, if still there.

    ``action`` ending in ``:`` stands for all actions of a resource; ``resource`` is a type or a
    uuid; ``user`` is a uuid or a user name, also of somebody who was deleted.
    """
    statement = (
        select(AuditLog, AuditEntry, User)
        .outerjoin(AuditEntry, AuditEntry.audit_id == AuditLog.id)
        .outerjoin(User, User.id == AuditLog.user_id)
    )
    if action is not None:
        wanted = (
            AuditLog.action.startswith(action, autoescape=True)
            if action.endswith(":")
            else AuditLog.action == action
        )
        statement = statement.where(wanted)
    if resource is not None:
        uuid = _uuid(resource)
        named = (
            AuditLog.resource_type == resource
            if uuid is None
            else AuditLog.resource_id == str(uuid)
        )
        statement = statement.where(named)
    if user is not None:
        statement = statement.where(_done_by(session, user))
    if project is not None:
        statement = statement.where(AuditEntry.project_uuid == project)
    if outcome is not None:
        statement = statement.where(AuditEntry.outcome == outcome)
    if since is not None:
        statement = statement.where(AuditLog.created_at >= since)
    if until is not None:
        statement = statement.where(AuditLog.created_at < until)
    return statement


def _done_by(session: Session, name: str) -> ColumnElement[bool]:
    uuid = _uuid(name)
    found = User.username == name if uuid is None else User.uuid == uuid
    user_id = session.scalar(select(User.id).where(found))
    key, value = ("username", name) if uuid is None else ("uuid", str(uuid))
    # Deleting a user empties user_id; who it was stays in the details.
    gone = and_(AuditLog.user_id.is_(None), AuditLog.details["actor"][key].astext == value)
    return gone if user_id is None else or_(AuditLog.user_id == user_id, gone)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
