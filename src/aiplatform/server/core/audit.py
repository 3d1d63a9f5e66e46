"""The audit writer: one row for each mutation, in the transaction of what it records."""

from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, func
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, Session, mapped_column

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core.database import Base, Created

Outcome = Literal["success", "denied", "failure"]


class AuditLog(Created, Base):
    """Who did what; the contract's table. Append-only by trigger."""

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
    """What an audit row needs and the contract has no column for."""

    __tablename__ = "audit_entries"

    audit_id: Mapped[int] = mapped_column(ForeignKey("audit_logs.id"), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    project_uuid: Mapped[UUID | None]
    outcome: Mapped[str] = mapped_column(String(20))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts and from where. ``user_id`` is None for the platform itself and for the unknown."""

    user_id: int | None = None
    user_uuid: UUID | None = None
    username: str | None = None
    ip_address: str | None = None
    user_agent: str | None = None


SYSTEM = Actor(username="system")


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
) -> AuditLog:
    """Add an audit row to the session's transaction.

    The actor's uuid and name are kept in ``details``, since deleting a user empties ``user_id``.
    Secrets must never be passed in ``details``.
    """
    if actor.username is not None:
        details["actor"] = {"uuid": actor.user_uuid, "username": actor.username}
    row = AuditLog(
        user_id=actor.user_id,
        action=action.value,
        resource_type=resource_type,
        resource_id=None if resource_id is None else str(resource_id),
        details=details,
        ip_address=actor.ip_address,
        user_agent=None if actor.user_agent is None else clean_text(actor.user_agent)[:1000],
    )
    session.add(row)
    session.flush()
    session.add(AuditEntry(audit_id=row.id, project_uuid=project, outcome=outcome))
    return row
