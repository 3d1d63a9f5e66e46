"""HTTP routes for runs: search, read with record, rerun, compare."""

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, status

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.experiments import (
    ComparedOut,
    ComparisonOut,
    ExperimentRef,
    Record,
    RunDetailOut,
    RunOut,
)
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.server.core.filters import read_filter
from aiplatform.server.core.pagination import Cursor, Limit, Page, render_page
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.experiments import access, queries, service
from aiplatform.server.experiments.endpoints.list_parameters import (
    Filter,
    Sort,
    conditions,
    read_sort,
    require_known_figures,
)
from aiplatform.server.experiments.queries import search
from aiplatform.server.experiments.queries.subjects import RUNS
from aiplatform.server.experiments.schemas import RerunIn
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext, require_additional
from aiplatform.server.queue.endpoints.tasks import render as render_task

router = APIRouter(prefix="/api/v1")
MAX_COMPARED = 20


def _fields(row: Any) -> dict[str, Any]:
    experiment = None
    if row.experiment_uuid is not None:
        experiment = ExperimentRef(uuid=row.experiment_uuid, name=row.experiment_name)
    author = None
    if row.author_uuid is not None:
        author = UserRef(uuid=row.author_uuid, username=row.author_name)
    return {
        "uuid": row.uuid,
        "experiment": experiment,
        "name": row.name,
        "type": TaskType(row.type),
        "status": TaskStatus(row.status),
        "progress": row.progress,
        "config": row.config,
        "metrics": row.metrics,
        "model": row.model,
        "rerun_of": row.rerun_of,
        "error_message": row.error_message,
        "author": author,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "completed_at": row.completed_at,
    }


@router.get("/projects/{project}/runs", summary="Search runs")
def list_runs_of_project(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    asked: Filter = None,
    sort: Sort = None,
) -> Page[RunOut]:
    """List runs, newest first; select them with a filter, or sort them by any figure.

    A run is a training run or an external run that reports its metrics. It need not belong to an
    experiment.
    """
    node = read_filter(asked)
    rows, following = search.page(
        session,
        RUNS,
        context,
        queries.runs_by_key(),
        conditions(RUNS, node),
        read_sort(sort),
        limit=limit,
        cursor=cursor,
    )
    if not rows and cursor is None:
        require_known_figures(session, RUNS, context, node)
    return render_page(rows, following, lambda row: RunOut(**_fields(row)))


@router.get("/runs/{run}", summary="Read a run with its record")
def get_run(
    run: UUID,
    context: Annotated[ProjectContext, Depends(access.READ_RUN)],
    session: SessionDep,
) -> RunDetailOut:
    """Return a run and its record, which contains everything needed to repeat it."""
    row = queries.get_run_row(session, context, run)
    record = service.record(session, queries.get_run(session, context, run))
    return RunDetailOut(**_fields(row), record=Record(**record))


@router.post(
    "/runs/{run}/rerun",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Do a run again",
    responses={409: {"model": ProblemDocument, "description": "What it read is not the same"}},
)
def rerun(
    run: UUID,
    context: Annotated[ProjectContext, Depends(access.RERUN)],
    session: SessionDep,
    request: Request,
    body: RerunIn | None = None,
) -> TaskOut:
    """Queue a run again, with the same config, dataset versions and seed.

    Later changes to the experiment have no effect. `override_gate` needs the permission
    `datasets:override`.
    """
    wanted = body or RerunIn()
    if wanted.override_gate is not None:
        require_additional(session, context, Permission.DATASETS_OVERRIDE, request)
    task = service.rerun(
        session,
        context,
        queries.get_run(session, context, run),
        name=wanted.name,
        priority=wanted.priority,
        override_gate=wanted.override_gate,
    )
    return render_task(session, context, task)


@router.get("/projects/{project}/comparison", summary="Compare experiments and runs")
def compare(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    experiment: Annotated[list[UUID] | None, Query(max_length=MAX_COMPARED)] = None,
    run: Annotated[list[UUID] | None, Query(max_length=MAX_COMPARED)] = None,
) -> ComparisonOut:
    """Compare configs and figures: common values, and differing ones side by side."""
    found = service.compare(session, context, experiments=experiment or (), runs=run or ())
    return ComparisonOut(
        items=[ComparedOut.model_validate(asdict(item)) for item in found.items],
        same=found.same,
        differs=found.differs,
        metrics=found.metrics,
        series=found.series,
    )
