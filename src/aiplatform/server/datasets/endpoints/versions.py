"""Routes to list, commit, read, compare and delete versions, with their rows, tags and storage."""

from dataclasses import replace
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from aiplatform.data.row_access import Found
from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.rows import Condition
from aiplatform.protocol.shapes.datasets import DatasetVersionOut, TagOut
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.storage import (
    Collected,
    CollectRequest,
    DatasetStorage,
    StorageReport,
    VersionParts,
)
from aiplatform.protocol.validation_errors import message_of
from aiplatform.server.core import audit, downloads
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.filters import read_filter
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
from aiplatform.server.datasets.endpoints.datasets import render_current
from aiplatform.server.datasets.endpoints.datasets import render_version as render
from aiplatform.server.datasets.endpoints.uploads import (
    PROBLEMS,
    RAW_BODY,
    UploadParametersDep,
    client_disconnected,
    receive_upload,
    upload_target,
)
from aiplatform.server.datasets.errors import InvalidCondition, TagIsVersion
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.datasets.queries import VersionRow
from aiplatform.server.datasets.rules import (
    FILE_EXTENSIONS,
    MEDIA_TYPES,
    TAG_PATTERN,
    is_label,
    safe_filename,
)
from aiplatform.server.datasets.schemas import DiffPage, RowPage, TagList, TagMove
from aiplatform.server.datasets.service import content, history, indexes, storage
from aiplatform.server.datasets.service.changes import base_version
from aiplatform.server.datasets.service.uploads import Target
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep
from aiplatform.server.projects.access import ProjectContext

comparison_router = APIRouter(prefix="/api/v1/datasets/{dataset}")
MAX_SAMPLE = 200
_conditions = TypeAdapter(Condition)


class RowSelection(BaseModel):
    """A request's selection of a version's rows."""

    offset: int
    search: str | None
    where: list[Condition | str]
    sample: int | None
    seed: int


def row_selection(
    offset: Annotated[int, Query(ge=0, lt=2**31, description="the place of the first")] = 0,
    search: Annotated[
        str | None, Query(min_length=1, max_length=1000, description="in any text, in any case")
    ] = None,
    where: Annotated[
        list[str] | None,
        Query(
            max_length=20,
            description='a filter such as `score >= 0.5 and not label in ("a", "b")`, or a '
            'condition as JSON: `{"column": "score", "op": ">=", "value": 0.5}`; several must all '
            "be met",
        ),
    ] = None,
    sample: Annotated[
        int | None, Query(ge=1, le=MAX_SAMPLE, description="draw so many instead")
    ] = None,
    seed: Annotated[int, Query(ge=0, lt=2**63, description="the same draws the same")] = 0,
) -> RowSelection:
    """Return the row selection of a request.

    Raises:
        InvalidCondition: a condition is invalid.
        FilterInvalid: the filter text is invalid.
    """
    conditions: list[Condition | str] = []
    for text in where or ():
        if not text.lstrip().startswith("{"):
            read_filter(text)
            conditions.append(text)
            continue
        try:
            conditions.append(_conditions.validate_json(text))
        except ValidationError as error:
            found = error.errors(include_url=False)[0]
            raise InvalidCondition(condition=text[:200], reason=message_of(found)) from error
    return RowSelection(offset=offset, search=search, where=conditions, sample=sample, seed=seed)


