"""Reading the audit trail."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from aiplatform.server.audit import queries
from aiplatform.server.audit.access import ReadAudit
from aiplatform.server.audit.schemas import AuditOut, AuditUser
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.models import User

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


def _render(row: AuditLog, entry: AuditEntry | None, user: User | None) -> AuditOut:
    # Rows that other programs wrote may hold any JSON, or none.
    details = dict(row.details) if isinstance(row.details, dict) else {}
    actor = details.pop("actor", None)
    who = None
    if isinstance(actor, dict):
        who = AuditUser(uuid=actor.get("uuid"), username=actor.get("username"))
    elif user is not None:
        who = AuditUser(uuid=user.uuid, username=user.username)
    return AuditOut(
        uuid=None if entry is None else entry.uuid,
        created_at=row.created_at,
        action=row.action,
        outcome="success" if entry is None else entry.outcome,
        user=who,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        project=None if entry is None else entry.project_uuid,
        details=details,
        ip_address=None if row.ip_address is None else str(row.ip_address),
        user_agent=row.user_agent,
    )


@router.get("", summary="Read the audit trail")
def list_audit(
    _: ReadAudit,
    session: SessionDep,
    action: Annotated[
        str | None,
        Query(max_length=100, description="such as `dataset:created`, or `dataset:` for all"),
    ] = None,
    resource: Annotated[
        str | None, Query(max_length=50, description="type, such as `dataset`, or uuid")
    ] = None,
    user: Annotated[str | None, Query(max_length=50, description="uuid or user name")] = None,
    project: Annotated[UUID | None, Query(description="uuid of the project")] = None,
    outcome: Literal["success", "denied", "failure"] | None = None,
    since: Annotated[AwareDatetime | None, Query(description="not before; with time zone")] = None,
    until: Annotated[AwareDatetime | None, Query(description="before; with time zone")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditOut]:
    """Who did what, newest first."""
    statement = queries.entries(
        session,
        action=action,
        resource=resource,
        user=user,
        project=project,
        outcome=outcome,
        since=since,
        until=until,
    )
    rows, following = page_by_id(session, statement, AuditLog.id, limit=limit, cursor=cursor)
    return Page(items=[_render(*row) for row in rows], next_cursor=following)
