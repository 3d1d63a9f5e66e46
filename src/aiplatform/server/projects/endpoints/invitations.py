"""Routes for invitations to projects, for inviters and invited users."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, status

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.projects import ProjectInvitationOut
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.identity.access import SessionDep, SignedIn
from aiplatform.server.projects import queries, service
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.projects.endpoints.projects import CONFLICT
from aiplatform.server.projects.models import ProjectInvitation

router = APIRouter(prefix="/api/v1", tags=["projects"])

ReadMembers = Annotated[ProjectContext, Depends(ProjectGuard(Permission.MEMBERS_READ))]


def render_invitation(row: queries.InvitationRow) -> ProjectInvitationOut:
    """Return the response body of an invitation."""
    invitation, project, role, inviter = row
    return ProjectInvitationOut(
        uuid=invitation.uuid,
        project=project.uuid,
        project_name=project.name,
        username=invitation.username,
        role=role.name,
        invited_by=None if inviter is None else UserRef.model_validate(inviter),
        created_at=invitation.created_at,
    )


@router.get("/projects/{project}/invitations", summary="List a project's open invitations")
def list_project_invitations(
    context: ReadMembers, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[ProjectInvitationOut]:
    """List the project's open invitations, newest first."""
    rows, following = page_by_id(
        session,
        queries.list_invitations(context),
        ProjectInvitation.id,
        limit=limit,
        cursor=cursor,
    )
    items = [render_invitation(queries.InvitationRow(*row)) for row in rows]
    return Page(items=items, next_cursor=following)


@router.get("/users/me/project-invitations", summary="List your invitations into projects")
def list_my_invitations(
    principal: SignedIn, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[ProjectInvitationOut]:
    """List the open invitations that you have received, newest first."""
    rows, following = page_by_id(
        session,
        queries.list_my_invitations(principal.user_id),
        ProjectInvitation.id,
        limit=limit,
        cursor=cursor,
    )
    items = [render_invitation(queries.InvitationRow(*row)) for row in rows]
    return Page(items=items, next_cursor=following)


@router.post(
    "/users/me/project-invitations/{invitation}/accept",
    summary="Join a project",
    responses=CONFLICT,
)
def accept_project_invitation(
    invitation: UUID, principal: SignedIn, session: SessionDep
) -> ProjectInvitationOut:
    """Become a member with the role that the invitation names.

    This is refused if the person who invited you can no longer grant that role.
    """
    return render_invitation(service.accept(session, principal, invitation))


@router.post(
    "/users/me/project-invitations/{invitation}/decline",
    summary="Decline an invitation into a project",
    status_code=status.HTTP_204_NO_CONTENT,
)
def decline_project_invitation(invitation: UUID, principal: SignedIn, session: SessionDep) -> None:
    """Decline an invitation; the person who invited you is notified."""
    service.decline(session, principal, invitation)
