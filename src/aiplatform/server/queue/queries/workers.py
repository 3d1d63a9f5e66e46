"""SELECT statements for workers, their leases, and the nodes of multi-worker tasks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, column, exists, func, select, table, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.database import cached
from aiplatform.server.core.statements import Compiled, compiled, fetch_all
from aiplatform.server.queue.models import (
    Task,
    TaskAttempt,
    TaskNode,
    TaskNodeGroup,
    TaskReservation,
    Worker,
)
from aiplatform.server.queue.rules import Device, Offer, Room
from aiplatform.server.queue.rules.reasons import Holder, Holders

SILENT_SECONDS = 30.0
FORGOTTEN = "interval '7 days'"
"""Time without a heartbeat after which a worker is not expected to come back."""


class HeldLease(Protocol):
    """The resources that one node of a task holds on a worker.

    Memory is in MiB; ``gpu_indices`` are indexes into the worker's devices.
    """

    @property
    def worker_id(self) -> int: ...
    @property
    def task_id(self) -> int: ...
    @property
    def fence(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def cpus(self) -> float: ...
    @property
    def memory_mb(self) -> int: ...
    @property
    def gpu_indices(self) -> list[Any]: ...
    @property
    def acquired_at(self) -> datetime: ...


_held = table(
    "held_leases",
    column("worker_id", BigInteger()),
    column("task_id", BigInteger()),
    column("fence", BigInteger()),
    column("attempt", BigInteger()),
    column("cpus"),
    column("memory_mb"),
    column("gpu_indices", JSONB()),
    column("acquired_at"),
)


@cache
def _held_by() -> Compiled:
    return compiled(
        select(_held).where(_held.c.worker_id == bindparam("worker_id", type_=BigInteger()))
    )


def leases_of(session: Session, worker_id: int) -> Sequence[HeldLease]:
    """Return a worker's leases as plain rows, because every claim reads them."""
    rows: Sequence[Any] = _held_by().all(session, worker_id=worker_id)
    return rows


def worker_of(session: Session, task_id: int, attempt: int, node: int) -> UUID | None:
    """Return the uuid of the worker that runs or ran a node of a task's attempt."""
    found = select(Worker.uuid)
    if node == 0:
        found = found.join(TaskAttempt, TaskAttempt.worker == Worker.name).where(
            TaskAttempt.task_id == task_id, TaskAttempt.attempt == attempt
        )
    else:
        found = found.join(TaskNode, TaskNode.worker_id == Worker.id).where(
            TaskNode.task_id == task_id, TaskNode.attempt == attempt, TaskNode.node == node
        )
    return session.scalar(found)


def leases_to_end(session: Session, worker_id: int) -> Sequence[HeldLease]:
    """Return a worker's leases, sorted by project.

    Ending a lease locks the usage row of its project. All workers end leases in this order, so that
    workers that start at the same time can't deadlock.
    """
    mine = select(_held).where(_held.c.worker_id == worker_id)
    rows: Sequence[Any] = session.execute(
        mine.join(Task, Task.id == _held.c.task_id).order_by(Task.project_id, Task.id)
    ).all()
    return rows


def leases_of_all(session: Session, worker_ids: Sequence[int]) -> Sequence[HeldLease]:
    """Return the leases of several workers, oldest first."""
    of_them = select(_held).where(_held.c.worker_id.in_(worker_ids))
    rows: Sequence[Any] = session.execute(of_them.order_by(_held.c.acquired_at)).all()
    return rows


