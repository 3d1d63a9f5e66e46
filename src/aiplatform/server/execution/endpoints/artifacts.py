"""Routes for artifacts: the files that a run or script leaves as a result."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.tasks import ArtifactOut
from aiplatform.server.core import audit, downloads
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
)
from aiplatform.server.core.paths import ANY_PATH
from aiplatform.server.core.raw_body import (
    ExpectedDigest,
    describe_body,
    describe_errors,
    receive_body,
)
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import Spooled
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.execution import queries
from aiplatform.server.execution.service import external
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext, confirm
from aiplatform.server.projects.service.quotas import check_storage_available
from aiplatform.server.queue import access
from aiplatform.server.queue import queries as queue_queries

router = APIRouter(prefix="/api/v1/tasks/{task}/artifacts")


def render(file: StoredFile) -> ArtifactOut:
    """Return the response that describes an artifact."""
    return ArtifactOut(path=file.path, size=file.size, sha256=file.sha256)


@router.get("", summary="List a task's artifacts")
def list_task_artifacts(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ArtifactOut]:
    """Return the files that the task left in its output directory, sorted by path."""
    found = queue_queries.get_task(session, context, task)
    after = "" if cursor is None else decode_cursor(cursor, str)[0]
    files = queries.artifacts_after(session, found.id, after, limit=limit + 1)
    items = [render(file) for file in files[:limit]]
    more = len(files) > limit
    return Page(items=items, next_cursor=encode_cursor(items[-1].path) if more else None)


@router.put(
    ANY_PATH,
    summary="Upload a run's artifact",
    openapi_extra=describe_body("the file's bytes"),
    responses=describe_errors(
        "file", s409="The run has ended, or it does not run outside of the platform"
    ),
)
async def put_task_artifact(
    task: UUID,
    path: Annotated[str, Path(description="relative path, at most 500 characters")],
    context: Annotated[ProjectContext, Depends(access.UPDATE)],
    expected: ExpectedDigest,
    request: Request,
) -> ArtifactOut:
    """Store a file for an external run. An existing file with the same path is replaced."""
    external.check_path(path)

    def check_in_advance(size: int) -> None:
        with transaction() as session:
            external.require_open(session, queue_queries.get_task(session, context, task))
            check_storage_available(session, context.project_id, size)

    def keep(spooled: Spooled) -> ArtifactOut:
        with transaction() as session:
            now = confirm(session, context, Permission.TASKS_WRITE)
            found = queue_queries.get_task(session, now, task)
            return render(external.add_artifact(session, now, found, path, spooled))

    limit = get_settings().max_upload_bytes
    return await receive_body(
        request, expected, limit=limit, check_in_advance=check_in_advance, keep=keep
    )


@router.get(
    ANY_PATH,
    summary="Download a task's artifact",
    response_class=Response,
    responses=downloads.DOCUMENTATION,
)
@sends_headers(*downloads.HEADERS)
def get_task_artifact(
    task: UUID,
    path: Annotated[str, Path(description="path of the artifact, as in the list", max_length=500)],
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    request: Request,
) -> Response:
    """Send an artifact as an attachment, with its length, ETag and digest. Ranges are supported."""
    found = queue_queries.get_task(session, context, task)
    file = queries.get_artifact(session, found.id, path)
    name = file.path.rpartition("/")[2]
    response = downloads.send_blob(request, file, name, "application/octet-stream")
    if response.status_code in downloads.CONTENT_STATUSES:
        audit.record(
            session,
            context.actor,
            AuditAction.TASK_ARTIFACT_DOWNLOADED,
            "task",
            found.uuid,
            project=context.project_uuid,
            path=file.path,
        )
    return response
