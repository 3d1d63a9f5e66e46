"""The reaper: ends expired leases and silent external runs, and resends lost wake-ups.

It runs in one worker at a time. A lease expires if its renewal counter has not changed for the
duration of a lease on the reaper's own monotonic clock. No timestamps are compared, so a change of
the system clock ends no lease. Neither does a database outage, because only time in which the
reaper could read the database counts.
"""

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core import audit
from aiplatform.server.core.broker import WAKE, send, task_queue
from aiplatform.server.core.database import transaction
from aiplatform.server.core.results import fail_lost_invocations
from aiplatform.server.execution.models import ExternalRun
from aiplatform.server.execution.service import external
from aiplatform.server.execution.service.attempts import expire
from aiplatform.server.execution.service.periodic import isolated
from aiplatform.server.queue import queries
from aiplatform.server.queue.errors import TaskFinished
from aiplatform.server.queue.models import Task, TaskLease, TaskNode, Worker
from aiplatform.server.queue.service.queue import lock, request_cancel
from aiplatform.server.telemetry.service import prometheus

log = structlog.get_logger(__name__)
MAX_WAKE_UPS = 8
"""Largest number of wake-ups per queue. Each claim sends another one, so a few are enough."""

Key = TypeVar("Key")


@dataclass(slots=True)
class LastSeen:
    """The last value of a counter (``count``), and the seconds for which it has not changed.

    ``fence`` identifies the holder; when it changes, the seconds start again at 0.
    """

    fence: int
    count: int
    unchanged_seconds: float = 0.0


