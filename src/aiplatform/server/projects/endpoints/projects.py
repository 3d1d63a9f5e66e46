"""Routes for projects: list, create, read, change, archive, delete."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ProjectStatus
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.projects import ProjectOut
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, set_etag, set_purge_after
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import Principal, SessionDep, SignedInOrKey
from aiplatform.server.identity.models import User
from aiplatform.server.projects import queries, service
from aiplatform.server.projects.access import CreateProjectGuard, ProjectContext, ProjectGuard
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.schemas import ProjectIn, ProjectPatch

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
# Activating an archived project is a change, too. The service refuses all other changes to it.
Change = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_WRITE, writes=False))]
Delete = Annotated[
    ProjectContext,
    Depends(ProjectGuard(Permission.PROJECTS_WRITE, writes=False, all_permissions=True)),
]


def render(project: Project, owner: User | None, readable: bool = True) -> ProjectOut:
    """Return the response body of a project.

    If the project is not ``readable``, the body contains only its uuid, name, status and times.
    """
    if not readable:
        return ProjectOut(
            uuid=project.uuid,
            name=project.name,
            description=None,
            status=ProjectStatus(project.status or ProjectStatus.ACTIVE),
            owner=None,
            config={},
            tags=[],
            created_at=project.created_at,
            updated_at=project.updated_at,
        )
    return ProjectOut(
        uuid=project.uuid,
        name=project.name,
        description=project.description,
        # Rows written by other programs may contain nulls where the platform writes none.
        status=ProjectStatus(project.status or ProjectStatus.ACTIVE),
        owner=None if owner is None else UserRef.model_validate(owner),
        config=project.config or {},
        tags=project.tags or [],
        created_at=project.created_at,
        updated_at=project.updated_at,
    )


@router.get("", summary="List projects")
def list_projects(
    principal: SignedInOrKey,
    session: SessionDep,
    name: Annotated[
        str | None, Query(max_length=255, description="part of the name, in either case")
    ] = None,
    status: ProjectStatus | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[ProjectOut]:
    """List the projects that you may read, newest first.

    An API key for one project sees only that project. If the key lacks the permission to read it,
    the response contains only the project's uuid, name, status and times.
    """
    rows, following = page_by_id(
        session,
        queries.visible_projects(principal, name=name, status=status),
        Project.id,
        limit=limit,
        cursor=cursor,
    )
    return Page(items=[render(*row) for row in rows], next_cursor=following)


@router.post(
    "", summary="Create a project", status_code=status.HTTP_201_CREATED, responses=CONFLICT
)
@sends_headers("ETag")
def create_project(
    body: ProjectIn, principal: Create, session: SessionDep, response: Response
) -> ProjectOut:
    """Create a project that you own. Its name must differ from those of your other projects."""
    project = service.create_project(session, principal, **body.model_dump())
    set_etag(response, project.updated_at)
    return render(project, session.get(User, principal.user_id))


@router.get("/{project}", summary="Read a project")
@sends_headers("ETag")
def read_project(context: Read, session: SessionDep, response: Response) -> ProjectOut:
    """Return one project. Its ETag is needed to change it."""
    project, owner = queries.get_project(session, context)
    set_etag(response, project.updated_at)
    return render(project, owner)


@router.patch("/{project}", summary="Change a project", responses=CHANGED)
@sends_headers("ETag")
def update_project(
    body: ProjectPatch,
    context: Change,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> ProjectOut:
    """Change the given fields. An archived project accepts only `{"status": "active"}`.

    Only the owner and members with all permissions may change `status` (see `archive`), and
    `bin_days` and `retention` in `config`.
    """
    project, owner = service.update_project(
        session, context, body.model_dump(exclude_unset=True), if_match
    )
    set_etag(response, project.updated_at)
    return render(project, owner)


@router.delete("/{project}", summary="Delete a project", status_code=status.HTTP_204_NO_CONTENT)
@sends_headers("Purge-After")
def delete_project(context: Delete, session: SessionDep, response: Response) -> None:
    """Delete the project with its datasets, experiments, models and deployments; stop its tasks.

    Only its owner, and members who hold all permissions in it, may do this. The project can be
    restored from the bin until the time in the header `Purge-After`.
    """
    set_purge_after(response, service.delete_project(session, context).purge_after)


@router.post("/{project}/archive", summary="Archive a project")
@sends_headers("ETag")
def archive_project(context: Delete, session: SessionDep, response: Response) -> ProjectOut:
    """Make a project read-only. Its tasks are cancelled, so deployments stop; nothing is deleted.

    Only its owner, and members who hold all permissions in it, may do this. Archiving it again is
    not an error.
    """
    return _set_archived(context, session, response, archived=True)


@router.post("/{project}/unarchive", summary="Reactivate a project")
@sends_headers("ETag")
def unarchive_project(context: Delete, session: SessionDep, response: Response) -> ProjectOut:
    """Make an archived project writable again.

    Tasks and deployments that were stopped remain stopped.
    """
    return _set_archived(context, session, response, archived=False)


def _set_archived(
    context: ProjectContext, session: Session, response: Response, *, archived: bool
) -> ProjectOut:
    project = service.set_archived(session, context, archived)
    set_etag(response, project.updated_at)
    owner = None if project.owner_id is None else session.get(User, project.owner_id)
    return render(project, owner)
