"""Makes room for an urgent task by asking running tasks to stop."""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Task, TaskEvent, TaskScheduling
from aiplatform.server.queue.queries import HeldLease, WorkerRow
from aiplatform.server.queue.rules import Demand
from aiplatform.server.queue.rules.placement import URGENT, Runner, choose_victims


def make_room(
    session: Session,
    worker: WorkerRow,
    leases: Sequence[HeldLease],
    task_id: int,
    demand: Demand,
) -> None:
    """Ask tasks of a worker to stop for the task with its reservation, if that is urgent.

    The caller has locked the worker's row. An attempt reads the request with its next write, within
    a second; if it has not stopped after its grace period, it is killed.
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
