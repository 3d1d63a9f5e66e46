"""Resumable uploads with the tus protocol 1.0 (https://tus.io), for `tuspy`, Uppy and the SDK."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from aiplatform.protocol.shapes.datasets import UploadOut
from aiplatform.protocol.validation_errors import message_of, place_of
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import header, sends_headers
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.core.settings import get_settings
from aiplatform.server.datasets import access, queries, service
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS
from aiplatform.server.datasets.errors import (
    InvalidTusHeader,
    InvalidTusMetadata,
    OffsetConflict,
    TusVersion,
    UploadExpired,
    UploadRefused,
)
from aiplatform.server.datasets.models import DatasetUpload
from aiplatform.server.datasets.schemas import TusMetadata
from aiplatform.server.datasets.service import resumable
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1")
VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"
PIECE_MEDIA_TYPE = "application/offset+octet-stream"
PIECE_BODY: dict[str, Any] = {
    "requestBody": {
        "description": "the bytes from `Upload-Offset` on",
        "content": {PIECE_MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    }
}
Creator = Annotated[ProjectContext, Depends(access.CREATE)]
Owner = Annotated[ProjectContext, Depends(access.RESUME)]
TUS_PROBLEMS = {
    **PROBLEMS,
    410: {**PROBLEMS[400], "description": "Nobody went on with it for a day"},
    412: {
        **PROBLEMS[400],
        "description": "Another version of the protocol",
        "headers": {"Tus-Version": header("Tus-Version")},
    },
    423: {**PROBLEMS[400], "description": "Another request is writing"},
    460: {**PROBLEMS[400], "description": "The piece is damaged; send it again"},
}


PROGRESS = ("Tus-Resumable", "Upload-Offset", "Upload-Length", "Upload-Expires")
OUTCOME = ("Aiplatform-Dataset", "Aiplatform-Version")
"""Names of the headers that :func:`set_headers` sets only for a committed upload.

