"""Routes for members: their roles, leaving, ownership transfer, and the sources of permissions."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response, status

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.projects import (
    AccessOut,
    HeldOut,
    KeyAccessOut,
    MemberOut,
    ProjectInvitationOut,
    ProjectOut,
    ReasonOut,
)
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    encode_cursor,
    page_by_id,
)
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.models import Role, User
from aiplatform.server.projects import queries, service
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.projects.endpoints.invitations import render_invitation
from aiplatform.server.projects.endpoints.projects import CONFLICT, render
from aiplatform.server.projects.models import ProjectPermission
from aiplatform.server.projects.schemas import MemberIn, TransferIn

router = APIRouter(prefix="/api/v1/projects", tags=["projects"])

ReadMembers = Annotated[ProjectContext, Depends(ProjectGuard(Permission.MEMBERS_READ))]
ChangeMembers = Annotated[ProjectContext, Depends(ProjectGuard(Permission.MEMBERS_WRITE))]
# All users with access to the project may read their own permissions there. API keys may not.
Own = Annotated[ProjectContext, Depends(ProjectGuard(None, accepts_keys=False))]
# All members may leave, even if the project is archived. An API key can't do that.
Leave = Annotated[ProjectContext, Depends(ProjectGuard(None, accepts_keys=False))]
Transfer = Annotated[
    ProjectContext,
    Depends(ProjectGuard(Permission.PROJECTS_WRITE, writes=False, owner=True, accepts_keys=False)),
]
UserName = Annotated[str, Path(max_length=50, description="uuid or user name")]


def _render_member(grant: ProjectPermission, user: User, role: Role) -> MemberOut:
    return MemberOut(user=UserRef.model_validate(user), role=role.name, created_at=grant.created_at)


def _render_reasons(reasons: Iterable[service.Reason]) -> list[ReasonOut]:
    return [
        ReasonOut.model_validate({**reason._asdict(), "grants": sorted(reason.grants)})
        for reason in reasons
    ]


def _render_access(found: service.Explanation) -> AccessOut:
    keys = None
    if found.keys is not None:
        keys = [
            KeyAccessOut(
                uuid=row.key.uuid,
                name=row.key.name,
                prefix=row.key.prefix,
                scopes=row.key.scopes,
                permissions=[str(permission) for permission in permissions],
            )
            for row, permissions in found.keys
        ]
    return AccessOut(
        user=UserRef.model_validate(found.user),
        is_active=bool(found.user.is_active),
        reasons=_render_reasons(found.reasons),
        permissions=[
            HeldOut(permission=str(permission), because=_render_reasons(because))
            for permission, because in found.held.items()
        ],
        keys=keys,
    )


@router.get("/{project}/members", summary="List members")
def list_members(
    context: ReadMembers, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[MemberOut]:
    """List the members and their roles: first the owner, then the others in order of joining."""
    members: list[MemberOut] = []
    if cursor is None:
        project, owner = queries.get_project(session, context)
        if owner is not None:
            user = UserRef.model_validate(owner)
            members.append(MemberOut(user=user, role="owner", created_at=project.created_at))
    if len(members) == limit:
        return Page(items=members, next_cursor=encode_cursor(0))
    rows, following = page_by_id(
        session,
        queries.list_members(context),
        ProjectPermission.id,
        limit=limit - len(members),
        cursor=cursor,
        newest_first=False,
    )
    return Page(items=members + [_render_member(*row) for row in rows], next_cursor=following)


INVITED: dict[int | str, dict[str, Any]] = {
    202: {"model": ProjectInvitationOut, "description": "Invited; a member once they accept"}
}


@router.put("/{project}/members/{user}", summary="Give a role", responses=CONFLICT | INVITED)
def set_member(
    user: UserName, body: MemberIn, context: ChangeMembers, session: SessionDep, response: Response
) -> MemberOut | ProjectInvitationOut:
    """Give a user a role in the project, replacing an earlier role.

    A user who is not yet a member is invited: the response is 202, and the user becomes a member by
    accepting. A name without an account gets the same response. Administrators add members without
    an invitation; see `AIPLATFORM_ADMINISTRATORS_ADD_MEMBERS`. You can't grant a role with
    permissions that you lack in the project.
    """
    done = service.set_member(session, context, user, body.role)
    if isinstance(done, queries.InvitationRow):
        response.status_code = status.HTTP_202_ACCEPTED
        return render_invitation(done)
    return _render_member(*done)


@router.delete(
    "/{project}/members/{user}",
    summary="Take a role away",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=CONFLICT,
)
def remove_member(user: UserName, context: ChangeMembers, session: SessionDep) -> None:
    """Remove a user's role in the project, or withdraw the user's invitation."""
    service.remove_member(session, context, user)


@router.post(
    "/{project}/leave",
    summary="Leave a project",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=CONFLICT,
)
def leave_project(context: Leave, session: SessionDep) -> None:
    """Leave the project. The owner can't leave, only transfer the project."""
    service.leave(session, context)


@router.post("/{project}/transfer", summary="Transfer a project", responses=CONFLICT)
def transfer_project(body: TransferIn, context: Transfer, session: SessionDep) -> ProjectOut:
    """Make another member the owner. You keep `keep_role` in the project, or leave it.

    Only the owner, and principals with a global `*`, may do this.
    """
    return render(*service.transfer(session, context, body.user, body.keep_role))


@router.get("/{project}/access", summary="Explain a user's access")
def explain_access(
    context: ReadMembers,
    session: SessionDep,
    user: Annotated[str, Query(max_length=50, description="uuid or user name")],
) -> AccessOut:
    """Return a user's permissions in the project, and the sources of each of them."""
    return _render_access(service.explain(session, context, user))


@router.get("/{project}/access/me", summary="Explain your own access")
def explain_own_access(context: Own, session: SessionDep) -> AccessOut:
    """Return your permissions in the project, and the sources of each of them."""
    return _render_access(service.explain(session, context, str(context.principal.user_uuid)))
