"""Versions: list, commit, read; their rows, content and quality reports."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import audit, downloads
from aiplatform.server.core.database import transaction
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
from aiplatform.server.datasets import access, queries, service
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS, RAW_BODY, Facts, received
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.datasets.queries import Commit
from aiplatform.server.datasets.rules import ENDINGS, MEDIA_TYPES, safe_filename
from aiplatform.server.datasets.schemas import DatasetVersionOut, QualityRequest
from aiplatform.server.datasets.service import Upload, content
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.schemas import UserRef
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.endpoints import render as render_task
from aiplatform.server.tasks.schemas import TaskOut

router = APIRouter(prefix="/datasets/{dataset}/versions")

Label = Annotated[str, Path(pattern=r"^v[1-9][0-9]{0,8}$", description="`v1`, `v2`, …")]
Reader = Annotated[ProjectContext, Depends(access.READ)]


def render(commit: Commit) -> DatasetVersionOut:
    """A version as it goes out."""
    version, details = commit.version, commit.details
    return DatasetVersionOut(
        uuid=version.uuid,
        dataset=commit.dataset,
        version=version.version,
        parent=commit.parent,
        message=version.commit_message,
        file_hash=version.file_hash,
        file_size=version.file_size,
        row_count=version.row_count,
        shape=None if details is None else details.shape,
        format=None if details is None else details.format,
        filename=None if details is None else details.filename,
        columns=[] if details is None else details.columns,
        author=(
            None
            if commit.author is None
            else UserRef(uuid=commit.author[0], username=commit.author[1])
        ),
        created_at=version.created_at,
        report=commit.report,
    )


@router.get("", summary="List versions")
def list_dataset_versions(
    dataset: UUID, context: Reader, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[DatasetVersionOut]:
    """All versions, newest first."""
    found = queries.get_dataset(session, context, dataset)
    rows, following = page_by_id(
        session, queries.commits(found), DatasetVersion.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, lambda row: render(queries.commit_of(row)))


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Commit a version",
    openapi_extra=RAW_BODY,
    responses=PROBLEMS,
)
async def create_dataset_version(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.COMMIT)],
    request: Request,
    response: Response,
    facts: Facts,
    allow_identical: Annotated[
        bool, Query(description="commit even when the rows are those of the current version")
    ] = False,
) -> DatasetVersionOut:
    """Store the file as the next version and queue its quality report."""

    def commit(upload: Upload) -> DatasetVersionOut:
        with transaction() as session:
            access.confirm(session, context, Permission.DATASETS_WRITE)
            head, version = service.add_version(
                session, context, dataset, upload, allow_identical=allow_identical
            )
            return render(queries.get_commit(session, head, version.version))

    async with received(request, context, facts) as upload:
        created = await run_in_threadpool(commit, upload)
    response.headers["Location"] = f"/api/v1/datasets/{dataset}/versions/{created.version}"
    return created


@router.get("/{version}", summary="Read a version")
def get_dataset_version(
    dataset: UUID, version: Label, context: Reader, session: SessionDep
) -> DatasetVersionOut:
    """One version with its quality report."""
    found = queries.get_dataset(session, context, dataset)
    return render(queries.get_commit(session, found, version))


@router.get("/{version}/rows", summary="Browse rows")
def list_dataset_rows(
    dataset: UUID,
    version: Label,
    context: Reader,
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[dict[str, Any]]:
    """Rows in their order. A page of long rows may have fewer than `limit`."""
    offset = 0
    if cursor is not None:
        (offset,) = decode_cursor(cursor, int)
    _, commit, file = _rows_of(session, context, dataset, version)
    with downloads.content_expected(file):
        rows, following = content.page_of_rows(file, commit.version.row_count, offset, limit)
    return Page(items=rows, next_cursor=None if following is None else encode_cursor(following))


@router.get(
    "/{version}/content",
    summary="Download",
    response_class=Response,
    responses=downloads.DOCUMENTATION,
)
def get_dataset_content(
    dataset: UUID,
    version: Label,
    context: Reader,
    session: SessionDep,
    request: Request,
    format: Annotated[  # noqa: A002  (the word of the API)
        Literal["parquet", "jsonl", "original"],
        Query(description="`original`: the bytes as they were uploaded"),
    ] = "parquet",
) -> Response:
    """The rows as canonical Parquet or JSON Lines, or the uploaded file. Always an attachment.

    Parquet and original come with length, ETag, digest and ranges; JSON Lines is made while it is
    sent.
    """
    head, commit, file = _rows_of(session, context, dataset, version)
    name = f"{head.name}-{version}"
    media_type = MEDIA_TYPES[format]
    if format == "jsonl":
        filename = safe_filename(f"{name}.{ENDINGS[format]}")
        with downloads.content_expected(file):
            chunks = content.as_jsonl(content.local_rows(file))
        response = downloads.send_stream(request, chunks, file, filename, media_type)
    elif format == "original":
        original = queries.upload_file(session, commit.version.id)
        if original is None:
            raise NotFound(resource="file")
        filename = original.path.rpartition("/")[2]
        response = downloads.send_blob(request, original, filename, media_type)
    else:
        filename = safe_filename(f"{name}.{ENDINGS[format]}")
        response = downloads.send_blob(request, file, filename, media_type)
    if response.status_code in downloads.SENT:
        audit.record(
            session,
            context.actor,
            AuditAction.DATASET_DOWNLOADED,
            "dataset",
            head.uuid,
            project=context.project_uuid,
            name=head.name,
            version=version,
            format=format,
            range=request.headers.get("range", "")[:100] or None,
        )
    return response


@router.get("/{version}/report", summary="Read the quality report")
def get_dataset_report(
    dataset: UUID, version: Label, context: Reader, session: SessionDep
) -> dict[str, Any]:
    """The report of a version. 404 until it is made."""
    found = queries.get_dataset(session, context, dataset)
    commit = queries.get_commit(session, found, version)
    if commit.report is None:
        raise NotFound(resource="report")
    return commit.report


@router.post(
    "/{version}/quality", status_code=status.HTTP_202_ACCEPTED, summary="Make the report again"
)
def check_dataset_quality(
    dataset: UUID,
    version: Label,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    body: QualityRequest | None = None,
) -> TaskOut:
    """Queue a quality report, for another base model or length."""
    asked = body or QualityRequest()
    task = service.request_report(
        session,
        context,
        dataset,
        version,
        base_model=asked.base_model,
        max_length=asked.max_length,
    )
    return render_task(session, task)


def _rows_of(
    session: Session, context: ProjectContext, dataset: UUID, version: str
) -> tuple[Dataset, Commit, StoredFile]:
    head = queries.get_dataset(session, context, dataset)
    commit = queries.get_commit(session, head, version)
    file = queries.rows_file(session, commit.version.id)
    if file is None:
        raise NotFound(resource="dataset version")
    return head, commit, file
