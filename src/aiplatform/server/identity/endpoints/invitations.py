"""Routes for administrators to manage invitations.

Invitations are accepted at ``auth/accept-invitation``.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.shapes.identity import (
    InvitationOut,
    InvitedProject,
    NewInvitationOut,
    UserRef,
)
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import language_of
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import queries, service
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.endpoints.sign_in import TAKEN
from aiplatform.server.identity.endpoints.users import SignInsWrite, UsersRead, UsersWrite
from aiplatform.server.identity.models import Invitation, User
from aiplatform.server.identity.schemas import InvitationIn
from aiplatform.server.identity.service import hooks

router = APIRouter(prefix="/api/v1/invitations", tags=["identity"])
Projects = dict[int, tuple[UUID, str]]


def _status(invitation: Invitation) -> str:
    if invitation.accepted_at is not None:
        return "accepted"
    if invitation.revoked_at is not None:
        return "revoked"
    return "open" if invitation.expires_at > datetime.now(UTC) else "expired"


def _fields(
    invitation: Invitation, maker: User, role: str | None, projects: Projects
) -> dict[str, Any]:
    project = None
    if invitation.project_id in projects and role is not None:
        uuid, name = projects[invitation.project_id]
        project = InvitedProject(uuid=uuid, name=name, role=role)
    return {
        "uuid": invitation.uuid,
        "email": invitation.email,
        "role": invitation.role,
        "project": project,
        "status": _status(invitation),
        "invited_by": UserRef.model_validate(maker),
        "created_at": invitation.created_at,
        "expires_at": invitation.expires_at,
    }


def _projects(session: Session, *invitations: Invitation) -> Projects:
    ids = {invitation.project_id for invitation in invitations}
    return hooks.describe_projects(session, [id_ for id_ in ids if id_ is not None])


@router.get("", summary="List invitations")
def list_invitations(
    _: UsersRead,
    session: SessionDep,
    *,
    only_open: bool = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[InvitationOut]:
    """List invitations, newest first; with `only_open`, only those that can still be accepted."""
    rows, following = page_by_id(
        session,
        queries.list_invitations(open_only=only_open),
        Invitation.id,
        limit=limit,
        cursor=cursor,
    )
    projects = _projects(session, *(row[0] for row in rows))

    def render(row: tuple[Invitation, User, str | None]) -> InvitationOut:
        invitation, maker, role = row
        return InvitationOut(**_fields(invitation, maker, role, projects))

    return render_page(rows, following, render)


@router.post("", summary="Invite a person", status_code=status.HTTP_201_CREATED, responses=TAKEN)
def create_invitation(
    request: Request,
    body: InvitationIn,
    principal: SignInsWrite,
    session: SessionDep,
    response: Response,
) -> NewInvitationOut:
    """Create a link that creates one account.

    The link is shown only once, and sent to the address if e-mail is configured.
    """
    invitation, link, sent = service.invite(
        session,
        principal,
        get_settings(),
        email=body.email,
        role=body.role,
        project=body.project,
        project_role=body.project_role,
        days=body.days,
        language=language_of(request),
    )
    session.refresh(invitation)
    maker = session.get_one(User, principal.user_id)
    fields = _fields(invitation, maker, body.project_role, _projects(session, invitation))
    response.headers["Cache-Control"] = "no-store"
    return NewInvitationOut(**fields, token=link.token, link=link.link, sent=sent)


@router.delete(
    "/{invitation}", summary="Revoke an invitation", status_code=status.HTTP_204_NO_CONTENT
)
def revoke_invitation(invitation: UUID, principal: UsersWrite, session: SessionDep) -> None:
    """Revoke an invitation. Its link stops working."""
    service.revoke(session, principal, invitation)
