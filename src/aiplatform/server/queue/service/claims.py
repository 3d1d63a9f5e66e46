"""Claims: choosing the task that a worker starts next, and leasing resources to it.

The worker's row is locked first, and its leases are counted under this lock, so neither CPUs nor
GPUs are leased twice.

A task on several nodes is claimed like any other; the worker that claims it runs node 0. Every
other suitable worker that has not joined the task then prefers it to all tasks in the queue. A
worker with enough room joins. A worker with too little room reserves the resources that become free
next, as it does for the first task in the queue. No node starts before all have joined. If that
takes too long, node 0 gives all resources back; see ``nodes``. For an urgent task, running tasks
are asked to stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.events import notify
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import (
    Task,
    TaskEvent,
    TaskNode,
    TaskNodeGroup,
    TaskReservation,
    TaskScheduling,
)
from aiplatform.server.queue.queries import HeldLease, WorkerRow
from aiplatform.server.queue.queries.waiting import START, Picked, demand_of
from aiplatform.server.queue.rules import Demand, Room
from aiplatform.server.queue.rules.placement import (
    URGENT,
    Reservation,
    Runner,
    choose_victims,
    lacking,
    pick_devices,
)
from aiplatform.server.queue.service.kinds import kind_of
from aiplatform.server.queue.service.queue import change_status, lock


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker holds, or one node of such an attempt.

    ``devices`` are CUDA's names for the leased GPUs. Node 0 holds the task's lease. ``others_wait``
    is true if there is more work, so that another wake-up should be sent.
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
    """Another claim used up the quota of the task's project after the task was picked."""


def claim_next(session: Session, worker_id: int, queues: Sequence[str]) -> Claim | None:
    """Claim the first task in queue order for which the worker has enough free resources.

    The project's quota is checked again while its usage is locked. If another claim has used it up
    in the meantime, this function rolls back to release its locks and picks again. The session must
    therefore not have written anything yet.
    """
    while True:
        try:
            return _claim(session, worker_id, queues)
        except _QuotaUsedUp:
            session.rollback()


def _claim(session: Session, worker_id: int, queues: Sequence[str]) -> Claim | None:
    """Try once to claim a task.

    If the first task that suits the worker does not fit yet, the resources that become free next
    are reserved for it. Later tasks start only if they leave that room free; see
    :class:`Reservation`.
    """
    worker, any_gathering, leases = queries.lock_worker(session, worker_id)
    if worker.state != "active":
        return None
    total, free, places = queries.room_of(worker, leases)
    joinable = joinable_tasks(session, worker, queues, total) if any_gathering else []
    if joinable:
        node = join(session, worker, free, places, joinable)
        if node is not None:
            return _as_node(session, worker, node)
        free = free_after_reservations(worker, leases, joinable, total, free)
    labels = dumps(worker.labels)
    start = START, _start_parameters(worker, queues)
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
    make_room(session, worker, leases, found.blocked, promise.promised)
    rest = promise.leaves(total, free)
    found = queries.pick(
        session, queues, labels, total=total, free=rest, blocked_too=False, excluded=excluded,
        start=start,
    )  # fmt: skip
    if found.task is None:
        return None
    return _take(session, worker, queues, leases, found.task)


