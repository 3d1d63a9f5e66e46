"""Projects and their members."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response, status

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.etags import IfMatch, set_etag
from aiplatform.server.core.pagination import Cursor, Limit, Page, encode_cursor, page_by_id
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import Principal, SessionDep, SignedIn
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.schemas import UserRef
from aiplatform.server.projects import queries, service
from aiplatform.server.projects.access import CreateProjectGuard, ProjectContext, ProjectGuard
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.projects.schemas import (
    MemberIn,
    MemberOut,
    ProjectIn,
    ProjectOut,
    ProjectPatch,
)

router = APIRouter(prefix="/api/v1/projects", tags=["projects"])

CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Name taken, or project archived"}
}
CHANGED: dict[int | str, dict[str, Any]] = CONFLICT | {
    412: {"model": ProblemDocument, "description": "Changed since it was read"},
    428: {"model": ProblemDocument, "description": "If-Match is missing"},
}

Create = Annotated[Principal, Depends(CreateProjectGuard())]
Read = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_READ))]
# Activating an archived project is a change of it; the service refuses the others.
Change = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_WRITE, writes=False))]
Delete = Annotated[
    ProjectContext,
    Depends(ProjectGuard(Permission.PROJECTS_WRITE, writes=False, everything=True)),
]
ReadMembers = Annotated[ProjectContext, Depends(ProjectGuard(Permission.MEMBERS_READ))]
ChangeMembers = Annotated[ProjectContext, Depends(ProjectGuard(Permission.MEMBERS_WRITE))]
UserName = Annotated[str, Path(max_length=50, description="uuid or user name")]


def _render(project: Project, owner: User | None) -> ProjectOut:
    return ProjectOut(
        uuid=project.uuid,
        name=project.name,
        description=project.description,
        # Rows that other programs wrote may hold nulls where ours never do.
        status=ProjectStatus(project.status or ProjectStatus.ACTIVE),
        owner=None if owner is None else UserRef.model_validate(owner),
        config=project.config or {},
        tags=project.tags or [],
        created_at=project.created_at,
        updated_at=project.updated_at,
    )


def _render_member(grant: ProjectPermission, user: User, role: Role) -> MemberOut:
    return MemberOut(user=UserRef.model_validate(user), role=role.name, created_at=grant.created_at)


@router.get("", summary="List projects")
def list_projects(
    principal: SignedIn,
    session: SessionDep,
    name: Annotated[
        str | None, Query(max_length=255, description="part of the name, in either case")
    ] = None,
    status: ProjectStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ProjectOut]:
    """The projects that you may read, newest first."""
    rows, following = page_by_id(
        session,
        queries.visible_projects(principal, name=name, status=status),
        Project.id,
        limit=limit,
        cursor=cursor,
    )
    return Page(items=[_render(*row) for row in rows], next_cursor=following)


@router.post(
    "", summary="Create a project", status_code=status.HTTP_201_CREATED, responses=CONFLICT
)
def create_project(
    body: ProjectIn, principal: Create, session: SessionDep, response: Response
) -> ProjectOut:
    """Make a project that you own. Among your own projects its name must be new."""
    project = service.create_project(session, principal, **body.model_dump())
    set_etag(response, project.updated_at)
    return _render(project, session.get(User, principal.user_id))


@router.get("/{project}", summary="Read a project")
def read_project(context: Read, session: SessionDep, response: Response) -> ProjectOut:
    """One project; its ETag is needed to change it."""
    project, owner = queries.get_project(session, context)
    set_etag(response, project.updated_at)
    return _render(project, owner)


@router.patch("/{project}", summary="Change a project", responses=CHANGED)
def update_project(
    body: ProjectPatch,
    context: Change,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> ProjectOut:
    """Change what is given. An archived project only takes `{"status": "active"}`."""
    project, owner = service.update_project(
        session, context, body.model_dump(exclude_unset=True), if_match
    )
    set_etag(response, project.updated_at)
    return _render(project, owner)


@router.delete("/{project}", summary="Delete a project", status_code=status.HTTP_204_NO_CONTENT)
def delete_project(context: Delete, session: SessionDep) -> None:
    """Delete the project with its datasets, experiments, models and deployments; stop its tasks.

    For its owner, and for those who hold everything in it.
    """
    service.delete_project(session, context)


@router.get("/{project}/members", summary="List members")
def list_members(
    context: ReadMembers, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[MemberOut]:
    """Who has which role in the project: first its owner, then the others as they came."""
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


@router.put("/{project}/members/{user}", summary="Give a role", responses=CONFLICT)
def set_member(
    user: UserName, body: MemberIn, context: ChangeMembers, session: SessionDep
) -> MemberOut:
    """Give a user a role in the project, in place of the one they had.

    Nobody gives a role that grants what they lack in the project.
    """
    return _render_member(*service.set_member(session, context, user, body.role))


@router.delete(
    "/{project}/members/{user}",
    summary="Take a role away",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=CONFLICT,
)
def remove_member(user: UserName, context: ChangeMembers, session: SessionDep) -> None:
    """Take a user's role in the project away."""
    service.remove_member(session, context, user)
