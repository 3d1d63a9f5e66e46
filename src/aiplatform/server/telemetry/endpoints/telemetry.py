"""Routes for the resource usage of tasks and machines, as curves and as totals."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from sqlalchemy import select

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.tasks import AttemptUsageOut, TaskUsageOut, TelemetryOut
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import access
from aiplatform.server.queue import queries as queue_queries
from aiplatform.server.queue.models import Worker
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.service import telemetry

router = APIRouter(prefix="/api/v1")
Key = Annotated[list[str] | None, Query(description="only curves with these keys")]
Points = Annotated[int, Query(ge=2, le=10_000, description="largest number of points of a curve")]
Since = Annotated[
    AwareDatetime | None, Query(description="only values measured at this time or later")
]
NO_GPU = "no GPU"


@router.get("/tasks/{task}/telemetry", tags=["tasks"], summary="Read a task's telemetry")
def get_task_telemetry(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    key: Key = None,
    points: Points = 500,
    attempt: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    since: Since = None,
) -> TelemetryOut:
    """Return curves with one value per second, measured from outside the task's processes.

    When a curve has fewer points than seconds, `most` keeps the peaks.
    """
    found = queue_queries.get_task(session, context, task)
    blocks = queries.task_blocks(session, found.id, attempt, since)
    return TelemetryOut(
        note=None if found.scheduling.gpus else NO_GPU,
        series=telemetry.series(blocks, key, points),
    )


@router.get("/tasks/{task}/usage", tags=["tasks"], summary="Read a task's usage and cost")
def get_task_usage(
    task: UUID, context: Annotated[ProjectContext, Depends(access.READ)], session: SessionDep
) -> TaskUsageOut:
    """Return the GPU-hours and core-hours that the task's attempts held, and their cost.

    The cost is computed from `AIPLATFORM_GPU_PRICES`. A running attempt counts until now.
    """
    found = queue_queries.get_task(session, context, task)
    attempts = telemetry.usage(session, found.id)
    return TaskUsageOut(
        seconds=round(sum(one.seconds for one in attempts), 1),
        gpu_hours=round(sum(telemetry.gpu_hours(one.gpus, one.seconds) for one in attempts), 4),
        cpu_hours=round(sum(one.cpus * one.seconds / 3600 for one in attempts), 4),
        cost=telemetry.total_cost([one.cost for one in attempts]),
        currency=get_settings().price_currency,
        attempts=[AttemptUsageOut.model_validate(one, from_attributes=True) for one in attempts],
    )


@router.get("/workers/{worker}/telemetry", tags=["workers"], summary="Read a worker's telemetry")
def get_worker_telemetry(
    worker: UUID,
    _: Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_READ))],
    session: SessionDep,
    key: Key = None,
    points: Points = 500,
    since: Since = None,
) -> TelemetryOut:
    """Return the usage of CPU, memory, disk, network and GPUs on the worker's machine."""
    found = session.scalar(select(Worker).where(Worker.uuid == worker))
    if found is None:
        raise NotFound(resource="worker")
    blocks = queries.worker_blocks(session, found.id, since)
    return TelemetryOut(
        note=None if found.devices else NO_GPU, series=telemetry.series(blocks, key, points)
    )
