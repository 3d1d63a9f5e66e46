"""Routes for versions: list, commit, read, delete; browse and download their rows."""

from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.data.row_access import Found
from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.shapes.datasets import DatasetVersionOut
from aiplatform.server.core import audit, downloads
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_by_id,
    render_page,
)
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import access, queries
from aiplatform.server.datasets.endpoints.rendering import render_current
from aiplatform.server.datasets.endpoints.rendering import render_version as render
from aiplatform.server.datasets.endpoints.row_selection import RowSelection, row_selection
from aiplatform.server.datasets.endpoints.uploads import (
    PROBLEMS,
    RAW_BODY,
    UploadParametersDep,
    receive_upload,
    upload_target,
)
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.datasets.queries import VersionRow
from aiplatform.server.datasets.rules import FILE_EXTENSIONS, MEDIA_TYPES, safe_filename
from aiplatform.server.datasets.schemas import RowPage
from aiplatform.server.datasets.service import content, history
from aiplatform.server.datasets.service.uploads import Target
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1/datasets/{dataset}/versions")

Label = Annotated[
    str, Path(pattern=VERSION_OR_TAG, description="`v1`, `v2`, …, or a tag: `prod`, `@prod`")
]
Reader = Annotated[ProjectContext, Depends(access.READ)]

FORMATS: dict[str, dict[str, Any]] = {kind.partition(";")[0]: {} for kind in MEDIA_TYPES.values()}
CONTENT: dict[int | str, dict[str, Any]] = {
    **downloads.DOCUMENTATION,
    200: {"description": "The file", "content": FORMATS},
    206: {**downloads.DOCUMENTATION[206], "content": FORMATS},
}


@router.get("", summary="List versions")
def list_dataset_versions(
    dataset: UUID, context: Reader, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[DatasetVersionOut]:
    """List all versions, newest first."""
    found = queries.get_dataset(session, context, dataset)
    rows, following = page_by_id(
        session, queries.list_versions(found), DatasetVersion.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, lambda row: render(queries.version_row(row)))


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Commit a version",
    openapi_extra=RAW_BODY,
    responses=PROBLEMS,
)
@sends_headers("Location")
async def create_dataset_version(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    request: Request,
    response: Response,
    parameters: UploadParametersDep,
    target: Annotated[Target, Depends(upload_target)],
) -> DatasetVersionOut:
    """Store the file as the next version and queue its quality report.

    With another `mode`, the file's rows change the parent's: they are appended (`append`), they
    replace rows with the same key (`upsert`; columns that the file lacks are kept), or they
    identify the rows to delete (`delete`).
    """
    target = replace(target, dataset=dataset)
    created = await receive_upload(request, context, target, parameters, render_current)
    response.headers["Location"] = f"/api/v1/datasets/{dataset}/versions/{created.version}"
    return created


@router.get("/{version}", summary="Read a version")
def get_dataset_version(
    dataset: UUID, version: Label, context: Reader, session: SessionDep
) -> DatasetVersionOut:
    """Return one version with its quality report."""
    found = queries.get_dataset(session, context, dataset)
    return render(queries.get_version_row(session, found, version))


@router.delete("/{version}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete a version")
def delete_dataset_version(
    dataset: UUID,
    version: Label,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
) -> None:
    """Delete a version that has no children and no tags.

    It must not be the first version, and only quality reports and fixes may have read it.
    """
    history.delete_version(session, context, dataset, version)


@router.get("/{version}/rows", summary="Browse rows", responses=PROBLEMS)
def list_dataset_rows(
    dataset: UUID,
    version: Label,
    context: Reader,
    session: SessionDep,
    wanted: Annotated[RowSelection, Depends(row_selection)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RowPage:
    """List rows in order from any position, rows that match a search, or a random sample.

    A page of long rows may have fewer rows than `limit`. The same is true of a page of a long
    search, which can even be empty: continue at `next_cursor`.
    """
    offset = wanted.offset
    if cursor is not None:
        (offset,) = decode_cursor(cursor, int)
    _, commit, file = _rows_of(session, context, dataset, version)
    count = commit.version.row_count
    with downloads.content_expected(file):
        if wanted.sample is not None:
            found = content.draw_rows(file, count, wanted.sample, wanted.seed)
        elif wanted.search is not None or wanted.where:
            found = content.find_rows(file, offset, limit, text=wanted.search, where=wanted.where)
        else:
            rows, following = content.page_of_rows(file, count, offset, limit)
            positions = list(range(offset, offset + len(rows)))
            found = Found(rows, positions, following)
    return RowPage(
        items=found.rows,
        places=found.positions,
        next_cursor=None if found.following is None else encode_cursor(found.following),
    )


@router.get(
    "/{version}/content",
    summary="Download",
    response_class=Response,
    responses=CONTENT,
)
@sends_headers("ETag", "Content-Disposition", sometimes=("Accept-Ranges", "Repr-Digest"))
def get_dataset_content(
    dataset: UUID,
    version: Label,
    context: Reader,
    session: SessionDep,
    request: Request,
    format: Annotated[  # noqa: A002  (the name in the API)
        Literal["parquet", "jsonl", "csv", "original", "quarantine"],
        Query(
            description="`original`: the bytes as they were uploaded; `quarantine`: the bad rows "
            "that were set aside, each with its place, the reason and its text"
        ),
    ] = "parquet",
) -> Response:
    """Download the rows as canonical Parquet, JSON Lines or CSV, or the uploaded file.

    The response is always an attachment. Parquet and original files have a length, ETag and digest,
    and support ranges; JSON Lines and CSV are generated while they are sent. In CSV, nested values
    are JSON text, and text that a spreadsheet would treat as a formula begins with an apostrophe.
    """
    head, commit, file = _rows_of(session, context, dataset, version)
    # Use the label, not the tag in the request: a tag may be moved before somebody reads this.
    label = commit.version.version
    name = f"{head.name}-{label}"
    media_type = MEDIA_TYPES[format]
    if format in {"jsonl", "csv"}:
        filename = safe_filename(f"{name}.{FILE_EXTENSIONS[format]}")
        with downloads.content_expected(file):
            chunks = content.export_rows(content.local_rows(file), format)
        response = downloads.send_stream(request, chunks, file, filename, media_type)
    elif format == "original":
        original = queries.upload_file(session, commit.version.id)
        if original is None:
            raise NotFound(resource="file")
        filename = original.path.rpartition("/")[2]
        response = downloads.send_blob(request, original, filename, media_type)
    else:
        kept = file
        if format == "quarantine":
            aside = queries.quarantine_file(session, commit.version.id)
            if aside is None:
                raise NotFound(resource="file")
            kept = aside
        filename = safe_filename(f"{name}.{FILE_EXTENSIONS[format]}")
        response = downloads.send_blob(request, kept, filename, media_type)
    if response.status_code in downloads.CONTENT_STATUSES:
        audit.record(
            session,
            context.actor,
            AuditAction.DATASET_DOWNLOADED,
            "dataset",
            head.uuid,
            project=context.project_uuid,
            name=head.name,
            version=label,
            format=format,
            range=request.headers.get("range", "")[:100] or None,
        )
    return response


def _rows_of(
    session: Session, context: ProjectContext, dataset: UUID, version: str
) -> tuple[Dataset, VersionRow, StoredFile]:
    head = queries.get_dataset(session, context, dataset)
    commit = queries.get_version_row(session, head, version)
    file = queries.rows_file(session, commit.version.id)
    if file is None:
        raise NotFound(resource="dataset version")
    return head, commit, file
