"""Claims: choose the task that a worker starts next, and lease it resources.

The worker's row is locked first, and its leases are counted under this lock. So neither CPUs nor
GPUs are leased twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.events import notify
from aiplatform.server.core.statements import compiled
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Task, TaskNode, TaskReservation, TaskScheduling
from aiplatform.server.queue.queries import HeldLease, WorkerRow
from aiplatform.server.queue.queries.waiting import OTHERS_WAIT, STARTS, Picked, demand_of
from aiplatform.server.queue.rules import Demand, may_become
from aiplatform.server.queue.rules.placement import Reservation, lacking, pick_devices
from aiplatform.server.queue.service import gathering, preemption
from aiplatform.server.queue.service.gathering import held_as_demand
from aiplatform.server.queue.service.kinds import kind_of


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker holds, or one of its nodes.

    ``devices`` are CUDA's names of the leased GPUs. Node 0 holds the task's lease. ``others_wait``
    is true if another wake-up would find work.
    """

    task_id: int
    task_uuid: UUID
    task_type: str
    queue: str
    attempt: int
    fence: int
    gpu_indices: tuple[int, ...]
    devices: tuple[str, ...] = ()
    node: int = 0
    nodes: int = 1
    others_wait: bool = True


class _QuotaUsedUp(Exception):
    """Another claim has used up the quota of the task's project since the task was picked."""


def claim_next(session: Session, worker_id: int, queues: Sequence[str]) -> Claim | None:
    """Claim the first task in queue order for which the worker has free resources.

    The project's quota is checked again with the project's usage locked. If another claim was
    faster, this one rolls back to release its locks, and picks again. So the session must not have
    written anything yet.
    """
    while True:
        try:
            return _claim(session, worker_id, queues)
        except _QuotaUsedUp:
            session.rollback()


def _claim(session: Session, worker_id: int, queues: Sequence[str]) -> Claim | None:
    """Try once to claim a task.

    If the first task that suits the worker does not fit yet, the resources that become free next
    are reserved for it. Later tasks start only if they leave it this room; see
    :class:`Reservation`.
    """
    worker, any_gathering, leases = queries.lock_worker(session, worker_id)
    if worker.state != "active":
        return None
    total, free, places = queries.room_of(worker, leases)
    joinable = gathering.joinable_tasks(session, worker, queues, total) if any_gathering else []
    if joinable:
        node = gathering.join(session, worker, free, places, joinable)
        if node is not None:
            return _as_node(session, worker, node)
        free = gathering.free_after_reservations(worker, leases, joinable, total, free)
    labels = dumps(worker.labels)
    start = TAKE, _start_parameters(worker, queues)
    excluded: list[int] = []
    while True:
        found = queries.pick(
            session, queues, labels, total=total, free=free, blocked_too=True, excluded=excluded,
            start=start,
        )  # fmt: skip
        if found.task is not None:
            return _take(session, worker, queues, leases, found.task)
        if found.blocked is None:
            return None
        promise = _reserve(session, worker, leases, found.blocked)
        if promise is not None:
            break
        excluded.append(found.blocked)
    preemption.make_room(session, worker, leases, found.blocked, promise.promised)
    rest = promise.leaves(total, free)
    found = queries.pick(
        session, queues, labels, total=total, free=rest, blocked_too=False, excluded=excluded,
        start=start,
    )  # fmt: skip
    if found.task is None:
        return None
    return _take(session, worker, queues, leases, found.task)


TAKE = compiled(
    text(f"""
WITH picked AS MATERIALIZED (SELECT COALESCE(CAST(:task_id AS int), {STARTS}) AS id),
    promise AS (
        DELETE FROM task_reservations WHERE task_id IN (
            SELECT task_id FROM task_reservations WHERE task_id = (SELECT id FROM picked)
            FOR UPDATE SKIP LOCKED)
    ),
    started AS (
        UPDATE task_scheduling SET attempt = attempt + 1, fence = fence + 1, not_before = NULL,
               stop_wanted = NULL, waiting = false,
               updated_at = clock_timestamp()
        WHERE task_id = (SELECT id FROM picked)
        RETURNING task_id, queue, attempt, fence, cpus, memory_mb, nodes
    ),
    task AS (
        UPDATE tasks SET status = :running,
               started_at = COALESCE(started_at, clock_timestamp())
        WHERE id = (SELECT id FROM picked) RETURNING id, uuid, type, project_id
    ),
    lease AS (
        INSERT INTO task_leases (task_id, worker_id, project_id, attempt, fence, cpus, memory_mb,
                                 gpu_indices)
        SELECT task_id, :worker_id, project_id, attempt, fence, cpus, memory_mb,
               CAST(:gpus AS jsonb)
        FROM started JOIN task ON id = task_id
    ),
    gang AS (
        INSERT INTO task_gangs (task_id, fence, nodes)
        SELECT task_id, fence, nodes FROM started WHERE nodes > 1
    ),
    attempt AS (
        INSERT INTO task_attempts (task_id, attempt, fence, worker)
        SELECT task_id, attempt, fence, :worker FROM started
    ),
    event AS (
        INSERT INTO task_events (task_id, kind, data)
        SELECT task_id, 'claimed',
               jsonb_build_object('worker', CAST(:worker AS text), 'attempt', attempt)
        FROM started
    )
SELECT uuid, type, queue, attempt, fence, nodes,
       {OTHERS_WAIT.format("started.task_id")} AS others_wait
FROM started JOIN task ON id = task_id
""")  # noqa: S608  (constants)
)
"""Everything that a start writes, in one statement: claims are the busiest path of the queue.

Without a ``task_id``, it starts the task that the pick in the same round trip has found, if that
task needs no further check. A reservation that another claim has locked is left to that claim,
which may wait for rows that this one has locked.
"""


