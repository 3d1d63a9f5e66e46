"""HTTP routes for model files: list, upload, download."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.models import ModelFileOut
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
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.service.quotas import check_storage_available
from aiplatform.server.registry import access, queries, service
from aiplatform.server.registry.access import ModelContext

router = APIRouter(prefix="/api/v1/models/{model}/files")

FilePath = Annotated[
    str, Path(description="relative, of plain names: letters, digits and . _ + @ = -")
]


def render(file: StoredFile) -> ModelFileOut:
    """Return the response body of a model file."""
    return ModelFileOut(path=file.path, size=file.size, sha256=file.sha256)


@router.get("", summary="List a model's files")
def list_model_files(
    context: Annotated[ModelContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[ModelFileOut]:
    """List files by path: `weights/` is the whole model, `adapter/` is what training added."""
    after = ""
    if cursor is not None:
        (after,) = decode_cursor(cursor, str)
    files, last = queries.page_of_files(session, context.model_id, after=after, limit=limit)
    return Page(
        items=[render(file) for file in files],
        next_cursor=None if last is None else encode_cursor(last),
    )


@router.put(
    ANY_PATH,
    summary="Upload a model's file",
    openapi_extra=describe_body("the file's bytes"),
    responses=describe_errors("file", s409="The model takes no files (any more)"),
)
async def put_model_file(
    path: FilePath,
    context: Annotated[ModelContext, Depends(access.WRITE)],
    expected: ExpectedDigest,
    request: Request,
) -> ModelFileOut:
    """Upload a file of a model. Until the import, it is stored below `source/`.

    An earlier file with the same path is replaced. Refused during and after the import.
    """
    service.check_path(path)

    def check_in_advance(size: int) -> None:
        with transaction() as session:
            model, _ = service.open_for_files(session, context.model_id)
            if model.project_id is not None:
                check_storage_available(session, model.project_id, size)

    def keep(spooled: Spooled) -> ModelFileOut:
        with transaction() as session:
            now = access.confirm(session, context, Permission.MODELS_WRITE)
            file = service.add_file(
                session, now.actor, now.model_id, path, spooled, project=now.project_uuid
            )
            return render(file)

    limit = get_settings().max_upload_bytes
    return await receive_body(
        request, expected, limit=limit, check_in_advance=check_in_advance, keep=keep
    )


@router.get(
    ANY_PATH,
    summary="Download a model's file",
    response_class=Response,
    responses=downloads.DOCUMENTATION,
)
@sends_headers(*downloads.HEADERS)
def get_model_file(
    path: FilePath,
    context: Annotated[ModelContext, Depends(access.READ)],
    session: SessionDep,
    request: Request,
) -> Response:
    """Return a file as an attachment, with its length, ETag and digest. Ranges are supported."""
    file = queries.get_file(session, context.model_id, path)
    name = file.path.rpartition("/")[2]
    response = downloads.send_blob(request, file, name, "application/octet-stream")
    if response.status_code in downloads.CONTENT_STATUSES:
        audit.record(
            session,
            context.actor,
            AuditAction.MODEL_DOWNLOADED,
            "model",
            context.model_uuid,
            project=context.project_uuid,
            path=file.path,
            range=request.headers.get("range", "")[:100] or None,
        )
    return response
