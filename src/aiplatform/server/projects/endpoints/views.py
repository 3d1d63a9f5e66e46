"""Routes for saved views: the filters, order and columns of lists in the web interface."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ListPage
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.projects import SavedViewOut
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, require_match, set_etag
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id, render_page
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.models import User
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext, ProjectGuard, require_additional
from aiplatform.server.projects.models import SavedView
from aiplatform.server.projects.schemas import SavedViewIn, SavedViewPatch
from aiplatform.server.projects.service import views as service

router = APIRouter(prefix="/api/v1/projects/{project}/views", tags=["views"])
Read = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_READ))]
# Views are a user's personal settings. A key with a scope for reading must not change them.
Change = Annotated[
    ProjectContext,
    Depends(ProjectGuard(Permission.PROJECTS_READ, writes=True, accepts_keys=False)),
]
ViewPath = Annotated[UUID, Path(description="uuid of the view")]
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Name in use, or an archived project"}
}


def _render(context: ProjectContext, view: SavedView, user: User) -> SavedViewOut:
    return SavedViewOut(
        uuid=view.uuid,
        project=context.project_uuid,
        page=ListPage(view.page),
        name=view.name,
        state=view.state,
        shared=view.shared,
        user=UserRef.model_validate(user),
        created_at=view.created_at,
        updated_at=view.updated_at,
    )


def _find_changeable(
    session: Session, context: ProjectContext, uuid: UUID, request: Request
) -> tuple[SavedView, User]:
    """Return a locked view: one of the caller's, or a shared one if they may change the project.

    Raises:
        NotFound: for a view that the caller may not see.
        PermissionDenied: for a shared view of another user, without ``projects:write``.
    """
    view, user = queries.get_view(session, context, uuid, lock=True)
    if view.user_id != context.principal.user_id:
        require_additional(session, context, Permission.PROJECTS_WRITE, request)
    return view, user


@router.get("", summary="List saved views")
def list_views(
    context: Read,
    session: SessionDep,
    page: Annotated[ListPage | None, Query(description="only those of this list")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SavedViewOut]:
    """List your views and those that others have shared with the project, newest first."""
    rows, following = page_by_id(
        session, queries.list_views(context, page=page), SavedView.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, lambda row: _render(context, *row))


@router.post("", status_code=status.HTTP_201_CREATED, summary="Save a view", responses=CONFLICT)
@sends_headers("ETag")
def create_view(
    context: Change, session: SessionDep, body: SavedViewIn, response: Response
) -> SavedViewOut:
    """Save the filters, order and columns of a list under a name."""
    view = service.create_view(
        session, context, page=body.page, name=body.name, state=body.state, shared=body.shared
    )
    set_etag(response, view.updated_at)
    return _render(context, view, session.get_one(User, view.user_id))


@router.get("/{view}", summary="Read a saved view")
@sends_headers("ETag")
def get_view(
    view: ViewPath, context: Read, session: SessionDep, response: Response
) -> SavedViewOut:
    """Return one of your views or a shared view, with its ETag."""
    found, user = queries.get_view(session, context, view)
    set_etag(response, found.updated_at)
    return _render(context, found, user)


@router.patch("/{view}", summary="Change a saved view", responses=CONFLICT)
@sends_headers("ETag")
def update_view(
    view: ViewPath,
    context: Change,
    session: SessionDep,
    body: SavedViewPatch,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> SavedViewOut:
    """Rename, replace or share a view. Users who may change the project can change shared views."""
    found, user = _find_changeable(session, context, view, request)
    require_match(if_match, found.updated_at, "saved view")
    service.update_view(session, context, found, body.model_dump(exclude_unset=True))
    set_etag(response, found.updated_at)
    return _render(context, found, user)


@router.delete("/{view}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete a saved view")
def delete_view(view: ViewPath, context: Change, session: SessionDep, request: Request) -> None:
    """Delete a view. Users who may change the project can also delete shared views."""
    found, _ = _find_changeable(session, context, view, request)
    service.delete_view(session, context, found)
