"""A worker worked by hand: it claims real tasks and ends them as the test says."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.tasks.models import Task, TaskScheduling
from aiplatform.server.tasks.rules import Device
from aiplatform.server.tasks.service import attempts, workers
from aiplatform.server.tasks.service.attempts import Claim
from aiplatform.server.tasks.service.kinds import Outcome
from aiplatform.server.tasks.service.workers import Capacity


class Hand:
    """Each method is one transaction, as the runner's are. Only tasks of one project are taken."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        with transaction() as session:
            offers = Capacity(cpus=64, memory_mb=64_000, devices=(Device("0"),) * 8)
            self.worker_id = workers.register(session, f"hand-{queue}", [queue], offers)

    def claim(self, *, hurry: bool = False) -> Claim | None:
        """The next attempt; with ``hurry`` without waiting for a back-off to pass."""
        with transaction() as session:
            if hurry:
                session.execute(
                    update(TaskScheduling)
                    .where(TaskScheduling.queue == self.queue)
                    .values(not_before=None)
                )
            return attempts.claim_next(session, self.worker_id, [self.queue])

    def take(self, **options: Any) -> Claim:
        """The same where there must be one."""
        claim = self.claim(**options)
        assert claim is not None
        return claim

    def ready(self, claim: Claim, endpoint: str = "unix:/nowhere", token: str = "t") -> None:
        """The runtime serves."""
        with transaction() as session:
            attempts.set_ready(session, claim, endpoint, token)

    def complete(
        self, claim: Claim, result: dict[str, Any], files: list[StoredFile] | None = None
    ) -> None:
        """The runtime has succeeded."""
        self._end(claim, Outcome(TaskStatus.COMPLETED, result=result, files=files or []))

    def fail(self, claim: Claim, error: str = "the engine crashed") -> None:
        """The runtime has failed."""
        self._end(claim, Outcome(TaskStatus.FAILED, error=error))

    def cancel(self, claim: Claim) -> None:
        """The runtime has stopped as it was told."""
        self._end(claim, Outcome(TaskStatus.CANCELLED))

    def give_back(self, claim: Claim) -> None:
        """The worker stops, and another may run the task."""
        with transaction() as session:
            attempts.release(session, claim, "the worker was stopped")

    def vanish(self, claim: Claim) -> None:
        """The worker was lost."""
        with transaction() as session:
            assert attempts.expire(session, claim.task_id, claim.fence, "the worker was lost")

    def inputs(self, claim: Claim) -> Any:
        """What would be laid out for the runtime."""
        from aiplatform.server.tasks.service.kinds import kind_of

        with transaction() as session:
            task = session.scalars(select(Task).where(Task.id == claim.task_id)).one()
            return kind_of(task.type).inputs(session, task)

    @staticmethod
    def _end(claim: Claim, outcome: Outcome) -> None:
        with transaction() as session:
            attempts.end_attempt(session, claim, outcome)


def fresh(session: Session, row: Any) -> Any:
    """``row`` as it is in the database now."""
    session.rollback()
    session.refresh(row)
    return row


def until_it_waits(session: Session) -> None:
    """Return when some transaction waits for a lock of another."""
    held = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    deadline = time.monotonic() + 20
    while not session.scalar(held):
        session.rollback()
        assert time.monotonic() < deadline
        time.sleep(0.02)
