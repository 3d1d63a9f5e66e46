"""A worker controlled by tests: it claims real tasks and ends them as the test demands."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.execution.service.attempts import Claim
from aiplatform.server.execution.service.workers import Capacity
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.rules import Device
from aiplatform.server.queue.service.kinds import Outcome


class ManualWorker:
    """A worker that claims tasks of one queue. Each method is a transaction, as in the runner."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        with transaction() as session:
            offers = Capacity(cpus=64, memory_mb=64_000, devices=(Device("0"),) * 8)
            self.worker_id = workers.register(session, f"manual-{queue}", [queue], offers)

    def claim(self, *, hurry: bool = False) -> Claim | None:
        """Claim the next attempt; return None if no task can start.

        With ``hurry``, ignore the delay before a retry.
        """
        with transaction() as session:
            if hurry:
                session.execute(
                    update(TaskScheduling)
                    .where(TaskScheduling.queue == self.queue)
                    .values(not_before=None)
                )
            return attempts.claim_next(session, self.worker_id, [self.queue])

    def take(self, **options: Any) -> Claim:
        """Claim the next attempt; the test fails if there is none."""
        claim = self.claim(**options)
        assert claim is not None
        return claim

    def ready(self, claim: Claim, endpoint: str = "unix:/nowhere", token: str = "t") -> None:
        """Report that the task's model server is ready."""
        with transaction() as session:
            attempts.set_ready(session, claim, endpoint, token)

    def complete(
        self, claim: Claim, result: dict[str, Any], files: list[StoredFile] | None = None
    ) -> None:
        """End an attempt successfully."""
        self._end(claim, Outcome(TaskStatus.COMPLETED, result=result, files=files or []))

    def fail(self, claim: Claim, error: str = "the engine crashed") -> None:
        """End an attempt with a failure."""
        self._end(claim, Outcome(TaskStatus.FAILED, error=error))

    def cancel(self, claim: Claim) -> None:
        """End an attempt as cancelled."""
        self._end(claim, Outcome(TaskStatus.CANCELLED))

    def give_back(self, claim: Claim) -> None:
        """Release an attempt like a stopping worker, so that another worker may run the task."""
        with transaction() as session:
            attempts.release(session, claim, "the worker was stopped")

    def vanish(self, claim: Claim) -> None:
        """Let an attempt's lease expire, as if its worker had died."""
        with transaction() as session:
            assert attempts.expire(session, claim.task_id, claim.fence, "the worker was lost")

    def inputs(self, claim: Claim) -> Any:
        """Return the files that the attempt's child process would get."""
        from aiplatform.server.queue.service.kinds import kind_of

        with transaction() as session:
            task = session.scalars(select(Task).where(Task.id == claim.task_id)).one()
            return kind_of(task.type).inputs(session, task)

    @staticmethod
    def _end(claim: Claim, outcome: Outcome) -> None:
        with transaction() as session:
            attempts.end_attempt(session, claim, outcome)


def fresh(session: Session, row: Any) -> Any:
    """Reload ``row`` from the database."""
    session.rollback()
    session.refresh(row)
    return row


def until_it_waits(session: Session) -> None:
    """Wait until another connection's transaction is waiting for a lock."""
    held = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    deadline = time.monotonic() + 20
    while not session.scalar(held):
        session.rollback()
        assert time.monotonic() < deadline
        time.sleep(0.02)
