"""Routes for code bundles. Scripts themselves are tasks; see ``POST …/tasks``."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, status

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.names import Name
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.experiments import BundleOut
from aiplatform.server.core import audit, downloads
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.core.raw_body import (
    ExpectedDigest,
    describe_body,
    describe_errors,
    receive_body,
)
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import Spooled
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service.quotas import check_storage_available
from aiplatform.server.scripts import access, queries, service
from aiplatform.server.scripts.models import CodeBundle

router = APIRouter(prefix="/api/v1", tags=["scripts"])


def render(bundle: CodeBundle, author: str | None) -> BundleOut:
    """Return the response body of a bundle."""
    return BundleOut(
        uuid=bundle.uuid,
        name=bundle.name,
        sha256=bundle.sha256,
        size=bundle.size,
        files=bundle.files,
        unpacked_bytes=bundle.unpacked_bytes,
        source=bundle.source,
        author=author,
        created_at=bundle.created_at,
    )


def bundle_origin(**source: str | None) -> dict[str, Any] | None:
    """Return the parts of a bundle's origin that the uploader supplied; None if there are none."""
    return {key: clean_text(value) for key, value in source.items() if value is not None} or None


@router.post(
    "/projects/{project}/bundles",
    status_code=status.HTTP_201_CREATED,
    summary="Upload code",
    openapi_extra=describe_body("a .tar.gz of regular files"),
    responses=describe_errors("bundle"),
)
async def upload_bundle(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    expected: ExpectedDigest,
    request: Request,
    name: Annotated[Name, Query(description="what people call it")],
    commit: Annotated[str | None, Query(max_length=100, description="of git")] = None,
    remote: Annotated[
        str | None, Query(max_length=500, description="the repository's address")
    ] = None,
    directory: Annotated[str | None, Query(max_length=255, description="its name")] = None,
) -> BundleOut:
    """Upload code for tasks of type `script`. This is refused if scripts are not allowed."""
    service.require_allowed()
    source = bundle_origin(commit=commit, remote=remote, directory=directory)

    def check_in_advance(size: int) -> None:
        with transaction() as session:
            check_storage_available(session, context.project_id, size)

    def keep(spooled: Spooled) -> BundleOut:
        facts = service.inspect_bundle(spooled.path)
        with transaction() as session:
            now = access.confirm(session, context, Permission.TRAINING_WRITE)
            bundle = service.add_bundle(session, now, name, spooled, facts, source=source)
            return render(bundle, now.principal.username)

    limit = get_settings().max_bundle_bytes
    return await receive_body(
        request, expected, limit=limit, check_in_advance=check_in_advance, keep=keep
    )


@router.get("/projects/{project}/bundles", summary="List code bundles")
def list_bundles(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[BundleOut]:
    """List the project's bundles, newest first."""
    rows, following = page_by_id(
        session, queries.list_bundles(context), CodeBundle.id, limit=limit, cursor=cursor
    )
    return Page(items=[render(*row) for row in rows], next_cursor=following)


@router.get("/bundles/{bundle}", summary="Read a code bundle's facts")
def get_bundle(
    bundle: UUID, context: Annotated[ProjectContext, Depends(access.READ)], session: SessionDep
) -> BundleOut:
    """Return the details of a bundle, such as its hash and origin."""
    return render(*queries.get_bundle(session, context, bundle))


@router.get(
    "/bundles/{bundle}/content",
    summary="Download a code bundle",
    response_class=Response,
    responses=downloads.DOCUMENTATION,
)
@sends_headers(*downloads.HEADERS)
def download_bundle(
    bundle: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    request: Request,
) -> Response:
    """Download the archive unchanged, as an attachment with ETag and digest. Supports ranges."""
    found, _ = queries.get_bundle(session, context, bundle)
    file = StoredFile(service.BUNDLE_FILE, found.sha256, found.size)
    response = downloads.send_blob(
        request, file, f"{found.name}.tar.gz", "application/octet-stream"
    )
    if response.status_code in downloads.CONTENT_STATUSES:
        audit.record(
            session,
            context.actor,
            AuditAction.BUNDLE_DOWNLOADED,
            "bundle",
            found.uuid,
            project=context.project_uuid,
            sha256=found.sha256,
        )
    return response


@router.delete(
    "/bundles/{bundle}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete a code bundle"
)
def delete_bundle(
    bundle: UUID, context: Annotated[ProjectContext, Depends(access.DELETE)], session: SessionDep
) -> None:
    """Delete a bundle that no unfinished task needs. Tasks that ran it keep its hash."""
    service.delete_bundle(session, context, bundle)
