"""The writer of the audit trail.

Each mutation adds one audit entry, in the same transaction as the change that it records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, func, text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, Session, mapped_column

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, dumps
from aiplatform.server.core.database import Base, Created

Outcome = Literal["success", "denied", "failure"]


class AuditLog(Created, Base):
    """An entry in the audit trail. A trigger makes the table append-only.

    The columns are fixed by the schema contract; see docs/architecture.md.
    """

    __tablename__ = "audit_logs"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(String(100))
    resource_type: Mapped[str | None] = mapped_column(String(50))
    resource_id: Mapped[str | None] = mapped_column(String(36))
    details: Mapped[dict[str, Any]]
    ip_address: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None] = mapped_column(Text)


class AuditEntry(Base):
    """Additional columns of an audit entry; the schema contract fixes those of ``audit_logs``.

    The action and the user of the ``audit_logs`` row are repeated here so that indexes can cover
    them. This ``user_id`` keeps its value when the user is deleted.
    """

    __tablename__ = "audit_entries"

    audit_id: Mapped[int] = mapped_column(ForeignKey("audit_logs.id"), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    project_uuid: Mapped[UUID | None]
    outcome: Mapped[str] = mapped_column(String(20))
    action: Mapped[str | None] = mapped_column(String(100))
    user_id: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


@dataclass(frozen=True, slots=True)
class Actor:
    """The acting user, and the address and program of the request.

    ``user_id`` is None for the platform itself and for unknown users.
    """

    user_id: int | None = None
    user_uuid: UUID | None = None
    username: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None
    key_uuid: UUID | None = None
    """The uuid of the API key that was used, or None."""


SYSTEM = Actor(username="system")

_INSERT = text(
    """
    WITH new AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
            place integer, user_id integer, action text, resource_type text, resource_id text,
            details jsonb, ip_address inet, user_agent text, project uuid, outcome text)
    ),
    added AS (
        INSERT INTO audit_logs
            (user_id, action, resource_type, resource_id, details, ip_address, user_agent)
        SELECT user_id, action, resource_type, resource_id, details, ip_address, user_agent
        FROM new ORDER BY place
        RETURNING id, action, user_id
    ),
    numbered AS (
        SELECT id, action, user_id, row_number() OVER (ORDER BY id) AS place FROM added
    )
    INSERT INTO audit_entries (audit_id, project_uuid, outcome, action, user_id)
    SELECT n.id, new.project, new.outcome, n.action, n.user_id
    FROM numbered n JOIN new USING (place)
    RETURNING audit_id
    """
)
"""The statement that writes audit entries to ``audit_logs`` and ``audit_entries``.

The database assigns the number, uuid and time. Numbers are in the order of ``place``, a row's index
in the batch. A trigger adds the rows to the queue for sealing.
"""


@dataclass(frozen=True, slots=True)
class Event:
    """An audit entry for :func:`record_many`; the fields are the arguments of :func:`record`."""

    actor: Actor
    action: AuditAction
    resource_type: str
    resource_id: UUID | str | None = None
    project: UUID | None = None
    outcome: Outcome = "success"
    details: Mapping[str, Any] = field(default_factory=dict)


def _row(place: int, event: Event) -> dict[str, Any]:
    actor, details = event.actor, dict(event.details)
    if actor.username is not None:
        details["actor"] = {"uuid": actor.user_uuid, "username": actor.username}
        if actor.key_uuid is not None:
            details["actor"]["key"] = actor.key_uuid
    agent = actor.user_agent
    return {
        "place": place,
        "user_id": actor.user_id,
        "action": event.action.value,
        "resource_type": event.resource_type,
        "resource_id": None if event.resource_id is None else str(event.resource_id),
        "details": details,
        "ip_address": actor.ip_address,
        "user_agent": None if agent is None else clean_text(agent)[:1000],
        "project": None if event.project is None else str(event.project),
        "outcome": event.outcome,
    }


def record(
    session: Session,
    actor: Actor,
    action: AuditAction,
    resource_type: str,
    resource_id: UUID | str | None = None,
    *,
    project: UUID | None = None,
    outcome: Outcome = "success",
    **details: Any,
) -> int:
    """Add an audit entry to the session's transaction and return its number.

    The actor's uuid and name are also kept in ``details``, because deleting a user sets
    ``audit_logs.user_id`` to NULL. Never pass secrets in ``details``.
    """
    event = Event(actor, action, resource_type, resource_id, project, outcome, details)
    [number] = record_many(session, [event])
    return number


def record_many(session: Session, events: Sequence[Event]) -> list[int]:
    """Add an entry for each event with one statement and return their numbers."""
    if not events:
        return []
    rows = dumps([_row(place, event) for place, event in enumerate(events, start=1)])
    return sorted(session.execute(_INSERT, {"rows": rows}).scalars())


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changed fields as audit details: ``{"name": {"from": "old", "to": "new"}}``."""
    return {
        name: {"from": before.get(name), "to": value}
        for name, value in after.items()
        if before.get(name) != value
    }
