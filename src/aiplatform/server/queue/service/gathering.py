"""Workers that join a task on several nodes, and resources that are kept free for it.

Such a task is claimed like any other; the worker that claims it runs node 0. Then the task comes
first at every other suitable worker that has not joined it. A worker that has room joins. One that
has none keeps the resources that become free next, as it does for the first task of the queue. No
node starts before all have joined. If that takes too long, node 0 gives all resources back, see
``nodes``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.projects.service import quotas
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import TaskNode, TaskNodeGroup
from aiplatform.server.queue.queries.workers import HeldLease, WorkerRow
from aiplatform.server.queue.rules import Demand, Room
from aiplatform.server.queue.rules.placement import Reservation, pick_devices

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
    """A task that gathers its nodes, and the resources that each node needs."""

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
            continue  # it ended or became complete meanwhile
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
    """Return the free room that is left after reserving room for the tasks that gather nodes."""
    for task in waiting:
        later = [lease for lease in leases if lease.acquired_at > task.since]
        promise = Reservation(task.demand, [held_as_demand(worker, lease) for lease in later])
        free = promise.leaves(total, free)
    return free


def held_as_demand(worker: WorkerRow, lease: HeldLease) -> Demand:
    """Return the resources of a lease as a demand. The least memory of its devices counts."""
    devices = queries.devices_of(worker)
    memories = [devices[place].memory_mb for place in lease.gpu_indices if place < len(devices)]
    return Demand(
        cpus=lease.cpus,
        memory_mb=lease.memory_mb,
        gpus=len(memories),
        gpu_memory_mb=min(memories, default=0),
    )
