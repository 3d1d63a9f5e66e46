"""Administration of workers: cordon, drain and resume."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.core.audit import SYSTEM, Actor
from aiplatform.server.core.broker import wake
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.queries import administrators
from aiplatform.server.notifications.service import announce
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Task, TaskEvent, TaskScheduling, Worker
from aiplatform.server.queue.service.claims import Claim
from aiplatform.server.queue.service.queue import add_event

STATES = {
    "active": AuditAction.WORKER_RESUMED,
    "cordoned": AuditAction.WORKER_CORDONED,
    "draining": AuditAction.WORKER_DRAINED,
}


def set_state(session: Session, actor: Actor, uuid: UUID, state: str) -> Worker:
    """Set a worker's state; only an ``active`` worker takes new tasks.

    The tasks of a ``cordoned`` worker run to completion. A ``draining`` worker also asks its
    preemptible tasks to write a checkpoint and return to the queue for other workers; the rest run
    to completion. The state survives a restart of the worker.

    Raises:
        NotFound: there is no such worker.
    """
    # A claim locks this row, so no task starts after the state has changed.
    worker = session.scalars(
        select(Worker)
        .where(Worker.uuid == uuid)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one_or_none()
    if worker is None:
        raise NotFound(resource="worker")
    if worker.state == state:
        return worker
    before, worker.state = worker.state, state
    worker.state_changed_at = func.clock_timestamp()
    session.flush()
    if state == "draining":
        _preempt_tasks(session, worker)
    if state == "active":
        for queue in worker.queues:
            wake(session, queue)
    audit.record(
        session,
        actor,
        STATES[state],
        "worker",
        worker.uuid,
        name=worker.name,
        before=before,
    )
    session.flush()
    session.refresh(worker)
    return worker


def cordon_for_leftovers(session: Session, claim: Claim, processes: Sequence[int]) -> None:
    """Cordon the worker of an attempt whose processes can't be killed.

    These processes still use resources that the worker would offer to other tasks. Administrators
    are notified.
    """
    uuid = queries.worker_of(session, claim.task_id, claim.attempt, claim.node)
    if uuid is None:
        raise NotFound(resource="worker")
    worker = set_state(session, SYSTEM, uuid, "cordoned")
    task = session.get_one(Task, claim.task_id)
    listed = ", ".join(map(str, processes))
    add_event(session, task, "processes_left", worker=worker.name, processes=list(processes))
    announce(
        session,
        NotificationType.WORKER_CORDONED,
        to=administrators(session),
        worker=worker.name,
        hostname=worker.hostname,
        name=task.name,
        task=task.uuid,
        processes=listed,
    )
    session.flush()


def _preempt_tasks(session: Session, worker: Worker) -> None:
    held = [lease.task_id for lease in queries.leases_of(session, worker.id)]
    asked = session.scalars(
        update(TaskScheduling)
        .where(
            TaskScheduling.task_id.in_(held),
            TaskScheduling.preemptible,
            TaskScheduling.stop_wanted.is_(None),
        )
        .values(stop_wanted="preempt")
        .returning(TaskScheduling.task_id)
        .execution_options(synchronize_session=False)
    ).all()
    for task_id in asked:
        session.add(
            TaskEvent(task_id=task_id, kind="preempt_requested", data={"drained": worker.name})
        )
