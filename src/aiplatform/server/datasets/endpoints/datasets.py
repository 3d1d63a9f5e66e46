"""Routes to list, upload, read, rename and delete datasets, and their response bodies."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import DatasetStatus
from aiplatform.protocol.shapes.datasets import DatasetOut, DatasetVersionOut
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, require_match, set_etag, set_purge_after
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.datasets import access, queries, service
from aiplatform.server.datasets.endpoints.uploads import (
    PROBLEMS,
    RAW_BODY,
    UploadParametersDep,
    receive_upload,
)
from aiplatform.server.datasets.models import Dataset, DatasetVersionDetails
from aiplatform.server.datasets.queries import DatasetRow, VersionRow
from aiplatform.server.datasets.schemas import NAME_PATTERN, DatasetChange
from aiplatform.server.datasets.service.uploads import Target
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext

READ_AS = (
    "encoding",
    "compression",
    "map",
    "types",
    "renamed",
    "retyped",
    "header_doubt",
    "quarantined",
    "source",
)


def render_dataset(row: DatasetRow) -> DatasetOut:
    """Return the response body of a dataset."""
    dataset = row.dataset
    return DatasetOut(
        uuid=dataset.uuid,
        project=row.project,
        name=dataset.name,
        format=dataset.format,
        shape=row.shape,
        version=dataset.version,
        status=DatasetStatus(dataset.status),
        size=dataset.size,
        row_count=row.row_count,
        quality_report=dataset.quality_report or None,
        created_at=dataset.created_at,
        updated_at=dataset.updated_at,
    )


def read_as(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the reading options of an uploaded or imported file from its stored details."""
    found = {key: facts[key] for key in READ_AS if facts.get(key)}
    return {**found, **(facts.get("details") or {})}


def _was_read(details: DatasetVersionDetails) -> bool:
    """Return True if the version was read from files rather than made from another version.

    An import of several files has a source but no file name.
    """
    return details.filename is not None or bool(details.upload.get("source"))


def render_version(row: VersionRow) -> DatasetVersionOut:
    """Return the response body of a version."""
    version, details = row.version, row.details
    return DatasetVersionOut(
        uuid=version.uuid,
        dataset=row.dataset,
        version=version.version,
        parent=row.parent,
        message=version.commit_message,
        file_hash=version.file_hash,
        file_size=version.file_size,
        row_count=version.row_count,
        shape=None if details is None else details.shape,
        format=None if details is None else details.format,
        filename=None if details is None else details.filename,
        columns=[] if details is None else details.columns,
        read_as=read_as(details.upload) if details is not None and _was_read(details) else None,
        made_by=None if details is None else details.upload.get("made_by"),
        author=(
            None if row.author is None else UserRef(uuid=row.author[0], username=row.author[1])
        ),
        created_at=version.created_at,
        report=row.report,
    )


def render_current(session: Session, dataset: Dataset) -> DatasetVersionOut:
    """Return the response body of the version that has just been committed."""
    return render_version(queries.get_version_row(session, dataset, dataset.version))


router = APIRouter(prefix="/api/v1")

Name = Annotated[
    str, Query(min_length=1, max_length=255, pattern=NAME_PATTERN, description="unique in it")
]


@router.get("/projects/{project}/datasets", summary="List datasets")
def list_datasets(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[str | None, Query(max_length=255, description="exactly this name")] = None,
) -> Page[DatasetOut]:
    """List the project's datasets, newest first."""
    rows, following = page_by_id(
        session, queries.list_datasets(context, name=name), Dataset.id, limit=limit, cursor=cursor
    )
    return render_page(rows, following, lambda row: render_dataset(queries.dataset_row(row)))


@router.post(
    "/projects/{project}/datasets",
    status_code=status.HTTP_201_CREATED,
    summary="Upload a dataset",
    openapi_extra=RAW_BODY,
    responses=PROBLEMS,
)
@sends_headers("Location", "ETag")
async def create_dataset(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    request: Request,
    response: Response,
    name: Name,
    parameters: UploadParametersDep,
) -> DatasetOut:
    """Store the file as `v1` of a new dataset and queue its quality report.

    The response is sent after the file has been parsed. If it can't be parsed, the response says
    why and in which line, and nothing is stored.
    """

    def finish(session: Session, dataset: Dataset) -> DatasetOut:
        return render_dataset(queries.get_dataset_row(session, context, dataset.uuid))

    created = await receive_upload(request, context, Target(name=name), parameters, finish)
    set_etag(response, created.updated_at)
    response.headers["Location"] = f"/api/v1/datasets/{created.uuid}"
    return created


@router.get("/datasets/{dataset}", summary="Read a dataset")
@sends_headers("ETag")
def get_dataset(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    response: Response,
) -> DatasetOut:
    """Return a dataset with the quality report of its current version."""
    found = render_dataset(queries.get_dataset_row(session, context, dataset))
    set_etag(response, found.updated_at)
    return found


@router.patch("/datasets/{dataset}", summary="Rename a dataset", responses=PROBLEMS)
@sends_headers("ETag")
def update_dataset(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    response: Response,
    body: DatasetChange,
    if_match: IfMatch = None,
) -> DatasetOut:
    """Rename a dataset. `If-Match` must have the dataset's ETag."""
    locked = queries.lock_dataset(session, context, dataset)
    require_match(if_match, locked.updated_at, "dataset")
    service.rename(session, context, locked, body.name)
    changed = render_dataset(queries.get_dataset_row(session, context, dataset))
    set_etag(response, changed.updated_at)
    return changed


@router.delete(
    "/datasets/{dataset}", status_code=status.HTTP_204_NO_CONTENT, summary="Delete a dataset"
)
@sends_headers("Purge-After")
def delete_dataset(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    response: Response,
) -> None:
    """Delete a dataset with all its versions.

    The request is refused while an unfinished task reads the dataset. The dataset can be restored
    from the project's bin until the time in the header `Purge-After`.
    """
    set_purge_after(response, service.delete_dataset(session, context, dataset).purge_after)
