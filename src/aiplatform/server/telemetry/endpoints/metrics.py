"""Routes that store metrics, return whole series, draw charts from them and summarise them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from aiplatform.protocol.shapes.tasks import AcceptedOut
from aiplatform.server.core.database import transaction
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import access, queries
from aiplatform.server.telemetry.rules import MAX_STEP
from aiplatform.server.telemetry.schemas import ChartsOut, SeriesOut, SummariesOut, points_schema
from aiplatform.server.telemetry.service import charts
from aiplatform.server.telemetry.service.ingest import Ingest, read_report


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Start the metrics writer for this process; handlers find it in ``request.state``."""
    with closing(Ingest(app.state.database)) as ingest:
        yield {"ingest": ingest}


ingest_router = APIRouter(prefix="/api/v1", tags=["tasks"], lifespan=lifespan)
"""Router for the busiest route. It is matched first, which saves time on each request."""

router = APIRouter(prefix="/api/v1")
MAX_TASKS = 100

Keys = Annotated[list[str] | None, Query(description="only series with these keys", max_length=100)]
First = Annotated[
    int | None, Query(ge=-MAX_STEP, le=MAX_STEP, description="only points from this step on")
]
Last = Annotated[
    int | None, Query(ge=-MAX_STEP, le=MAX_STEP, description="only points up to this step")
]
Tasks = Annotated[list[UUID] | None, Query(description="compare these tasks", max_length=MAX_TASKS)]
OfExperiment = Annotated[
    UUID | None, Query(description="compare the newest tasks of this experiment")
]


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
    """Store up to 20,000 points of an external run.

    They are stored by the time the request returns.

    Points may have any key and any step, in any order. If a step is sent more than once, the last
    value counts. `writer` and `first` number the points, so that a request can be repeated safely:
    points that are already stored are skipped. A run that failed because it was silent for too long
    may still send points.
    """
    report = read_report(await request.body())
    request.state.unlogged = True
    ingest: Ingest = request.state.ingest
    accepted = await ingest.write(context.project_id, task, report)
    answer = AcceptedOut(accepted=accepted.points, taken=accepted.taken, status=accepted.status)
    # FastAPI would validate the response a second time, on the busiest route.
    return Response(answer.model_dump_json(), media_type="application/json")


@router.get("/tasks/{task}/metrics", summary="Read metric series", response_model=SeriesOut)
def get_task_metrics(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    key: Keys = None,
    limit: Annotated[
        int,
        Query(
            ge=1, le=100_000, description="number of points of each key; the last ones are returned"
        ),
    ] = 10_000,
    points: Annotated[
        int | None,
        Query(
            ge=10, le=5_000, description="instead, reduce each series to at most this many points"
        ),
    ] = None,
    first: First = None,
    last: Last = None,
) -> Response:
    """Return the points of each key, sorted by step.

    If a step was reported more than once, only its last value is returned. With `points`, longer
    series are downsampled: they are split into equal parts, and each part keeps its smallest and
    its largest value, so that no peak is lost.
    """
    with transaction() as session:
        found = queries.get_task(session, context, task).id
    if points is None:
        body = charts.read_series(found, key, first=first, last=last, limit=limit)
    else:
        body = charts.draw_series(found, key, first=first, last=last, points=points)
    return Response(body, media_type="application/json")


@router.get(
    "/projects/{project}/metrics", summary="Compare series of tasks", response_model=ChartsOut
)
def compare_metrics(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    key: Annotated[
        list[str], Query(description="keys of the series to compare", min_length=1, max_length=20)
    ],
    task: Tasks = None,
    experiment: OfExperiment = None,
    points: Annotated[
        int, Query(ge=10, le=5_000, description="reduce each series to at most this many points")
    ] = 500,
    first: First = None,
    last: Last = None,
) -> Response:
    """Return the series of each key in up to 100 tasks, for a single chart.

    `total` is the number of points in the whole series. Smoothing is left to the client.
    """
    named = charts.select_tasks(context, task or [], experiment, limit=MAX_TASKS)
    body = charts.compare_series(named, key, first=first, last=last, points=points)
    return Response(body, media_type="application/json")


@router.get(
    "/projects/{project}/metrics/summary",
    summary="Summarise the metrics of tasks",
    response_model_exclude_none=True,
)
def summarise_metrics(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    key: Keys = None,
    task: Tasks = None,
    experiment: OfExperiment = None,
) -> SummariesOut:
    """Return the first, last, smallest, largest and best value of each series, with their steps."""
    named = charts.select_tasks(context, task or [], experiment, limit=MAX_TASKS)
    return SummariesOut(tasks=charts.summarise_tasks(named, key))
