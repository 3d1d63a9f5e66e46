"""Routes for administrators: list, cordon, drain and resume workers."""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.tasks import DeviceOut, RunningOut, WorkerOut
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.execution.service import fleet
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Task, Worker

router = APIRouter(prefix="/api/v1")
Reader = Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_READ))]
Administrator = Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_WRITE))]


def _render(session: Session, workers: Sequence[Worker]) -> list[WorkerOut]:
    alive = {worker.id for worker in queries.live_workers(session)}
    leases = queries.leases_of_all(session, [worker.id for worker in workers])
    named = {
        row.id: row
        for row in session.execute(
            select(Task.id, Task.uuid, Task.type).where(
                Task.id.in_({lease.task_id for lease in leases})
            )
        )
    }
    rows = [
        (lease, named[lease.task_id].uuid, named[lease.task_id].type)
        for lease in leases
        if lease.task_id in named
    ]
    return [
        _one(worker, worker.id in alive, [row for row in rows if row[0].worker_id == worker.id])
        for worker in workers
    ]


def _one(worker: Worker, alive: bool, held: Sequence[Any]) -> WorkerOut:
    leases = [row[0] for row in held]
    _, free, _ = queries.room_of(worker, leases)
    holder = {place: row[1] for row in held for place in row[0].gpu_indices}
    return WorkerOut(
        uuid=worker.uuid,
        name=worker.name,
        hostname=worker.hostname,
        version=worker.software_version,
        state=worker.state,
        alive=alive,
        queues=worker.queues,
        labels=worker.labels,
        cpus=worker.cpus,
        cpus_free=free.cpus,
        memory_mb=worker.memory_mb,
        memory_mb_free=free.memory_mb,
        devices=[
            DeviceOut(
                id=device.id, name=device.name, memory_mb=device.memory_mb, task=holder.get(place)
            )
            for place, device in enumerate(queries.devices_of(worker))
        ],
        load=worker.load,
        running=[
            RunningOut(
                task=uuid,
                type=task_type,
                attempt=lease.attempt,
                cpus=lease.cpus,
                memory_mb=lease.memory_mb,
                gpus=len(lease.gpu_indices),
                since=lease.acquired_at,
            )
            for lease, uuid, task_type in held
        ],
        started_at=worker.started_at,
        heartbeat_at=worker.heartbeat_at,
        stopped_at=worker.stopped_at,
    )


@router.get("/workers", summary="List workers")
def list_workers(
    _: Reader, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[WorkerOut]:
    """Return all workers ever registered, newest first, with the tasks they are running."""
    rows, following = page_by_id(session, select(Worker), Worker.id, limit=limit, cursor=cursor)
    return Page(items=_render(session, rows), next_cursor=following)


@router.get("/workers/{worker}", summary="Read a worker")
def get_worker(worker: UUID, _: Reader, session: SessionDep) -> WorkerOut:
    """Return a worker with its resources and the tasks it is running."""
    found = session.scalar(select(Worker).where(Worker.uuid == worker))
    if found is None:
        raise NotFound(resource="worker")
    return _render(session, [found])[0]


def _change(session: Session, principal: Principal, worker: UUID, state: str) -> WorkerOut:
    return _render(session, [fleet.set_state(session, principal.actor, worker, state)])[0]


@router.post("/workers/{worker}/cordon", summary="Cordon a worker")
def cordon_worker(worker: UUID, principal: Administrator, session: SessionDep) -> WorkerOut:
    """Cordon the worker: it claims no more tasks, but its running tasks continue."""
    return _change(session, principal, worker, "cordoned")


@router.post("/workers/{worker}/drain", summary="Drain a worker")
def drain_worker(worker: UUID, principal: Administrator, session: SessionDep) -> WorkerOut:
    """Drain the worker: it claims no more tasks.

    Preemptible tasks write a checkpoint and continue on another worker; the others run to
    completion here. Once `running` is empty, you can restart the machine without losing anything.
    """
    return _change(session, principal, worker, "draining")


@router.post("/workers/{worker}/resume", summary="Resume a worker")
def resume_worker(worker: UUID, principal: Administrator, session: SessionDep) -> WorkerOut:
    """Let the worker claim tasks again. It looks for work immediately."""
    return _change(session, principal, worker, "active")