@comparison_router.get("/diff", summary="Compare two versions", responses=PROBLEMS)
async def diff_dataset_versions(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    request: Request,
    before: Annotated[str, Query(pattern=VERSION_OR_TAG, description="a version or tag")],
    after: Annotated[
        str | None, Query(pattern=VERSION_OR_TAG, description="by default the current version")
    ] = None,
    key: Annotated[
        str | None,
        Query(min_length=1, max_length=255, description="the column that pairs rows"),
    ] = None,
    kind: Annotated[
        list[Literal["added", "removed", "changed"]] | None, Query(description="only these")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DiffPage:
    """Compare two versions: rows added, removed and changed, and the cells and columns that differ.

    Rows are paired by `key`. Without a key, they are paired by their whole content, so rows are
    only added and removed, never changed. The order of rows is ignored.
    """
    offset = 0
    if cursor is not None:
        (offset,) = decode_cursor(cursor, int)
    first = await run_in_threadpool(base_version, context, dataset, before)
    second = await run_in_threadpool(base_version, context, dataset, after)
    index = await indexes.build_differences(
        first.rows, second.rows, key, client_disconnected(request)
    )
    summary, items, following = await run_in_threadpool(
        indexes.differences_page,
        index, first.rows, second.rows, offset=offset, limit=limit, kinds=kind,
    )  # fmt: skip
    return DiffPage(
        before=first.label,
        after=second.label,
        summary=summary,
        items=items,
        next_cursor=None if following is None else encode_cursor(following),
    )


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

    With a `mode` other than `replace`, the file's rows change the parent's rows: they are appended
    (`append`), they replace rows with the same key (`upsert`; columns that the file lacks are
    kept), or they identify the rows to delete (`delete`).
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

    If the rows are long, a page may have fewer rows than `limit`. In a long search, a page may even
    be empty: continue at `next_cursor`.
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
    # Use the label, not the tag in the request: a tag may have moved by the time the file is
    # opened.
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


storage_router = APIRouter(prefix="/api/v1")


@storage_router.get(
    "/datasets/{dataset}/versions/{version}/parts", summary="List the parts of a version"
)
def list_version_parts(
    dataset: UUID, version: Label, context: Reader, session: SessionDep
) -> VersionParts:
    """List the parts of a version's Parquet file: ranges of `content`, each with its hash.

    A client that has the parts of one version needs to download only those parts of another version
    that differ.
    """
    return storage.parts_of(session, context, dataset, version)


@storage_router.get("/projects/{project}/datasets/storage", summary="Read what datasets cost")
def get_datasets_storage(
    context: Annotated[ProjectContext, Depends(access.LIST)], session: SessionDep
) -> StorageReport:
    """Return each dataset's size as downloaded, charged and actually stored, largest first."""
    return storage.project_report(session, context)


@storage_router.get("/datasets/{dataset}/storage", summary="Read what versions cost")
def get_dataset_storage(dataset: UUID, context: Reader, session: SessionDep) -> DatasetStorage:
    """Return each version's size as downloaded, charged, and stored for it alone, newest first."""
    return storage.dataset_report(session, context, dataset)


@storage_router.post("/storage/gc", summary="Clean up the store")
def collect_storage(
    principal: Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_WRITE))],
    session: SessionDep,
    body: CollectRequest | None = None,
) -> Collected:
    """Mark blobs that have had no references for a day, and delete those marked over an hour ago.

    Workers do the same from time to time. Parts that a version still needs are never touched.
    """
    asked = body or CollectRequest()
    return storage.collect(session, principal, dry_run=asked.dry_run)


tags_router = APIRouter(prefix="/api/v1/datasets/{dataset}/tags")
TagName = Annotated[str, Path(pattern=TAG_PATTERN, description="lower-case, as in `prod`")]


def render_tags(session: Session, context: ProjectContext, dataset: UUID) -> TagList:
    """Return the response body with all tags of a dataset."""
    head = queries.get_dataset(session, context, dataset)
    return TagList(
        items=[
            TagOut(
                name=tag.name,
                version=version,
                moved_by=None if uuid is None else UserRef(uuid=uuid, username=username),
                moved_at=tag.moved_at,
            )
            for tag, version, uuid, username in queries.tags(session, head)
        ]
    )


@tags_router.get("", summary="List tags")
def list_dataset_tags(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
) -> TagList:
    """List all tags of a dataset, sorted by name."""
    return render_tags(session, context, dataset)


@tags_router.put("/{tag}", summary="Set or move a tag")
def set_dataset_tag(
    dataset: UUID,
    tag: TagName,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    body: TagMove,
) -> TagList:
    """Set the tag to a version. From now on, `@tag` refers to that version."""
    if is_label(tag):
        raise TagIsVersion(tag=tag)
    history.set_tag(session, context, dataset, tag, body.version)
    return render_tags(session, context, dataset)


@tags_router.delete("/{tag}", status_code=status.HTTP_204_NO_CONTENT, summary="Remove a tag")
def delete_dataset_tag(
    dataset: UUID,
    tag: TagName,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
) -> None:
    """Remove a tag. The version that it referred to is kept."""
    history.remove_tag(session, context, dataset, tag)
