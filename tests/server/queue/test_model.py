"""Model-based tests of the queue, with random events in random order.

Hypothesis chooses what happens to a few tasks on two workers, with the real database. The model
checks which worker holds which task, which state changes are allowed, that no task is lost, and
that no write is accepted from an attempt that has lost its task.

Some rules start threads that race, so their results vary. Everything else depends only on
Hypothesis's choices, so that Hypothesis can replay a failure.
"""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import SYSTEM
from aiplatform.server.core.database import transaction
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.projects.models import Project
from aiplatform.server.queue import queries, service
from aiplatform.server.queue.errors import LostLease, TaskFinished
from aiplatform.server.queue.models import Task, TaskAttempt, TaskLease
from aiplatform.server.queue.rules import TRANSITIONS
from aiplatform.server.queue.service.kinds import Outcome
from tests.factories import make_task

MAX_ATTEMPTS = 3


def together(*actions: Callable[[], object]) -> None:
    """Run each action in its own thread; raise an error that one of them raised."""
    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(action) for action in actions]:
            done.result()


class Queue(RuleBasedStateMachine):
    """A Hypothesis state machine with two workers of three cores, and tasks of one or two cores."""

    project: ClassVar[Project]
    taken_over: ClassVar[int] = 0
    """Number of times that a new attempt held a task while writes of the old one were tested."""

    @initialize()
    def empty(self) -> None:
        with transaction() as session:
            for table in ("task_leases", "workers", "tasks", "project_usage"):
                session.execute(text(f"DELETE FROM {table}"))
            offers = workers.Capacity(3, 8192)
            self.workers = [workers.register(session, n, ["default"], offers) for n in "ab"]
        self.tasks: list[int] = []
        self.claims: list[Any] = []
        self.stale: list[Any] = []
        self.states: dict[int, str] = {}

    @rule(priority=st.sampled_from([1, 5, 9]), cpus=st.sampled_from([1, 2]), soft=st.booleans())
    def submit(self, priority: int, cpus: int, soft: bool) -> None:
        if (
            sum(not TaskStatus(self.states.get(task, "pending")).is_final for task in self.tasks)
            < 8
        ):
            with transaction() as session:
                task = make_task(
                    session,
                    self.project,
                    priority=priority,
                    scheduling={
                        "cpus": cpus,
                        "preemptible": soft,
                        "max_attempts": MAX_ATTEMPTS,
                        "retry_seconds": 0,
                    },
                )
                self.tasks.append(task.id)

    @rule()
    def claim_at_once(self) -> None:
        """Claim with both workers, twice each, from four threads."""
        found: list[Any] = []

        def work(worker_id: int) -> None:
            with transaction() as session:
                found.append(attempts.claim_next(session, worker_id, ["default"]))

        together(*(partial(work, worker_id) for worker_id in self.workers * 2))
        taken = [claim for claim in found if claim is not None]
        held = {claim.task_id for claim in self.claims}
        assert len({claim.task_id for claim in taken}) == len(taken)
        assert held.isdisjoint(claim.task_id for claim in taken), "it runs already"
        self.claims += taken

    def attempt(self, number: int) -> Any:
        return self.claims[number % len(self.claims)]

    def write(self, action: Callable[[Any], Any]) -> Any:
        with transaction() as session:
            return action(session)

    @rule(number=st.integers(0, 9))
    def heartbeat(self, number: int) -> None:
        if not self.claims:
            return
        claim = self.attempt(number)
        self.write(lambda session: attempts.renew(session, claim))
        wanted = self.write(lambda session: attempts.write_telemetry(session, claim))
        assert wanted in {TaskStatus.RUNNING, TaskStatus.CANCELLING, TaskStatus.PAUSED}

    @rule(
        number=st.integers(0, 9),
        how=st.sampled_from(["completed", "failed", "retry", "release", "pause", "expire"]),
    )
    def end(self, number: int, how: str) -> None:
        if not self.claims:
            return
        claim = self.attempt(number)
        self.claims.remove(claim)
        self.stale.append(claim)
        if how == "expire":
            with transaction() as session:
                assert attempts.expire(session, claim.task_id, claim.fence, "lost")
        elif how in ("completed", "failed"):
            outcome = Outcome(TaskStatus(how), error=None)
            self.write(lambda session: attempts.end_attempt(session, claim, outcome))
        elif how == "retry":
            self.write(lambda session: attempts.retry(session, claim, "once more"))
        elif how == "release":
            self.write(lambda session: attempts.release(session, claim, "stopped"))
        else:
            self.write(lambda session: attempts.pause(session, claim))

    @rule(number=st.integers(0, 9), what=st.sampled_from(["cancel", "pause", "resume"]))
    def ask(self, number: int, what: str) -> None:
        if not self.tasks:
            return
        task_id = self.tasks[number % len(self.tasks)]
        with contextlib.suppress(TaskFinished), transaction() as session:
            task = session.get_one(Task, task_id)
            if what == "cancel":
                service.request_cancel(session, SYSTEM, task)
            else:
                action = service.request_pause if what == "pause" else service.resume
                action(session, SYSTEM, task, project=self.project.uuid)

    @rule(number=st.integers(0, 99))
    def the_dead_come_back(self, number: int) -> None:
        """Check that every write of an attempt that lost its task is rejected."""
        if self.stale:
            self.refused(self.stale[number % len(self.stale)])

    @rule(number=st.integers(0, 9))
    def another_takes_over(self, number: int) -> None:
        """Check the hardest case: a new attempt holds the lease that the old one lost."""
        if not self.claims:
            self.submit(5, 1, False)
            self.claim_at_once()
        if not self.claims:
            return
        lost = self.attempt(number)
        self.end(number, "expire")
        self.claim_at_once()
        if any(claim.task_id == lost.task_id for claim in self.claims):
            self.refused(lost)
            Queue.taken_over += 1

    def refused(self, claim: Any) -> None:
        for action in (
            lambda session: attempts.renew(session, claim),
            lambda session: attempts.write_telemetry(session, claim),
            lambda session: attempts.add_checkpoint(session, claim, 1, []),
            lambda session: attempts.set_ready(session, claim, "unix:/nowhere", "token"),
            lambda session: attempts.pause(session, claim),
            lambda session: attempts.release(session, claim, "stopped"),
            lambda session: attempts.retry(session, claim, "once more"),
            lambda session: attempts.end_attempt(session, claim, Outcome(TaskStatus.COMPLETED)),
        ):
            with pytest.raises(LostLease), transaction() as session:
                action(session)
        # A reaper that read the old lease must not end the new lease, either.
        with transaction() as session:
            assert not attempts.expire(session, claim.task_id, claim.fence, "seen too late")

    @rule(number=st.integers(0, 9), how=st.sampled_from(["completed", "release", "pause"]))
    def the_reaper_comes_in_between(self, number: int, how: str) -> None:
        """End an attempt while the reaper expires its lease; only one of them may take effect."""
        if not self.claims:
            return
        claim = self.attempt(number)
        self.claims.remove(claim)
        self.stale.append(claim)
        accepted: list[str] = []

        def end() -> None:
            with contextlib.suppress(LostLease):
                if how == "completed":
                    outcome = Outcome(TaskStatus.COMPLETED)
                    self.write(lambda session: attempts.end_attempt(session, claim, outcome))
                elif how == "release":
                    self.write(lambda session: attempts.release(session, claim, "stopped"))
                else:
                    self.write(lambda session: attempts.pause(session, claim))
                accepted.append(how)

        def expire() -> None:
            with transaction() as session:
                if attempts.expire(session, claim.task_id, claim.fence, "lost"):
                    accepted.append("expire")

        together(end, expire)
        assert len(accepted) == 1, accepted

    @rule(which=st.integers(0, 1))
    def restart_worker(self, which: int) -> None:
        """Register a worker again, which ends the leases of its predecessor."""
        with transaction() as session:
            mine = {lease.task_id for lease in queries.leases_of(session, self.workers[which])}
            workers.register(session, "ab"[which], ["default"], workers.Capacity(3, 8192))
        for claim in [claim for claim in self.claims if claim.task_id in mine]:
            self.claims.remove(claim)
            self.stale.append(claim)

    @invariant()
    def everything_is_accounted_for(self) -> None:
        if not hasattr(self, "tasks"):
            return
        with transaction() as session:
            rows = {task.id: task for task in session.scalars(select(Task))}
            leases = {lease.task_id: lease for lease in session.scalars(select(TaskLease))}
            ended = session.execute(
                select(TaskAttempt.task_id).where(TaskAttempt.ended_at.is_(None))
            ).scalars()
            copies = session.execute(text("SELECT task_id, waiting FROM task_scheduling")).all()
            assert set(ended) == set(leases), "an attempt is open while its lease is held"
            assert set(rows) == set(self.tasks), "no task is lost"
            for worker_id in self.workers:
                held = [lease for lease in leases.values() if lease.worker_id == worker_id]
                assert sum(lease.cpus for lease in held) <= 3
            running = session.execute(
                text("SELECT COALESCE(sum(running), 0), COALESCE(sum(rate), 0) FROM project_usage")
            ).one()
            usage = sum(lease.cpus for lease in leases.values())
        assert {claim.task_id for claim in self.claims} == set(leases)
        assert running[0] == len(leases)
        assert abs(running[1] - usage) < 1e-6
        for task_id, waiting in copies:
            assert waiting == (rows[task_id].status == "pending")
        for task_id, task in rows.items():
            status = TaskStatus(task.status)
            assert (task_id in leases) == (status in {TaskStatus.RUNNING, TaskStatus.CANCELLING})
            assert status.is_final == (task.completed_at is not None)
            assert task.scheduling.failures <= MAX_ATTEMPTS
            before = TaskStatus(self.states.get(task_id, "pending"))
            assert _reachable(before, status), f"{before} became {status}"
            self.states[task_id] = status


def _reachable(before: TaskStatus, now: TaskStatus) -> bool:
    """Return True if any number of transitions leads from ``before`` to ``now``."""
    seen = {before}
    while more := {step for status in seen for step in TRANSITIONS[status]} - seen:
        seen |= more
    return now in seen


@pytest.mark.slow
def test_queue_behaves_like_its_model(session, project: Project, kind):
    Queue.project, Queue.taken_over = project, 0
    run_state_machine_as_test(
        Queue, settings=settings(max_examples=30, stateful_step_count=30, deadline=None)
    )
    assert Queue.taken_over > 0