def _start_parameters(
    worker: WorkerRow, queues: Sequence[str], task_id: int | None = None, gpus: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the parameters for :data:`START`."""
    return {
        "task_id": task_id,
        "queues": list(queues),
        "worker_id": worker.id,
        "worker": worker.name,
        "gpus": dumps(gpus),
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
        started = START.one(session, **_start_parameters(worker, queues, task_id, gpus))
    task = lock(session, task_id)
    change_status(session, task, TaskStatus.RUNNING)
    names = [device.id for device in queries.devices_of(worker)]
    notify(session, f"task:{task.uuid}")
    kind = kind_of(task.type)
    if kind.handles_start:
        kind.started(session, task_id)
        session.flush()
    return Claim(
        task_id=task_id,
        task_uuid=task.uuid,
        task_type=task.type,
        queue=started.queue,
        attempt=started.attempt,
        fence=started.fence,
        gpu_indices=gpus,
        # Slots of one GPU share its id, which CUDA must get only once.
        devices=tuple(dict.fromkeys(names[place] for place in gpus)),
        nodes=started.nodes,
        others_wait=started.others_wait or started.nodes > 1,
    )


def _as_node(session: Session, worker: WorkerRow, node: TaskNode) -> Claim:
    """Return the claim of a worker that joined another worker's task as an additional node."""
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
    """Reserve the worker's next free resources for a task that does not fit yet.

    Return None if the reservation remains with another worker or is being changed by another claim.
    A reservation moves to a worker that is closer to fitting the task, and away from a worker that
    accepts no more tasks. Each worker has at most one reservation.
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
    # Skip rows that another claim has locked: that claim is deciding about them right now.
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
    """Return True if ``worker`` is closer to fitting the task than the reserved worker."""
    other = next((row for row in queries.live_workers(session) if row.id == made.worker_id), None)
    if other is None or other.state != "active":
        return True
    others_leases = queries.leases_of(session, other.id)
    if could_make_room(session, other, others_leases, made.task_id, demand):
        return False  # preempted tasks are stopping there
    if could_make_room(session, worker, leases, made.task_id, demand):
        return True
    total, free, _ = queries.room_of(worker, leases)
    others_total, others_free, _ = queries.room_of(other, others_leases)
    return lacking(total, free, demand) < lacking(others_total, others_free, demand)


GATHERING = text("""
SELECT g.task_id, l.acquired_at, l.project_id,
       s.cpus, s.memory_mb, s.gpus, s.gpu_memory_mb, s.queue, s.labels
FROM task_gangs g
JOIN task_leases l ON l.task_id = g.task_id
JOIN task_scheduling s ON s.task_id = g.task_id
WHERE g.state = 'gathering' AND l.worker_id <> :worker_id
  AND s.queue = ANY(CAST(:queues AS text[]))
  AND 1 + (SELECT count(*) FROM task_nodes n WHERE n.task_id = g.task_id) < g.nodes
  AND NOT EXISTS (
    SELECT FROM task_nodes n WHERE n.task_id = g.task_id AND n.worker_id = :worker_id)
ORDER BY l.acquired_at, g.task_id
""")


@dataclass(frozen=True, slots=True)
class GatheringTask:
    """A task that is gathering its nodes, and the resources that each node needs."""

    task_id: int
    since: datetime
    project_id: int | None
    demand: Demand


def joinable_tasks(
    session: Session, worker: WorkerRow, queues: Sequence[str], total: Room
) -> list[GatheringTask]:
    """Return the tasks that ``worker`` could join if it were empty, oldest lease first."""
    rows = session.execute(GATHERING, {"worker_id": worker.id, "queues": list(queues)})
    found = [
        GatheringTask(
            row.task_id,
            row.acquired_at,
            row.project_id,
            Demand(
                row.cpus, row.memory_mb, row.gpus, row.gpu_memory_mb, row.queue,
                frozenset(row.labels),
            ),
        )
        for row in rows
    ]  # fmt: skip
    labels = set(worker.labels)
    return [task for task in found if task.demand.labels <= labels and total.holds(task.demand)]


def join(session: Session, worker: WorkerRow, free: Room, places: Sequence[int],
         waiting: Sequence[GatheringTask]) -> TaskNode | None:  # fmt: skip
    """Join the first task that fits, as one of its nodes. The caller has locked the worker."""
    for task in waiting:
        if not free.holds(task.demand):
            continue
        group = session.scalar(
            select(TaskNodeGroup)
            .where(TaskNodeGroup.task_id == task.task_id, TaskNodeGroup.state == "gathering")
            .with_for_update()
            .execution_options(populate_existing=True)
        )
        if group is None:
            continue  # it has since ended, or all its nodes have joined
        taken = set(session.scalars(select(TaskNode.node).where(TaskNode.task_id == task.task_id)))
        open_places = [node for node in range(1, group.nodes) if node not in taken]
        if not open_places or not _has_quota(session, task):
            continue
        chosen = pick_devices(free.devices, task.demand.gpus, task.demand.gpu_memory_mb)
        node = TaskNode(
            task_id=task.task_id,
            node=open_places[0],
            worker_id=worker.id,
            project_id=task.project_id,
            attempt=queries.attempt_of(session, task.task_id),
            fence=group.fence,
            cpus=task.demand.cpus,
            memory_mb=task.demand.memory_mb,
            gpu_indices=[places[place] for place in chosen] if task.demand.gpus else [],
            state="joined",
        )
        session.add(node)
        session.flush()
        return node
    return None


def _has_quota(session: Session, task: GatheringTask) -> bool:
    if not task.demand.gpus or task.project_id is None:
        return True
    return quotas.may_hold(session, task.project_id, task.demand.gpus)


def free_after_reservations(
    worker: WorkerRow,
    leases: Sequence[HeldLease],
    waiting: Sequence[GatheringTask],
    total: Room,
    free: Room,
) -> Room:
    """Return the free room that is left after reserving room for tasks that are gathering nodes."""
    for task in waiting:
        later = [lease for lease in leases if lease.acquired_at > task.since]
        promise = Reservation(task.demand, [held_as_demand(worker, lease) for lease in later])
        free = promise.leaves(total, free)
    return free


def held_as_demand(worker: WorkerRow, lease: HeldLease) -> Demand:
    """Return a lease's resources as a demand.

    The memory per GPU is that of the lease's smallest device.
    """
    devices = queries.devices_of(worker)
    memories = [devices[place].memory_mb for place in lease.gpu_indices if place < len(devices)]
    return Demand(
        cpus=lease.cpus,
        memory_mb=lease.memory_mb,
        gpus=len(memories),
        gpu_memory_mb=min(memories, default=0),
    )


def make_room(
    session: Session,
    worker: WorkerRow,
    leases: Sequence[HeldLease],
    task_id: int,
    demand: Demand,
) -> None:
    """Ask enough of a worker's tasks to stop if the task with the reservation is urgent.

    The caller must have locked the worker's row. An attempt gets the request with its next write,
    which is within a second. If it has not stopped by the end of its grace period, it is killed.
    """
    urgent = session.execute(select(Task.priority, Task.uuid).where(Task.id == task_id)).one()
    if urgent.priority < URGENT:
        return
    victims = choose_victims(
        demand, queries.room_of(worker, leases)[1], _runners(session, worker, leases)
    )
    for victim in victims or ():
        asked = session.execute(
            update(TaskScheduling)
            .where(TaskScheduling.task_id == victim.task_id, TaskScheduling.stop_wanted.is_(None))
            .values(stop_wanted="preempt")
            .returning(TaskScheduling.task_id)
            .execution_options(synchronize_session=False)
        ).one_or_none()
        if asked is not None:
            data = {"for_task": str(urgent.uuid), "priority": urgent.priority}
            session.add(TaskEvent(task_id=victim.task_id, kind="preempt_requested", data=data))
    session.flush()


def could_make_room(
    session: Session, worker: WorkerRow, leases: Sequence[HeldLease], task_id: int, demand: Demand
) -> bool:
    """Return True if :func:`make_room` would succeed on this worker."""
    priority = session.execute(select(Task.priority).where(Task.id == task_id)).scalar_one()
    if priority < URGENT:
        return False
    free = queries.room_of(worker, leases)[1]
    return choose_victims(demand, free, _runners(session, worker, leases)) is not None


def _runners(session: Session, worker: WorkerRow, leases: Sequence[HeldLease]) -> list[Runner]:
    facts = {
        row.id: row
        for row in session.execute(
            select(Task.id, Task.priority, TaskScheduling.preemptible, TaskScheduling.stop_wanted)
            .join(TaskScheduling, TaskScheduling.task_id == Task.id)
            .where(Task.id.in_([lease.task_id for lease in leases]))
        )
    }
    memories = [device.memory_mb for device in queries.devices_of(worker)]
    started = sorted(leases, key=lambda lease: (lease.acquired_at, lease.task_id))
    return [
        Runner(
            task_id=lease.task_id,
            priority=facts[lease.task_id].priority,
            preemptible=facts[lease.task_id].preemptible,
            stopping=facts[lease.task_id].stop_wanted is not None,
            place=place,
            cpus=lease.cpus,
            memory_mb=lease.memory_mb,
            devices=tuple(memories[index] for index in lease.gpu_indices if index < len(memories)),
        )
        for place, lease in enumerate(started)
        if lease.task_id in facts
    ]
