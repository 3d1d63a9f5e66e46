"""Routes for the bin: list, restore and purge deleted resources."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, status

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.projects import BinItemOut, RestoredOut
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep, SignedInOrKey
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.projects.models import BinEntry
from aiplatform.server.projects.schemas import RestoreIn
from aiplatform.server.projects.service import bin as service

router = APIRouter(prefix="/api/v1", tags=["bin"])

CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Name taken, still in use, project archived"}
}
Read = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_READ))]
Restore = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_WRITE))]
Purge = Annotated[
    ProjectContext,
    Depends(ProjectGuard(Permission.PROJECTS_WRITE, writes=False, all_permissions=True)),
]
Binned = Annotated[
    ProjectContext,
    Depends(
        ProjectGuard(Permission.PROJECTS_WRITE, writes=False, all_permissions=True, binned=True)
    ),
]


def _render(row: Any) -> BinItemOut:
    entry, size, user = row
    return BinItemOut(
        uuid=entry.resource_uuid,
        kind=entry.kind,
        name=entry.name,
        version=entry.version,
        shared=entry.shared,
        bytes=size,
        deleted_by=None if user is None else UserRef.model_validate(user),
        deleted_at=entry.deleted_at,
        purge_after=entry.purge_after,
    )


@router.get("/bin", summary="List deleted projects")
def list_deleted_projects(
    principal: SignedInOrKey, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[BinItemOut]:
    """List the deleted projects that you may restore, latest first."""
    rows, following = page_by_id(
        session, queries.list_binned_projects(principal), BinEntry.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, _render)


@router.post("/bin/{binned}/restore", summary="Restore a project", responses=CONFLICT)
def restore_project(
    context: Binned, session: SessionDep, body: RestoreIn | None = None
) -> RestoredOut:
    """Restore a deleted project with all its content and members. Its tasks remain cancelled.

    Only its owner, and members who hold all permissions in it, may do this.
    """
    name = None if body is None else body.name
    project, entry = service.restore_project(session, context, name)
    return RestoredOut(uuid=project.uuid, kind="project", name=project.name, version=entry.version)


@router.delete(
    "/bin/{binned}",
    summary="Purge a project",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=CONFLICT,
)
def purge_project(context: Binned, session: SessionDep) -> None:
    """Delete a project in the bin permanently, with all its content."""
    service.purge_project(session, context)


@router.get("/projects/{project}/bin", summary="List what was deleted in a project")
def list_bin(
    context: Read, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[BinItemOut]:
    """List deleted datasets and models, of the kinds that you may read, latest first."""
    statement = queries.list_bin_entries(context, service.readable_kinds(context))
    rows, following = page_by_id(session, statement, BinEntry.id, limit=limit, cursor=cursor)
    return render_page(rows, following, _render)


@router.post(
    "/projects/{project}/bin/{item}/restore",
    summary="Restore a dataset or model",
    responses=CONFLICT,
)
def restore_bin_item(
    item: UUID, context: Restore, session: SessionDep, body: RestoreIn | None = None
) -> RestoredOut:
    """Restore a dataset or model by its uuid.

    You need permission to write this kind of resource.
    """
    name = None if body is None else body.name
    entry, restored = service.restore_item(session, context, item, name)
    return RestoredOut.model_validate(
        {"uuid": item, "kind": entry.kind, "name": restored, "version": entry.version}
    )


@router.delete(
    "/projects/{project}/bin/{item}",
    summary="Purge a dataset or model",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=CONFLICT,
)
def purge_bin_item(item: UUID, context: Purge, session: SessionDep) -> None:
    """Delete a dataset or model permanently. This requires all permissions in the project."""
    service.purge_item(session, context, item)