class WorkerRow(Protocol):
    """The columns of a :class:`Worker` that a claim needs."""

    @property
    def id(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def cpus(self) -> float: ...
    @property
    def memory_mb(self) -> int: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def devices(self) -> list[Any]: ...


@cache
def _lock_worker() -> Compiled:
    # With a generic plan, these statements are planned once per connection. A claim's statements
    # use the same indexes for all values, and planning takes longer than running them.
    return compiled(
        select(
            *(Worker.id, Worker.name, Worker.state, Worker.cpus, Worker.memory_mb),
            *(Worker.labels, Worker.devices),
            func.set_config("plan_cache_mode", "force_generic_plan", True),
            exists().where(TaskNodeGroup.state == "gathering").label("any_gathering"),
        )
        .where(Worker.id == bindparam("worker_id", type_=BigInteger()))
        .with_for_update(of=Worker)
    )


def lock_worker(session: Session, worker_id: int) -> tuple[WorkerRow, bool, Sequence[HeldLease]]:
    """Lock a worker for a claim.

    Returns:
        The worker, True if any task is gathering its nodes, and the worker's leases. The leases are
        read under the lock; the flag is read before the lock is granted. The flag may be out of
        date, but no task is missed: a task that begins to gather nodes wakes the workers after its
        commit.
    """
    mine = {"worker_id": worker_id}
    found, held = fetch_all(session, (_lock_worker(), mine), (_held_by(), mine))
    (worker,) = found
    return worker, worker.any_gathering, held


def live_workers(session: Session) -> Sequence[Worker]:
    """Return the workers with a recent heartbeat, judged by the database's clock."""
    return session.scalars(
        select(Worker).where(
            Worker.stopped_at.is_(None),
            Worker.heartbeat_at > func.clock_timestamp() - text(f"interval '{SILENT_SECONDS} s'"),
        )
    ).all()


def devices_of(worker: WorkerRow) -> list[Device]:
    """Return the worker's slots for GPU work."""
    return [Device(d["id"], d["memory_mb"], d.get("name", "")) for d in worker.devices]


def room_of(worker: WorkerRow, leases: Sequence[HeldLease]) -> tuple[Room, Room, list[int]]:
    """Return the worker's total room, its free room, and the indexes of its free devices."""
    return _room(
        worker,
        cpus=sum(lease.cpus for lease in leases),
        memory_mb=sum(lease.memory_mb for lease in leases),
        taken={place for lease in leases for place in lease.gpu_indices},
    )


def _room(
    worker: WorkerRow, *, cpus: float = 0.0, memory_mb: int = 0, taken: Collection[int] = ()
) -> tuple[Room, Room, list[int]]:
    memories = [device.memory_mb for device in devices_of(worker)]
    free_places = [place for place in range(len(memories)) if place not in taken]
    total = Room(worker.cpus, worker.memory_mb, tuple(memories))
    free = Room(
        worker.cpus - cpus,
        worker.memory_mb - memory_mb,
        tuple(memories[place] for place in free_places),
    )
    return total, free, free_places


# The database computes the sums, because thousands of tasks may be running and lists are read
# often.
_HELD = text("""
SELECT worker_id, sum(cpus) AS cpus, sum(memory_mb) AS memory_mb,
       jsonb_agg(gpu_indices) FILTER (WHERE gpu_indices <> '[]') AS places
FROM held_leases GROUP BY worker_id
""")


@dataclass(frozen=True, slots=True)
class WorkerOffers:
    """The resources that workers offer, and the name of the worker reserved for each task."""

    offers: list[Offer]
    reserved: dict[int, str]


def worker_offers(session: Session) -> WorkerOffers:
    """Return the offers of all workers with a heartbeat in the last 7 days (``FORGOTTEN``).

    ``open`` is true only for workers that are alive and neither cordoned nor draining.
    """
    live = Worker.heartbeat_at > func.clock_timestamp() - text(f"interval '{SILENT_SECONDS} s'")
    rows = session.execute(
        select(Worker, live).where(Worker.heartbeat_at > func.clock_timestamp() - text(FORGOTTEN))
    ).all()
    held = {row.worker_id: row for row in session.execute(_HELD)}
    offers = []
    names = {}
    for worker, alive in rows:
        total, free, _ = _room(worker)
        if worker.id in held:
            sums = held[worker.id]
            taken = {place for places in sums.places or () for place in places}
            _, free, _ = _room(worker, cpus=sums.cpus, memory_mb=sums.memory_mb, taken=taken)
        names[worker.id] = worker.name
        offers.append(
            Offer(
                name=worker.name,
                queues=frozenset(worker.queues),
                labels=frozenset(worker.labels),
                total=total,
                free=free,
                open=bool(alive) and worker.stopped_at is None and worker.state == "active",
            )
        )
    promised = session.execute(select(TaskReservation.task_id, TaskReservation.worker_id))
    return WorkerOffers(
        offers, {task_id: names[worker_id] for task_id, worker_id in promised if worker_id in names}
    )


HOLDERS_READ = 200
"""Largest number of a project's running tasks that :func:`holders` lists individually."""

_OWN_HOLDERS = text("""
SELECT w.name AS worker, t.type, t.name, h.cpus, h.memory_mb,
       jsonb_array_length(h.gpu_indices) AS gpus
FROM held_leases h JOIN tasks t ON t.id = h.task_id JOIN workers w ON w.id = h.worker_id
WHERE t.project_id = :project_id
ORDER BY h.cpus DESC, h.task_id LIMIT :limit
""")
_FOREIGN_HOLDERS = text("""
SELECT w.name AS worker, sum(h.cpus) AS cpus, sum(h.memory_mb) AS memory_mb,
       sum(jsonb_array_length(h.gpu_indices)) AS gpus
FROM held_leases h JOIN tasks t ON t.id = h.task_id JOIN workers w ON w.id = h.worker_id
WHERE t.project_id IS DISTINCT FROM :project_id
GROUP BY w.name
""")


def holders(session: Session, project_id: int | None) -> Holders:
    """Return the resources that running tasks hold on each worker.

    The project's own tasks are listed individually (at most ``HOLDERS_READ``); all other tasks are
    summed up.
    """
    own = session.execute(_OWN_HOLDERS, {"project_id": project_id, "limit": HOLDERS_READ})
    foreign = session.execute(_FOREIGN_HOLDERS, {"project_id": project_id})
    return Holders(
        own=[Holder(*row) for row in own],
        foreign={
            row.worker: {
                "cpus": float(row.cpus),
                "memory_mb": float(row.memory_mb),
                "gpus": float(row.gpus),
            }
            for row in foreign
        },
    )


COULD_RUN = text(f"""
SELECT EXISTS (
    SELECT FROM workers
    WHERE heartbeat_at > clock_timestamp() - {FORGOTTEN} AND queues @> CAST(:queue AS jsonb)
      AND labels @> CAST(:labels AS jsonb) AND cpus >= :cpus AND memory_mb >= :memory_mb
) AS found
""")  # noqa: S608  (constants)


def any_worker_fits(
    session: Session, queue: str, labels: Sequence[str], *, cpus: float, memory_mb: int
) -> bool:
    """Return True if some worker could run a task that needs no GPUs.

    The SQL condition corresponds to ``Offer.suits`` and suffices for nearly every submission. If it
    returns False, call :func:`rules.shortfalls` to find out what is missing.
    """
    values = {
        "queue": dumps([queue]),
        "labels": dumps(labels),
        "cpus": cpus,
        "memory_mb": memory_mb,
    }
    key = ("could run", *values.values())
    return cached(session, key, lambda: bool(session.execute(COULD_RUN, values).scalar_one()))


def attempt_of(session: Session, task_id: int) -> int:
    """Return the number of a task's last attempt."""
    return int(
        session.execute(
            text("SELECT attempt FROM task_scheduling WHERE task_id = :task_id"),
            {"task_id": task_id},
        ).scalar_one()
    )


OTHERS = text(f"""
SELECT count(*) FROM workers w
WHERE w.id <> :worker_id AND w.state = 'active' AND w.stopped_at IS NULL
  AND w.heartbeat_at > clock_timestamp() - interval '{SILENT_SECONDS} s'
  AND w.queues @> CAST(:queues AS jsonb)
  AND w.cpus > COALESCE((SELECT sum(l.cpus) FROM held_leases l WHERE l.worker_id = w.id), 0)
  AND EXISTS (
    SELECT FROM task_scheduling WHERE waiting AND queue = :queue
      AND (not_before IS NULL OR not_before <= CURRENT_TIMESTAMP)
    UNION ALL
    SELECT FROM task_gangs g JOIN task_scheduling s ON s.task_id = g.task_id
    WHERE g.state = 'gathering' AND s.queue = :queue
  )
""")  # noqa: S608  (constants)


def others_with_room(session: Session, worker_id: int, queue: str) -> int:
    """Return how many other workers with free CPUs serve the queue, or 0 if no task is waiting."""
    values = {"worker_id": worker_id, "queue": queue, "queues": dumps([queue])}
    return int(session.execute(OTHERS, values).scalar_one())


def missing_nodes(session: Session) -> dict[str, int]:
    """Return, for each queue, the number of nodes missing from tasks that are gathering nodes."""
    rows = session.execute(
        text(
            "SELECT s.queue, sum(g.nodes - 1 - (SELECT count(*) FROM task_nodes n "
            "WHERE n.task_id = g.task_id))::integer FROM task_gangs g "
            "JOIN task_scheduling s ON s.task_id = g.task_id "
            "WHERE g.state = 'gathering' GROUP BY s.queue"
        )
    )
    return {queue: places for queue, places in rows}  # noqa: C416  (typed rows)


NODES = text("""
SELECT 0 AS node, w.name AS worker, g.state, jsonb_array_length(l.gpu_indices) AS gpus
FROM task_gangs g JOIN task_leases l ON l.task_id = g.task_id JOIN workers w ON w.id = l.worker_id
WHERE g.task_id = :task_id
UNION ALL
SELECT n.node, w.name, n.state, jsonb_array_length(n.gpu_indices)
FROM task_nodes n JOIN workers w ON w.id = n.worker_id WHERE n.task_id = :task_id
ORDER BY node
""")


def nodes_of(session: Session, task_id: int) -> Sequence[Any]:
    """Return the node number, worker, state and GPUs of each node of a multi-worker task.

    The result is empty if the task runs on one worker.
    """
    return session.execute(NODES, {"task_id": task_id}).all()
