"""Routes for the rows of a finding of the quality report."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from fastapi.concurrency import run_in_threadpool

from aiplatform.protocol.specs import FixAction
from aiplatform.server.core import downloads
from aiplatform.server.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from aiplatform.server.datasets import access
from aiplatform.server.datasets.endpoints.row_selection import RowSelection, row_selection
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS
from aiplatform.server.datasets.endpoints.versions import Label
from aiplatform.server.datasets.schemas import FixedRow, FixPreview, RowPage
from aiplatform.server.datasets.service import findings
from aiplatform.server.datasets.service.changes import base_version
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1/datasets/{dataset}/versions/{version}/findings/{finding}")
Finding = Annotated[
    str, Path(pattern=r"^[a-z][a-z0-9_]{0,98}$", description="a code of the report")
]


@router.get("/rows", summary="Browse the rows of a finding", responses=PROBLEMS)
async def list_finding_rows(
    dataset: UUID,
    version: Label,
    finding: Finding,
    context: Annotated[ProjectContext, Depends(access.READ)],
    wanted: Annotated[RowSelection, Depends(row_selection)],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RowPage:
    """Return the rows of a finding in order; none if the finding does not occur.

    The first request checks all rows of the version again. This takes as long as a report without
    token counts; `near_duplicates` is checked separately. The response is 404 for a code that is
    neither in the report nor one of the platform's. It is 422 for findings whose rows can't be
    listed: those about tokens, leakage and contamination need the data that the report was made
    with, and `boilerplate` is only counted.
    """
    offset = wanted.offset
    if cursor is not None:
        (offset,) = decode_cursor(cursor, int)
    base = await run_in_threadpool(base_version, context, dataset, version)
    counted = await run_in_threadpool(
        findings.reported_count, context, dataset, base.label, finding
    )
    with downloads.content_expected(base.rows):
        index = await findings.get_or_build(base.rows, finding)
        await run_in_threadpool(findings.require_rows, index, finding, counted)
        if wanted.sample is not None:
            found = await run_in_threadpool(
                findings.sample, index, base.rows, finding, wanted.sample, wanted.seed
            )
        else:
            found = await run_in_threadpool(
                findings.page,
                index, base.rows, finding, offset, limit, text=wanted.search, where=wanted.where,
            )  # fmt: skip
    return RowPage(
        items=found.rows,
        places=found.positions,
        next_cursor=None if found.following is None else encode_cursor(found.following),
    )


@router.get("/preview", summary="Preview a fix", responses=PROBLEMS)
async def preview_fix(
    dataset: UUID,
    version: Label,
    finding: Finding,
    context: Annotated[ProjectContext, Depends(access.READ)],
    action: Annotated[FixAction, Query(description="one of the fixes that the report lists")],
    limit: Annotated[int, Query(ge=1, le=50, description="most rows")] = 10,
) -> FixPreview:
    """Return the first rows of a finding, each before and after a fix. Nothing is changed.

    It is refused in the same cases as the finding's rows, and for a fix that the finding does not
    have.
    """
    base = await run_in_threadpool(base_version, context, dataset, version)
    counted = await run_in_threadpool(
        findings.reported_count, context, dataset, base.label, finding
    )
    with downloads.content_expected(base.rows):
        index = await findings.get_or_build(base.rows, finding)
        await run_in_threadpool(findings.require_rows, index, finding, counted)
        count, items = await findings.preview_fix(index, base.rows, finding, action, limit)
    return FixPreview(count=count, items=[FixedRow(**item) for item in items])