def _start_parameters(
    worker: WorkerRow, queues: Sequence[str], task_id: int | None = None, gpus: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the parameters of :data:`TAKE`."""
    assert may_become(TaskStatus.PENDING, TaskStatus.RUNNING)
    return {
        "task_id": task_id,
        "queues": list(queues),
        "worker_id": worker.id,
        "worker": worker.name,
        "gpus": dumps(gpus),
        "running": TaskStatus.RUNNING.value,
    }


def _take(
    session: Session,
    worker: WorkerRow,
    queues: Sequence[str],
    leases: Sequence[HeldLease],
    picked: Picked,
) -> Claim:
    """Start a new attempt of a pending task that :func:`queries.pick` has locked."""
    task_id = picked.task_id
    gpus: tuple[int, ...] = ()
    started = picked.started
    if started is None:
        if picked.has_quota and not quotas.may_start(
            session, picked.project_id, picked.gpus * picked.nodes
        ):
            raise _QuotaUsedUp
        _, free, places = queries.room_of(worker, leases)
        taken = pick_devices(free.devices, picked.gpus, picked.gpu_memory_mb) if picked.gpus else []
        gpus = tuple(places[place] for place in taken)
        started = TAKE.one(session, **_start_parameters(worker, queues, task_id, gpus))
    uuid, task_type, queue, attempt, fence, nodes, others_wait = started
    names = [device.id for device in queries.devices_of(worker)]
    notify(session, f"task:{uuid}")
    kind = kind_of(task_type)
    if kind.handles_start:
        kind.started(session, task_id)
        session.flush()
    return Claim(
        task_id=task_id,
        task_uuid=uuid,
        task_type=task_type,
        queue=queue,
        attempt=attempt,
        fence=fence,
        gpu_indices=gpus,
        # Slots of one GPU share its id, and CUDA must get it only once.
        devices=tuple(dict.fromkeys(names[place] for place in gpus)),
        nodes=nodes,
        others_wait=others_wait or nodes > 1,
    )


def _as_node(session: Session, worker: WorkerRow, node: TaskNode) -> Claim:
    """Return the claim of a worker that joined a task of another worker as a node."""
    names = [device.id for device in queries.devices_of(worker)]
    uuid, task_type, queue, nodes = session.execute(
        select(Task.uuid, Task.type, TaskScheduling.queue, TaskScheduling.nodes)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(Task.id == node.task_id)
    ).one()
    return Claim(
        task_id=node.task_id,
        task_uuid=uuid,
        task_type=task_type,
        queue=queue,
        attempt=node.attempt,
        fence=node.fence,
        gpu_indices=tuple(node.gpu_indices),
        devices=tuple(dict.fromkeys(names[place] for place in node.gpu_indices)),
        node=node.node,
        nodes=nodes,
    )


def _reserve(
    session: Session, worker: WorkerRow, leases: Sequence[HeldLease], task_id: int
) -> Reservation | None:
    """Reserve the worker's next free room for a task; return None if another worker keeps it.

    A reservation moves to a worker that is closer to having the room, and away from one that takes
    no more tasks. A worker reserves only for the first task that it must turn away.
    """
    known = {
        row.task_id: row
        for row in session.scalars(
            select(TaskReservation).where(
                or_(
                    TaskReservation.task_id == task_id,
                    TaskReservation.worker_id == worker.id,
                )
            )
        )
    }
    demand = demand_of(session, task_id)
    made = known.get(task_id)
    if made is not None and made.worker_id == worker.id:
        ran = {tuple(runner) for runner in made.runners}
        later = [lease for lease in leases if (lease.task_id, lease.fence) not in ran]
        return Reservation(demand, [held_as_demand(worker, lease) for lease in later])
    if made is not None and not _is_closer(session, worker, leases, made, demand):
        return None
    # Rows that another claim has locked are left to it: it decides about them at this moment.
    locked = session.scalars(
        select(TaskReservation)
        .where(TaskReservation.task_id.in_(known))
        .with_for_update(skip_locked=True)
    ).all()
    if len(locked) < len(known):
        return None
    for row in locked:
        session.delete(row)
    session.flush()
    runners = [[lease.task_id, lease.fence] for lease in leases]
    promised = session.execute(
        insert(TaskReservation)
        .values(worker_id=worker.id, task_id=task_id, runners=runners)
        .on_conflict_do_nothing()
        .returning(TaskReservation.worker_id)
    ).one_or_none()
    return None if promised is None else Reservation(demand)


def _is_closer(
    session: Session,
    worker: WorkerRow,
    leases: Sequence[HeldLease],
    made: TaskReservation,
    demand: Demand,
) -> bool:
    """Return True if ``worker`` is closer to having room than the worker with the reservation."""
    other = next((row for row in queries.live_workers(session) if row.id == made.worker_id), None)
    if other is None or other.state != "active":
        return True
    others_leases = queries.leases_of(session, other.id)
    if preemption.could_make_room(session, other, others_leases, made.task_id, demand):
        return False  # preempted tasks are stopping there
    if preemption.could_make_room(session, worker, leases, made.task_id, demand):
        return True
    total, free, _ = queries.room_of(worker, leases)
    others_total, others_free, _ = queries.room_of(other, others_leases)
    return lacking(total, free, demand) < lacking(others_total, others_free, demand)
