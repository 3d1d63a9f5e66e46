"""Communication between an attempt's nodes through the database.

Each write checks the fencing number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.execution.service.attempts import Claim, close, hold, requeue, wanted_of
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.models import Task, TaskLease, TaskNode, TaskNodeGroup, Worker
from aiplatform.server.queue.service.queue import add_event


@dataclass(frozen=True, slots=True)
class Member:
    """A node other than node 0, as seen by the other nodes."""

    node: int
    worker: str
    state: str
    report: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class View:
    """The state of an attempt's nodes. ``wanted`` is the status that the attempt must follow."""

    nodes: int
    state: str
    endpoint: str | None
    members: Sequence[Member]
    wanted: TaskStatus

    @property
    def gathered(self) -> int:
        """The number of nodes that have joined, including node 0."""
        return 1 + len(self.members)

    @property
    def complete(self) -> bool:
        """True if all nodes have joined."""
        return self.gathered == self.nodes


def read_view(session: Session, claim: Claim) -> View:
    """Return the current state of the nodes.

    Raises:
        LostLease: the attempt has ended, or this node no longer belongs to it.
    """
    task = session.scalar(
        select(Task)
        .join(TaskLease, TaskLease.task_id == Task.id)
        .where(Task.id == claim.task_id, TaskLease.fence == claim.fence)
        .execution_options(populate_existing=True)
    )
    group = session.scalar(
        select(TaskNodeGroup)
        .where(TaskNodeGroup.task_id == claim.task_id, TaskNodeGroup.fence == claim.fence)
        .execution_options(populate_existing=True)
    )
    if task is None or group is None:
        raise LostLease
    members = [
        Member(*row)
        for row in session.execute(
            select(TaskNode.node, Worker.name, TaskNode.state, TaskNode.report)
            .join(Worker, Worker.id == TaskNode.worker_id)
            .where(TaskNode.task_id == claim.task_id)
            .order_by(TaskNode.node)
        )
    ]
    if claim.node and claim.node not in {member.node for member in members}:
        raise LostLease
    return View(group.nodes, group.state, group.endpoint, members, wanted_of(task))


def end_gathering(session: Session, claim: Claim) -> bool:
    """Finish gathering if all nodes have joined; after that, no node can join or leave.

    Called by node 0. Return False if nodes are still missing.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    group = session.scalars(
        select(TaskNodeGroup)
        .where(TaskNodeGroup.task_id == claim.task_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()
    workers = session.scalars(
        select(Worker.name)
        .join(TaskNode, TaskNode.worker_id == Worker.id)
        .where(TaskNode.task_id == claim.task_id)
        .order_by(TaskNode.node)
    ).all()
    if 1 + len(workers) < group.nodes:
        return False
    group.state = "gathered"
    add_event(session, task, "gathered", nodes=group.nodes, joined=list(workers))
    session.flush()
    return True


def set_rendezvous(session: Session, claim: Claim, endpoint: str) -> None:
    """Store the address at which the nodes connect, which makes them start. Called by node 0.

    Raises:
        LostLease: see :func:`hold`.
    """
    hold(session, claim)
    session.execute(
        update(TaskNodeGroup)
        .where(TaskNodeGroup.task_id == claim.task_id)
        .values(state="running", endpoint=endpoint)
    )


def set_state(
    session: Session, claim: Claim, state: str, report: dict[str, Any] | None = None
) -> None:
    """Store the state of a node other than node 0.

    Raises:
        LostLease: the attempt has ended.
    """
    hold(session, claim)
    session.execute(update(TaskNode).where(_own(claim)).values(state=state, report=report))


def leave(session: Session, claim: Claim) -> None:
    """Delete a node other than node 0 that has finished, or that leaves before the job has started.

    Raises:
        LostLease: the attempt has ended.
    """
    hold(session, claim)
    session.execute(delete(TaskNode).where(_own(claim)))


def renew(session: Session, claim: Claim) -> None:
    """Renew the lease of a node other than node 0.

    Raises:
        LostLease: the node no longer belongs to the attempt.
    """
    renewed = session.execute(
        update(TaskNode)
        .where(_own(claim))
        .values(renewals=TaskNode.renewals + 1)
        .returning(TaskNode.task_id)
    ).one_or_none()
    if renewed is None:
        raise LostLease


def give_back(
    session: Session, claim: Claim, gathered: int, seconds: float, *, wait: float
) -> None:
    """Requeue the task, to gather again after ``wait`` seconds. This does not count as a failure.

    Raises:
        LostLease: see :func:`hold`.
    """
    task = hold(session, claim)
    reason = f"{gathered} of {claim.nodes} nodes gathered within {seconds:g} s"
    close(session, claim, "released", reason)
    task.scheduling.not_before = func.clock_timestamp() + timedelta(seconds=wait)
    requeue(session, task, reason)


def _own(claim: Claim) -> Any:
    return (
        (TaskNode.task_id == claim.task_id)
        & (TaskNode.node == claim.node)
        & (TaskNode.fence == claim.fence)
    )
