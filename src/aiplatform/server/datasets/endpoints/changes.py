"""Routes that make a new version from an existing one: patch, filter, fix, map, split, restore."""

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.datasets import DatasetOut, DatasetVersionOut
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.core.filters import read_filter
from aiplatform.server.datasets import access, queries, service
from aiplatform.server.datasets.endpoints.datasets import (
    render_current,
    render_dataset,
    render_version,
)
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS, client_disconnected
from aiplatform.server.datasets.errors import InvalidPartName
from aiplatform.server.datasets.schemas import (
    MAX_NAME,
    NAME_PATTERN,
    FilterRequest,
    FixRequest,
    MapRequest,
    PatchRequest,
    RestoreRequest,
    SplitOut,
    SplitRequest,
)
from aiplatform.server.datasets.service import Upload, fixes, history
from aiplatform.server.datasets.service.changes import (
    TransformedRows,
    base_version,
    change_rows,
    make_committer,
    transformed_rows,
)
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.endpoints import render as render_task

router = APIRouter(prefix="/api/v1/datasets/{dataset}")
Committer = Annotated[ProjectContext, Depends(access.WRITE)]


@router.post(
    "/patch",
    status_code=status.HTTP_201_CREATED,
    summary="Change single rows",
    responses=PROBLEMS,
)
@sends_headers("Location")
async def patch_dataset_rows(
    dataset: UUID, context: Committer, request: Request, response: Response, body: PatchRequest
) -> DatasetVersionOut:
    """Commit a version with rows added, changed and deleted by position.

    Without `parent`, the positions refer to the current version. To change many rows, upload them
    with `mode=upsert` or `mode=delete` and a key column.
    """
    do = {
        "operation": "patch",
        "patch": body.model_dump(include={"set", "add", "delete"}, mode="json"),
    }
    made_by = {"operation": "patch"}
    # Positions belong to one version. If another user commits in between, the change is refused
    # instead of being applied to the wrong rows.
    base = await run_in_threadpool(base_version, context, dataset, body.parent)
    commit = make_committer(context, dataset, body.parent, body.message, made_by, render_current)
    async with transformed_rows(base, do, client_disconnected(request)) as made:
        created = await run_in_threadpool(commit, base, made[0])
    response.headers["Location"] = f"/api/v1/datasets/{dataset}/versions/{created.version}"
    return created


@router.post(
    "/filter", status_code=status.HTTP_201_CREATED, summary="Keep some rows", responses=PROBLEMS
)
@sends_headers("Location")
async def filter_dataset_rows(
    dataset: UUID, context: Committer, request: Request, response: Response, body: FilterRequest
) -> DatasetVersionOut:
    """Commit a version with the rows that meet all conditions or, with `drop`, without them."""
    for condition in body.where:
        if isinstance(condition, str):
            read_filter(condition)
    wanted = body.model_dump(include={"where", "drop"}, mode="json")
    do = {"operation": "filter", "filter": wanted}
    commit = make_committer(
        context,
        dataset,
        body.parent,
        body.message,
        {"operation": "filter", **wanted},
        render_current,
    )
    created = await change_rows(
        context, dataset, body.parent, do, commit, client_disconnected(request)
    )
    response.headers["Location"] = f"/api/v1/datasets/{dataset}/versions/{created.version}"
    return created


@router.post(
    "/fix",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Fix what the report found",
    responses=PROBLEMS,
)
def fix_dataset_rows(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    body: FixRequest,
) -> TaskOut:
    """Queue a task that fixes quality report findings and commits the result as a version.

    For each finding, the report lists the possible fixes: `drop` its rows, `deduplicate` all but
    the first of equal rows, `mask` personal data, `repair` wrongly decoded text, `strip` markup,
    `trim` redundant whitespace or the text after the last answer, `rebalance` labels. The task
    searches the rows for the findings again, so no report is needed. The task's `result` names the
    new `version`. Without `parent`, the task fails if the dataset gets another version in the
    meantime.
    """
    task = fixes.request_fix(
        session,
        context,
        dataset,
        fixes=body.fixes,
        message=body.message,
        parent=body.parent,
    )
    return render_task(session, context, task)


