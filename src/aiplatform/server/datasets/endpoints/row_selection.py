"""The route that compares two versions, and the query parameters that select rows."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter, ValidationError

from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.rows import Condition
from aiplatform.protocol.validation_errors import message_of
from aiplatform.server.core.filters import read_filter
from aiplatform.server.core.pagination import Cursor, Limit, decode_cursor, encode_cursor
from aiplatform.server.datasets import access
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS, client_disconnected
from aiplatform.server.datasets.errors import InvalidCondition
from aiplatform.server.datasets.schemas import DiffPage
from aiplatform.server.datasets.service import differences
from aiplatform.server.datasets.service.changes import base_version
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1/datasets/{dataset}")
MAX_SAMPLE = 200
_conditions = TypeAdapter(Condition)


class RowSelection(BaseModel):
    """The rows of a version selected by a request."""

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
    """Return the rows selected by a request.

    Raises:
        InvalidCondition: for an invalid condition.
        FilterInvalid: for an invalid filter text.
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


@router.get("/diff", summary="Compare two versions", responses=PROBLEMS)
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
    index = await differences.get_or_build(
        first.rows, second.rows, key, client_disconnected(request)
    )
    summary, items, following = await run_in_threadpool(
        differences.page,
        index, first.rows, second.rows, offset=offset, limit=limit, kinds=kind,
    )  # fmt: skip
    return DiffPage(
        before=first.label,
        after=second.label,
        summary=summary,
        items=items,
        next_cursor=None if following is None else encode_cursor(following),
    )
