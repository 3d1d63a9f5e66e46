"""Metrics: taken in by the thousand, read whole, drawn with few points, summed up."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from aiplatform.server.core.database import transaction
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks import access, queries
from aiplatform.server.tasks.rules.series import MAX_STEP
from aiplatform.server.tasks.schemas import (
    AcceptedOut,
    ChartsOut,
    SeriesOut,
    SummariesOut,
    points_schema,
)
from aiplatform.server.tasks.service import charts
from aiplatform.server.tasks.service.ingest import Ingest
from aiplatform.server.tasks.service.points import read_report


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """What the process keeps for its metrics; handlers find it in ``request.state``."""
    with closing(Ingest(app.state.direct)) as ingest:
        yield {"ingest": ingest}


ingest_router = APIRouter(prefix="/api/v1", tags=["tasks"], lifespan=lifespan)
"""The one route that is asked for thousands of times a second, to be looked for first."""

router = APIRouter(prefix="/api/v1")
MAX_TASKS = 100

Keys = Annotated[list[str] | None, Query(description="only these keys", max_length=100)]
First = Annotated[int | None, Query(ge=-MAX_STEP, le=MAX_STEP, description="from this step on")]
Last = Annotated[int | None, Query(ge=-MAX_STEP, le=MAX_STEP, description="up to this step")]
Tasks = Annotated[list[UUID] | None, Query(description="these tasks", max_length=MAX_TASKS)]
OfExperiment = Annotated[UUID | None, Query(description="the newest tasks of this experiment")]


@ingest_router.post(
    "/tasks/{task}/metrics",
    summary="Report metrics",
    response_model=AcceptedOut,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": points_schema()}},
        }
    },
)
async def report_metrics(
    request: Request, task: UUID, context: Annotated[ProjectContext, Depends(access.UPDATE)]
) -> Response:
    """Points of a run that executes elsewhere, one or up to 20,000; they are stored on return.

    Any key, any step, in any order. Of several points for one step the last one sent counts.
    `writer` and `first` number the points, so that a request can be sent again: what was taken in
    before is left out. A run that was given up for its silence may still deliver.
    """
    report = read_report(await request.body())
    request.state.unlogged = True
    ingest: Ingest = request.state.ingest
    accepted = await ingest.write(context.project_id, task, report)
    answer = AcceptedOut(accepted=accepted.points, taken=accepted.taken, status=accepted.status)
    # Serialised here: FastAPI would validate it a second time, on the busiest route.
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/tasks/{task}/metrics", summary="Read metric series", response_model=SeriesOut)
def get_task_metrics(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    key: Keys = None,
    limit: Annotated[int, Query(ge=1, le=100_000, description="last points of each key")] = 10_000,
    points: Annotated[
        int | None,
        Query(ge=10, le=5_000, description="draw each series with at most so many points instead"),
    ] = None,
    first: First = None,
    last: Last = None,
) -> Response:
    """Each key's points in order of steps. A step that was repeated counts once.

    With `points`, series that have more are drawn with the least and the greatest value of each of
    so many equal parts, so that no peak is lost.
    """
    with transaction() as session:
        found = queries.get_task(session, context, task).id
    if points is None:
        body = charts.histories(found, key, first=first, last=last, limit=limit)
    else:
        body = charts.drawn(found, key, first=first, last=last, points=points)
    return Response(body, media_type="application/json")


@router.get(
    "/projects/{project}/metrics", summary="Compare series of tasks", response_model=ChartsOut
)
def compare_metrics(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    key: Annotated[list[str], Query(description="these keys", min_length=1, max_length=20)],
    task: Tasks = None,
    experiment: OfExperiment = None,
    points: Annotated[
        int, Query(ge=10, le=5_000, description="at most so many points of each series")
    ] = 500,
    first: First = None,
    last: Last = None,
) -> Response:
    """The series of each key in up to 100 tasks, to be drawn in one chart.

    `total` is how many points a series has. Smoothing is left to whoever draws.
    """
    named = charts.chosen(context, task or [], experiment, limit=MAX_TASKS)
    body = charts.compared(named, key, first=first, last=last, points=points)
    return Response(body, media_type="application/json")


@router.get(
    "/projects/{project}/metrics/summary",
    summary="Sum up the metrics of tasks",
    response_model_exclude_none=True,
)
def summarise_metrics(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    key: Keys = None,
    task: Tasks = None,
    experiment: OfExperiment = None,
) -> SummariesOut:
    """First, last, least, greatest and best value of each series, each with its step."""
    named = charts.chosen(context, task or [], experiment, limit=MAX_TASKS)
    return SummariesOut(tasks=charts.summaries(named, key))