@router.post(
    "/map", status_code=status.HTTP_201_CREATED, summary="Say what columns are", responses=PROBLEMS
)
@sends_headers("Location")
async def map_dataset_columns(
    dataset: UUID, context: Committer, request: Request, response: Response, body: MapRequest
) -> DatasetVersionOut:
    """Commit a version with columns renamed to fit a data shape, such as `question` to `prompt`.

    Together with columns that already have the right name, the renamed columns must form a data
    shape. All other columns are kept.
    """
    mapped = {"map": dict(body.map)}
    message = body.message or "Mapped: " + ", ".join(f"{a} to {b}" for a, b in body.map.items())
    do = {"operation": "map", **mapped}
    commit = make_committer(context, dataset, body.parent, message, do, render_current)
    created = await change_rows(
        context, dataset, body.parent, do, commit, client_disconnected(request)
    )
    response.headers["Location"] = f"/api/v1/datasets/{dataset}/versions/{created.version}"
    return created


@router.post(
    "/split",
    status_code=status.HTTP_201_CREATED,
    summary="Split into datasets",
    responses=PROBLEMS,
)
async def split_dataset(
    dataset: UUID, context: Committer, request: Request, body: SplitRequest
) -> SplitOut:
    """Distribute the rows of a version among new datasets.

    Rows with the same question go to the same dataset, so that questions used in training are not
    repeated in evaluation. With `by=row`, only equal rows stay together. With `group`, rows with
    the same value in that column also stay together; with `near`, so do rows that differ in only a
    few words. The same seed gives the same split.
    """
    base = await run_in_threadpool(base_version, context, dataset, body.version)
    names = _names_of_parts(base.name, body)
    split = body.model_dump(
        include={"fractions", "seed", "stratify", "group", "by", "near"}, mode="json"
    )

    def check_in_advance() -> None:
        with transaction() as session:
            for name in names:
                service.check_upload_allowed(session, context, name=name)

    def commit(made: list[TransformedRows]) -> list[DatasetOut]:
        with transaction() as session:
            access.confirm(session, context, Permission.DATASETS_WRITE)
            created = []
            for part, name, rows in zip(body.fractions, names, made, strict=True):
                origin = {
                    "operation": "split", "dataset": str(base.dataset), "part": part, **split,
                    **rows.made_by,
                }  # fmt: skip
                upload = Upload(
                    filename=None,
                    spooled=None,
                    ingested=rows.ingested,
                    message=body.message or f"{part} of {base.name}@{base.label}",
                    packed=rows.packed,
                    made_by=origin,
                )
                head = service.create_dataset(session, context, name=name, upload=upload)
                created.append(render_dataset(queries.get_dataset_row(session, context, head.uuid)))
            return created

    await run_in_threadpool(check_in_advance)
    do = {"operation": "split", "split": split}
    async with transformed_rows(base, do, client_disconnected(request)) as made:
        return SplitOut(datasets=await run_in_threadpool(commit, made))


def _names_of_parts(base: str, body: SplitRequest) -> list[str]:
    """Return the name of the new dataset for each part of a split.

    Raises:
        InvalidPartName: the name of a dataset is invalid.
        NameTaken: two parts would have the same name.
    """
    names: list[str] = []
    for part in body.fractions:
        name = body.names.get(part, f"{base}-{part}")
        if len(name) > MAX_NAME or re.fullmatch(NAME_PATTERN, name) is None:
            raise InvalidPartName(part=part, name=name, limit=MAX_NAME)
        if name in names:
            raise NameTaken(resource="dataset", name=name)
        names.append(name)
    return names


@router.post(
    "/restore",
    status_code=status.HTTP_201_CREATED,
    summary="Go back to a version",
    responses=PROBLEMS,
)
@sends_headers("Location")
def restore_dataset_version(
    dataset: UUID,
    context: Annotated[ProjectContext, Depends(access.WRITE)],
    session: SessionDep,
    response: Response,
    body: RestoreRequest,
) -> DatasetVersionOut:
    """Commit the rows of an earlier version as the next version. Versions in between are kept."""
    head, version = history.restore(session, context, dataset, body.version, body.message)
    response.headers["Location"] = f"/api/v1/datasets/{dataset}/versions/{version.version}"
    return render_version(queries.get_version_row(session, head, version.version))
