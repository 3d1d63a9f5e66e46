"""Routes for reading, exporting and verifying the audit trail."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, IPvAnyNetwork
from sqlalchemy.orm import Session

from aiplatform.data.filters import MAX_LENGTH
from aiplatform.protocol.shapes.audit import AuditOut, AuditUser, AuditVerificationOut
from aiplatform.server.audit import queries
from aiplatform.server.audit.access import ReadAudit
from aiplatform.server.audit.models import AuditVerification
from aiplatform.server.audit.queries import check_filter
from aiplatform.server.audit.rules.filters import Filters
from aiplatform.server.audit.service import exports, requested_verification
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.pagination import Cursor, Limit, Page
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.models import User

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])


def _render(row: AuditLog, entry: AuditEntry, user: User | None) -> AuditOut:
    # Rows written by other programs may contain any JSON, or NULL.
    details = dict(row.details) if isinstance(row.details, dict) else {}
    actor = details.pop("actor", None)
    who = None
    if isinstance(actor, dict):
        who = AuditUser(uuid=actor.get("uuid"), username=actor.get("username"))
    elif user is not None:
        who = AuditUser(uuid=user.uuid, username=user.username)
    return AuditOut(
        uuid=entry.uuid,
        created_at=row.created_at,
        action=row.action,
        outcome=entry.outcome,
        user=who,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        project=entry.project_uuid,
        details=details,
        ip_address=None if row.ip_address is None else str(row.ip_address),
        user_agent=row.user_agent,
    )


def _filters(
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
    address: Annotated[
        IPvAnyNetwork | None, Query(description="address or network of the client")
    ] = None,
    since: Annotated[AwareDatetime | None, Query(description="not before; with time zone")] = None,
    until: Annotated[AwareDatetime | None, Query(description="before; with time zone")] = None,
    text: Annotated[
        str | None, Query(max_length=200, description="words, or beginnings of words, in details")
    ] = None,
    filter: Annotated[  # noqa: A002  (the name in the API)
        str | None,
        Query(
            max_length=4 * MAX_LENGTH,
            description='such as `action contains "delete" and created > "2026-11-01"`',
        ),
    ] = None,
) -> Filters:
    check_filter(filter)
    return Filters(
        user=user,
        action=action,
        resource=resource,
        project=project,
        outcome=outcome,
        address=address,
        since=since,
        until=until,
        text=text,
        filter=filter,
    )


Asked = Annotated[Filters, Depends(_filters)]


@router.get("", summary="Read the audit trail")
def list_audit(
    _: ReadAudit, session: SessionDep, filters: Asked, limit: Limit = 50, cursor: Cursor = None
) -> Page[AuditOut]:
    """List audit entries, newest first."""
    rows, following = queries.page(session, filters, limit=limit, cursor=cursor)
    return Page(items=[_render(*row) for row in rows], next_cursor=following)


@router.get(
    "/export",
    summary="Export the audit trail",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "JSON lines with proofs, which `aiplatform audit verify` reads, or CSV",
            "content": {
                "application/jsonl": {"schema": {"type": "string"}},
                "text/csv": {"schema": {"type": "string"}},
            },
        }
    },
)
@sends_headers("Content-Disposition")
def export_audit(
    principal: ReadAudit,
    session: SessionDep,
    filters: Asked,
    form: Annotated[
        Literal["jsonl", "csv"], Query(alias="format", description="what to write")
    ] = "jsonl",
) -> StreamingResponse:
    """Export all matching rows as a file, newest first.

    The export is recorded in the audit trail before its first byte is sent. The JSON lines contain
    the seals, and a proof for each sealed row. In CSV, which is for spreadsheets, cells that look
    like formulas are escaped.
    """
    media_type = "application/jsonl" if form == "jsonl" else "text/csv; charset=utf-8"
    return StreamingResponse(
        exports.export(session, principal.actor, filters, form),
        media_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="audit.{form}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _render_verification(session: Session, found: AuditVerification) -> AuditVerificationOut:
    user = None
    if found.username is not None:
        user = AuditUser(uuid=found.user_uuid, username=found.username)
    result = {"rows": 0, "seals": 0, "unsealed": 0, "archived": 0, "head": None, "findings": [],
              "more": 0} | (found.result or {})  # fmt: skip
    error = found.error
    state: Literal["running", "intact", "broken", "failed"]
    if requested_verification.is_running(session, found):
        state = "running"
    elif found.result is None:
        state, error = "failed", error or requested_verification.INTERRUPTED
    else:
        state = "broken" if result["findings"] else "intact"
    return AuditVerificationOut.model_validate(
        {
            "uuid": found.uuid,
            "state": state,
            "user": user,
            "started_at": found.started_at,
            "ended_at": found.ended_at,
            "error": error,
            **result,
        }
    )


@router.get("/verification", summary="Read the last verification")
def get_verification(_: ReadAudit, session: SessionDep) -> AuditVerificationOut | None:
    """Return the verification that was requested last, with its result; null if there was none."""
    found = requested_verification.newest(session)
    return None if found is None else _render_verification(session, found)


@router.post(
    "/verification",
    summary="Verify the audit trail",
    status_code=status.HTTP_202_ACCEPTED,
    responses={409: {"model": ProblemDocument, "description": "A verification is running"}},
)
def request_verification(principal: ReadAudit, session: SessionDep) -> AuditVerificationOut:
    """Start comparing all entries with their seals, in a separate process.

    Anyone who controls the platform could forge the result. To rule this out, check an export
    on another machine with `aiplatform audit verify`, against heads and keys kept elsewhere.
    """
    return _render_verification(session, requested_verification.request(session, principal.actor))