@dataclass(slots=True)
class Reaper:
    """The reaper, with the last counter seen of each lease, node, worker and external run.

    The counters are kept only in memory: a process that takes over starts without them.
    """

    lease_seconds: float
    clock: Callable[[], float] = time.monotonic
    run_silence_seconds: float = 600.0
    leases: dict[int, LastSeen] = field(default_factory=dict)
    nodes: dict[tuple[int, int], LastSeen] = field(default_factory=dict)
    workers: dict[int, LastSeen] = field(default_factory=dict)
    runs: dict[int, LastSeen] = field(default_factory=dict)
    last_round_at: float | None = None

    def run_round(self) -> list[int]:
        """Run one round; return the ids of the tasks whose leases were ended.

        If one lease can't be ended, the others still are. That lease is tried again after another
        full lease duration without renewal.

        Between two rounds, at most a tenth of the lease duration counts as time without renewal.
        Workers that could not renew while this process was suspended or the database was
        unreachable therefore lose nothing.
        """
        now = self.clock()
        passed = 0.0 if self.last_round_at is None else now - self.last_round_at
        self.last_round_at = now
        passed = min(passed, self.lease_seconds / 10)
        with transaction() as session:
            silent = self._silent_leases(session, passed)
            silent_nodes = self._silent_nodes(session, passed)
            self._silent_workers(session, passed)
            silent_runs = self._silent_runs(session, passed)
        expired = []
        for task_id, fence in silent:
            self.leases.pop(task_id, None)
            with isolated("the end of a lease", task_id=task_id), transaction() as session:
                if expire(session, task_id, fence, "the worker was lost"):
                    expired.append(task_id)
                    prometheus.EXPIRIES.inc()
                    log.warning("lease expired", task_id=task_id, fence=fence)
        for (task_id, node), fence in silent_nodes:
            self.nodes.pop((task_id, node), None)
            with isolated("the end of a lease", task_id=task_id), transaction() as session:
                reason = f"the worker of node {node} was lost"
                if expire(session, task_id, fence, reason, of_member=True):
                    expired.append(task_id)
                    prometheus.EXPIRIES.inc()
                    log.warning("node lost", task_id=task_id, node=node, fence=fence)
        for task_id, renewals in silent_runs:
            self.runs.pop(task_id, None)
            with isolated("giving a run up", task_id=task_id), transaction() as session:
                if external.give_up(session, task_id, renewals, self.run_silence_seconds):
                    log.warning("run given up", task_id=task_id)
        self._cancel_orphans()
        wake_idle_workers()
        return expired

    def _silent_leases(self, session: Session, passed: float) -> list[tuple[int, int]]:
        rows = session.execute(select(TaskLease.task_id, TaskLease.fence, TaskLease.renewals))
        current = {task_id: LastSeen(fence, renewals) for task_id, fence, renewals in rows}
        self.leases = _carry_over(self.leases, current, passed)
        return [
            (task_id, seen.fence)
            for task_id, seen in self.leases.items()
            if seen.unchanged_seconds >= self.lease_seconds
        ]

    def _silent_nodes(self, session: Session, passed: float) -> list[tuple[tuple[int, int], int]]:
        """Return ((task id, node), fencing number) of each expired node lease, except node 0's.

        A node that has reported its failure no longer renews its lease and is left out.
        """
        rows = session.execute(
            select(TaskNode.task_id, TaskNode.node, TaskNode.fence, TaskNode.renewals).where(
                TaskNode.state != "failed"
            )
        )
        current = {(row.task_id, row.node): LastSeen(row.fence, row.renewals) for row in rows}
        self.nodes = _carry_over(self.nodes, current, passed)
        return [
            (key, seen.fence)
            for key, seen in self.nodes.items()
            if seen.unchanged_seconds >= self.lease_seconds
        ]

    def _silent_workers(self, session: Session, passed: float) -> None:
        rows = session.execute(
            select(Worker.id, Worker.pid, Worker.heartbeats).where(Worker.stopped_at.is_(None))
        )
        current = {worker_id: LastSeen(pid, beats) for worker_id, pid, beats in rows}
        self.workers = _carry_over(self.workers, current, passed)
        silent = [
            worker_id
            for worker_id, seen in self.workers.items()
            if seen.unchanged_seconds >= self.lease_seconds
        ]
        if silent:
            names = session.scalars(
                update(Worker)
                .where(Worker.id.in_(silent))
                .values(stopped_at=Worker.heartbeat_at)
                .returning(Worker.name)
            )
            for name in names.all():
                fail_lost_invocations(session, name)

    def _silent_runs(self, session: Session, passed: float) -> list[tuple[int, int]]:
        """Return the task ids and report counts of external runs that were silent for too long."""
        unfinished = [status.value for status in TaskStatus if not status.is_final]
        rows = session.execute(
            select(ExternalRun.task_id, ExternalRun.renewals)
            .join(Task, Task.id == ExternalRun.task_id)
            .where(Task.status.in_(unfinished))
        )
        current = {task_id: LastSeen(0, renewals) for task_id, renewals in rows}
        self.runs = _carry_over(self.runs, current, passed)
        return [
            (task_id, seen.count)
            for task_id, seen in self.runs.items()
            if seen.unchanged_seconds >= self.run_silence_seconds
        ]

    @staticmethod
    def _cancel_orphans() -> None:
        """Cancel tasks whose project was archived or deleted during their submission or claim."""
        with transaction() as session:
            orphans = queries.unfinished_in_inactive_projects(session)
        for task_id in orphans:
            with (
                isolated("a cancellation", task_id=task_id),
                contextlib.suppress(TaskFinished),
                transaction() as session,
            ):
                request_cancel(session, audit.SYSTEM, lock(session, task_id))


def _carry_over(
    before: dict[Key, LastSeen], now: dict[Key, LastSeen], passed: float
) -> dict[Key, LastSeen]:
    for key, seen in now.items():
        known = before.get(key)
        if known is not None and (known.fence, known.count) == (seen.fence, seen.count):
            seen.unchanged_seconds = known.unchanged_seconds + passed
    return now


def wake_idle_workers() -> None:
    """Send wake-ups for waiting tasks while workers have free resources, in case some were lost.

    Only queues that an active worker reads get wake-ups; no worker would receive them in other
    queues.
    """
    free: dict[str, float] = {}
    with transaction() as session:
        live = [one for one in queries.live_workers(session) if one.state == "active"]
        held: defaultdict[int, float] = defaultdict(float)
        for lease in queries.leases_of_all(session, [worker.id for worker in live]):
            held[lease.worker_id] += lease.cpus
        for worker in live:
            for queue in worker.queues:
                free[queue] = free.get(queue, 0.0) + max(0.0, worker.cpus - held[worker.id])
        waiting = Counter(queries.count_waiting(session, list(free), MAX_WAKE_UPS))
        waiting.update(queries.missing_nodes(session))
    for queue in free.keys() & waiting.keys():
        for _ in range(min(waiting[queue], MAX_WAKE_UPS, max(1, int(free[queue])))):
            send(WAKE, task_queue(queue), queue=queue)