:data:`PROGRESS` names the headers that it sets for every upload.
"""


def require_protocol_version(request: Request) -> None:
    """Reject requests that name another protocol version; a request may omit the version.

    Raises:
        TusVersion: the request names a version that is not supported.
    """
    if request.headers.get("tus-resumable", VERSION) != VERSION:
        raise TusVersion(version=VERSION)


def set_headers(response: Response, upload: DatasetUpload, offset: int) -> None:
    """Set the headers of every response about an upload."""
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Upload-Offset"] = str(offset)
    response.headers["Upload-Length"] = str(upload.length)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Upload-Expires"] = upload.expires_at.strftime("%a, %d %b %Y %H:%M:%S GMT")
    if upload.status == "committed" and upload.result:
        response.headers["Aiplatform-Dataset"] = str(upload.result["dataset"])
        response.headers["Aiplatform-Version"] = str(upload.result["version"])


@router.options(
    "/projects/{project}/uploads",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="What of tus is spoken",
)
@sends_headers(
    "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Checksum-Algorithm", "Tus-Max-Size"
)
def describe_uploads(context: Creator, response: Response) -> None:
    """Return the protocol version, extensions, checksums and maximum upload size as headers."""
    del context
    response.headers["Tus-Resumable"] = VERSION
    response.headers["Tus-Version"] = VERSION
    response.headers["Tus-Extension"] = EXTENSIONS
    response.headers["Tus-Checksum-Algorithm"] = ",".join(resumable.ALGORITHMS)
    response.headers["Tus-Max-Size"] = str(get_settings().max_upload_bytes)


@router.get(
    "/projects/{project}/uploads",
    summary="List resumable uploads",
    responses={409: {**PROBLEMS[400], "description": "The project is archived"}},
)
def list_uploads(
    context: Creator, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[UploadOut]:
    """List uploads in progress and uploads that ended within the last day, newest first."""
    rows, following = page_by_id(
        session, resumable.list_uploads(context), DatasetUpload.id, limit=limit, cursor=cursor
    )
    kept = [upload for upload in rows if resumable.is_available(upload)]
    return Page(
        items=[_render(upload, resumable.offset_of(upload)) for upload in kept],
        next_cursor=following,
    )


@router.post(
    "/projects/{project}/uploads",
    status_code=status.HTTP_201_CREATED,
    summary="Begin a resumable upload",
    openapi_extra=PIECE_BODY,
    responses=TUS_PROBLEMS,
    response_class=Response,
)
@sends_headers("Location", *PROGRESS, sometimes=OUTCOME)
async def create_upload(context: Creator, request: Request) -> Response:
    """Begin an upload of `Upload-Length` bytes, described by `Upload-Metadata`.

    The keys of the metadata are the parameters of a plain upload: `name` for a new dataset or
    `dataset` (a uuid) for a version of one, `filename`, `format`, `message`, `base_model`,
    `max_length`, `mode`, `key`, `parent`, `allow_identical`. Send the pieces with `PATCH` to the
    URL in `Location`.
    """
    require_protocol_version(request)
    length = resumable.parse_byte_count("Upload-Length", request.headers.get("upload-length"))
    try:
        decoded = resumable.parse_metadata(request.headers.get("upload-metadata", ""))
        metadata = TusMetadata.model_validate(decoded)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = place_of(first) or "name"
        raise InvalidTusMetadata(key=key, reason=message_of(first)) from error
    metadata.target()  # refuses a mode without its key

    def create() -> DatasetUpload:
        with transaction() as session:
            if metadata.dataset is not None:
                queries.get_dataset(session, context, metadata.dataset)
            service.check_upload_allowed(
                session, context, name=metadata.name, base_model=metadata.base_model, size=length
            )
            return resumable.create(session, context, length, metadata.model_dump(mode="json"))

    upload = await run_in_threadpool(create)
    response = Response(status_code=status.HTTP_201_CREATED)
    offset = 0
    if request.headers.get("content-type") == PIECE_MEDIA_TYPE:
        with resumable.open_locked(upload.uuid) as descriptor:
            offset, upload = await _receive_piece(request, context, upload, descriptor, 0)
    elif length == 0:
        upload = await finish_upload(context, upload.uuid)
    set_headers(response, upload, offset)
    response.headers["Location"] = f"/api/v1/uploads/{upload.uuid}"
    return response


@router.head(
    "/uploads/{upload}", summary="How much has arrived", responses=TUS_PROBLEMS,
    response_class=Response,
)  # fmt: skip
@sends_headers(*PROGRESS, sometimes=OUTCOME)
def head_upload(upload: UUID, context: Owner, request: Request) -> Response:
    """Return the header `Upload-Offset` with the number of bytes received. Continue from there."""
    require_protocol_version(request)
    with transaction() as session:
        found = resumable.find(session, context, upload)
        response = Response(status_code=status.HTTP_200_OK)
        set_headers(response, found, resumable.offset_of(found))
    return response


@router.get("/uploads/{upload}", summary="Read an upload", responses=TUS_PROBLEMS)
@sends_headers(*PROGRESS, sometimes=OUTCOME)
def get_upload(upload: UUID, context: Owner, response: Response) -> UploadOut:
    """Return the progress of an upload and, when it has ended, its result."""
    with transaction() as session:
        found = resumable.find(session, context, upload)
        offset = resumable.offset_of(found)
        set_headers(response, found, offset)
        return _render(found, offset)


@router.patch(
    "/uploads/{upload}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Send a piece",
    openapi_extra=PIECE_BODY,
    responses=TUS_PROBLEMS,
    response_class=Response,
)
@sends_headers(*PROGRESS, sometimes=OUTCOME)
async def append_upload(upload: UUID, context: Owner, request: Request) -> Response:
    """Append a piece; after the last one, parse the file and commit it.

    The piece is on disk before the response is sent. A file that can't be parsed is refused after
    the last piece, as a plain upload would be, and its bytes are deleted. If the file is refused
    for another reason, such as the quota, its bytes are kept until the upload expires. To try again
    in that case, or after a server crash, send an empty piece at the end. `Upload-Checksum` (`sha1`
    or `sha256`) verifies a piece.
    """
    require_protocol_version(request)
    if request.headers.get("content-type") != PIECE_MEDIA_TYPE:
        raise InvalidTusHeader(header="Content-Type")
    offset = resumable.parse_byte_count("Upload-Offset", request.headers.get("upload-offset"))

    def find() -> DatasetUpload:
        with transaction() as session:
            return resumable.find(session, context, upload)

    found = await run_in_threadpool(find)
    end = None
    if found.status == "receiving":
        try:
            with resumable.open_locked(upload) as descriptor:
                # The writer that held the lock until now may have ended the upload.
                found = await run_in_threadpool(find)
                if found.status == "receiving":
                    end, found = await _receive_piece(request, context, found, descriptor, offset)
        except UploadExpired:
            # The bytes are also gone if the upload has ended. Find out whether it ended or
            # expired.
            found = await run_in_threadpool(find)
    if end is None:
        end = _final_offset(found, offset)
    response = Response(status_code=status.HTTP_204_NO_CONTENT)
    set_headers(response, found, end)
    return response


@router.delete(
    "/uploads/{upload}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Give an upload up",
    responses=TUS_PROBLEMS,
)
@sends_headers("Tus-Resumable")
def delete_upload(upload: UUID, context: Owner, request: Request, response: Response) -> None:
    """Delete an upload and its bytes. A dataset that was made from them is kept."""
    require_protocol_version(request)
    with transaction() as session:
        resumable.remove(session, context, upload)
    response.headers["Tus-Resumable"] = VERSION


def _render(upload: DatasetUpload, offset: int) -> UploadOut:
    facts = upload.facts
    return UploadOut(
        uuid=upload.uuid,
        name=facts.get("name"),
        dataset=facts.get("dataset"),
        filename=facts.get("filename"),
        length=upload.length,
        offset=offset,
        status=upload.status,
        result=upload.result,
        created_at=upload.created_at,
        expires_at=upload.expires_at,
    )


def _final_offset(upload: DatasetUpload, offset: int) -> int:
    """Return the final offset of an ended upload to a client that repeats the last piece.

    Raises:
        UploadRefused: the file could not be read.
        OffsetConflict: the request is not a repetition of the last piece.
    """
    if upload.status == "refused":
        raise UploadRefused(reason=(upload.result or {}).get("detail", ""))
    if offset != upload.length:
        raise OffsetConflict(offset=offset, expected=upload.length)
    return offset


async def _receive_piece(
    request: Request,
    context: ProjectContext,
    upload: DatasetUpload,
    descriptor: int,
    offset: int,
) -> tuple[int, DatasetUpload]:
    """Receive a piece; after the last one, parse the file and commit it.

    Return the new offset and the upload.
    """
    checksum = resumable.parse_checksum(request.headers.get("upload-checksum"))
    end = await resumable.receive_piece(
        descriptor, request.stream(), offset=offset, length=upload.length, checksum=checksum
    )

    def extend() -> DatasetUpload:
        with transaction() as session:
            found = resumable.find(session, context, upload.uuid)
            resumable.extend(session, found)
            return found

    upload = await run_in_threadpool(extend)
    if end == upload.length:
        upload = await finish_upload(context, upload.uuid)
    return end, upload


async def finish_upload(context: ProjectContext, uuid: UUID) -> DatasetUpload:
    """Commit an upload that is complete; see :func:`resumable.finish`."""

    def find() -> DatasetUpload:
        with transaction() as session:
            return resumable.find(session, context, uuid)

    upload = await run_in_threadpool(find)
    if upload.status == "committed":
        return upload
    metadata = TusMetadata.model_validate(upload.facts)
    await resumable.finish(context, upload, metadata.target(), metadata.upload_parameters())
    return await run_in_threadpool(find)
