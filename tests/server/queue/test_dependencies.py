"""Tests of tasks that wait for other tasks."""

import inspect
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.references import After
from aiplatform.server.core.audit import SYSTEM
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.execution.service import attempts
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.errors import DependencyFailed
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import queue
from aiplatform.server.queue.service.kinds import Outcome
from tests.conftest import Api
from tests.factories import make_context, make_project, make_task
from tests.server.queue.conftest import NOWHERE, QualitySpec, claim, end, pause, resume, until

Submit = Callable[..., Task]
MakeWorker = Callable[..., int]

CHAIN = text("""
WITH link AS (
    INSERT INTO tasks (uuid, project_id, name, type, status, priority, config)
    SELECT gen_random_uuid(), project_id, 'link ' || number, type, 'pending', 5, config
    FROM tasks CROSS JOIN generate_series(1, :length) number
    WHERE id = :first ORDER BY number
    RETURNING id
), scheduled AS (
    INSERT INTO task_scheduling (task_id, queue, cpus, memory_mb, gpus, blockers, max_attempts)
    SELECT id, 'default', 1, 1, 0, 1, 1 FROM link
)
INSERT INTO task_dependencies (task_id, needs_id, condition)
SELECT id, COALESCE(lag(id) OVER (ORDER BY id), :first), 'ok' FROM link
""")
"""Statement that inserts a chain of tasks, each waiting for the previous one."""


def after(task: Task, condition: str = "ok") -> list[After]:
    return [After(task=task.uuid, condition=condition)]


class TestDependencies:
    @pytest.fixture
    def chained(self, session: Session, project: Project, submit: Submit) -> Submit:
        """Return a function that submits a task that waits for others."""

        def chained(needs: list[After]) -> Task:
            task = queue.submit(
                session, make_context(session, project), QualitySpec(dataset=NOWHERE),
                name="chained", after=needs,
            )  # fmt: skip
            commit(session)
            return task

        return chained

    def test_dependent_task_starts_after_the_other_has_succeeded(
        self, session, submit, chained, make_worker, owner: Api
    ):
        first, worker = submit(), make_worker()
        second = chained(after(first))
        held = claim(session, worker)
        assert held.task_id == first.id
        assert claim(session, worker) is None
        shown = owner.get(f"tasks/{second.uuid}").json()
        assert shown["waiting"]["reason"] == "waits for scripted"
        assert shown["after"][0]["status"] == "running"
        assert shown["position"] is None
        end(session, held)
        assert claim(session, worker).task_id == second.id

    def test_failure_fails_dependent_tasks_along_the_chain_with_the_reason(
        self, session, submit, chained, make_worker
    ):
        first = submit()
        second = chained(after(first))
        third = chained(after(second))
        whatever = chained(after(first, "any"))
        end(session, claim(session, make_worker()), TaskStatus.FAILED)
        session.expire_all()
        assert (second.status, third.status) == ("failed", "failed")
        assert "scripted, which ended as failed" in second.error_message
        assert "chained, which ended as failed" in third.error_message
        assert claim(session, make_worker()).task_id == whatever.id

    def test_task_waiting_for_two_links_of_one_chain_fails_once(
        self, session, submit, chained, make_worker
    ):
        first = submit()
        second = chained(after(first))
        third = chained([*after(first), *after(second)])
        end(session, claim(session, make_worker()), TaskStatus.FAILED)
        session.expire_all()
        assert [one.status for one in (first, second, third)] == ["failed"] * 3

    def test_failure_of_a_long_chain_needs_no_recursion(self, session, submit, make_worker):
        """Set the recursion limit below the number of tasks in the chain."""
        first, worker = submit(), make_worker()
        length = 250
        session.execute(CHAIN, {"first": first.id, "length": length})
        commit(session)
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(len(inspect.stack(0)) + length)
        try:
            end(session, claim(session, worker), TaskStatus.FAILED)
        finally:
            sys.setrecursionlimit(before)
        session.expire_all()
        failed = select(func.count()).where(Task.status == "failed")
        assert session.scalar(failed) == length + 1

    def test_cancelled_task_fails_dependents_that_need_its_success(self, session, submit, chained):
        first = submit()
        second = chained(after(first))
        queue.request_cancel(session, SYSTEM, first)
        commit(session)
        session.refresh(second)
        assert second.status == "failed"

    def test_dependency_on_an_ended_task_is_settled_or_refused(
        self, session, submit, chained, make_worker
    ):
        first, failed = submit(priority=9), submit()
        worker = make_worker()
        end(session, claim(session, worker))
        end(session, claim(session, worker), TaskStatus.FAILED)
        ready = chained([*after(first), *after(failed, "any")])
        assert claim(session, worker).task_id == ready.id
        with pytest.raises(DependencyFailed):
            chained(after(failed))

    def test_task_with_several_dependencies_starts_after_the_last_one(
        self, session, submit, chained, make_worker
    ):
        a, b = submit(), submit()
        last = chained([*after(a), *after(b), *after(b, "any")])
        worker = make_worker()
        held = [claim(session, worker) for _ in range(2)]
        end(session, held[0])
        assert claim(session, worker) is None
        end(session, held[1])
        assert claim(session, worker).task_id == last.id

    def test_dependent_changed_while_it_is_settled_does_not_deadlock(
        self, session, submit, chained, make_worker, project, settled_at_once
    ):
        """Check that both transactions lock the task before they lock its scheduling row."""
        first = submit()
        waiting = chained(after(first))
        claimed = claim(session, make_worker())
        queue.lock(session, waiting.id)
        with settled_at_once(claimed):
            queue.change_status(session, waiting, TaskStatus.PAUSED)
            commit(session)
        session.expire_all()
        assert (first.status, waiting.status) == ("failed", "failed")

    @pytest.fixture
    def settled_at_once(self, session: Session) -> Any:
        """Return a context manager that ends an attempt in a thread.

        The ``with`` block runs once the thread waits for a lock; at its end, the thread is joined.
        """

        @contextmanager
        def settled_at_once(claimed: Any) -> Iterator[None]:
            pids: list[int] = []

            def settle() -> None:
                with transaction() as other:
                    pids.append(other.scalar(text("SELECT pg_backend_pid()")))
                    attempts.end_attempt(other, claimed, Outcome(TaskStatus.FAILED))

            def waits() -> bool:
                held = text("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = :p")
                with transaction() as other:
                    return bool(pids) and bool(other.scalar(held, {"p": pids[0]}))

            with ThreadPoolExecutor() as pool:
                settling = pool.submit(settle)
                until(waits)
                yield
                settling.result(20)

        return settled_at_once

    def test_dependency_on_a_task_of_another_project_is_refused(self, session, submit, chained):
        from aiplatform.server.core.errors import NotFound

        foreign = make_task(session, make_project(session))
        with pytest.raises(NotFound):
            chained(after(foreign))

    def test_resumed_task_still_waits_for_its_dependency(
        self, session, submit, chained, make_worker, project
    ):
        first = submit()
        second = chained(after(first))
        pause(session, second, project)
        resume(session, second, project)
        worker = make_worker()
        assert claim(session, worker).task_id == first.id
        assert claim(session, worker) is None
