"""Tests of pausing and resuming tasks on request."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import select

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import SYSTEM, AuditLog
from aiplatform.server.core.database import commit
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts
from aiplatform.server.queue.errors import NotPausable, TaskFinished
from aiplatform.server.queue.models import Task, TaskAttempt
from aiplatform.server.queue.service import queue
from tests.conftest import Api
from tests.server.queue.conftest import STOPS, claim, events, pause, resume, until

Submit = Callable[..., Task]
MakeWorker = Callable[..., int]


class TestPause:
    def test_paused_waiting_task_is_taken_out_of_the_queue(
        self, session, submit, make_worker, project
    ):
        task, worker = submit(), make_worker()
        pause(session, task, project)
        assert task.status == "paused"
        assert claim(session, worker) is None
        resume(session, task, project)
        assert claim(session, worker).task_id == task.id

    def test_paused_running_task_writes_a_checkpoint_and_resumes_from_it(
        self, session, submit, make_worker, project, kind
    ):
        task, worker = submit(STOPS), make_worker()
        thread = threading.Thread(target=runner.run_attempt, args=(claim(session, worker),))
        thread.start()
        until(lambda: "running" in events(task))
        pause(session, task, project)
        thread.join(20)
        session.expire_all()
        assert (task.status, task.scheduling.stop_wanted) == ("paused", None)
        assert claim(session, worker) is None
        assert kind.told == ["started", "requeued"]
        assert events(task)[-3:] == ["pause_requested", "checkpoint", "paused"]
        resume(session, task, project)
        runner.run_attempt(claim(session, worker))
        session.expire_all()
        assert (task.status, task.scheduling.result) == ("completed", {"from": "three"})
        outcomes = session.scalars(select(TaskAttempt.outcome).order_by(TaskAttempt.attempt))
        assert list(outcomes)[-2:] == ["paused", "completed"]
        assert task.scheduling.failures == 0

    def test_task_that_ignores_the_pause_is_killed_and_paused(
        self, session, submit, make_worker, project, monkeypatch
    ):
        from aiplatform.server.core.settings import get_settings

        monkeypatch.setenv("AIPLATFORM_CANCEL_GRACE_SECONDS", "0.5")
        get_settings.cache_clear()
        task, worker = (
            submit("""
            import signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            report.event("running")
            time.sleep(60)
            """),
            make_worker(),
        )
        thread = threading.Thread(target=runner.run_attempt, args=(claim(session, worker),))
        thread.start()
        until(lambda: "running" in events(task))
        pause(session, task, project)
        thread.join(20)
        get_settings.cache_clear()
        session.expire_all()
        assert task.status == "paused"

    def test_task_resumed_while_it_stops_is_requeued(self, session, submit, make_worker, project):
        task, worker = submit(), make_worker()
        held = claim(session, worker)
        pause(session, task, project)
        assert attempts.write_telemetry(session, held) is TaskStatus.PAUSED
        commit(session)
        resume(session, task, project)
        attempts.pause(session, held)  # the attempt has already read the pause request
        commit(session)
        assert task.status == "pending"
        assert claim(session, worker).task_id == task.id

    def test_pause_survives_the_loss_of_the_worker(self, session, submit, make_worker, project):
        task, worker = submit(), make_worker()
        held = claim(session, worker)
        pause(session, task, project)
        assert attempts.expire(session, task.id, held.fence, "the worker was lost")
        commit(session)
        session.refresh(task)
        assert task.status == "paused"

    def test_cancel_wins_over_pause(self, session, submit, make_worker, project):
        task, worker = submit(), make_worker()
        held = claim(session, worker)
        pause(session, task, project)
        queue.request_cancel(session, SYSTEM, task)
        commit(session)
        assert attempts.write_telemetry(session, held) is TaskStatus.CANCELLING
        attempts.pause(session, held)
        commit(session)
        assert task.status == "cancelled"
        for change in (pause, resume):
            with pytest.raises(TaskFinished):
                change(session, task, project)

    def test_pause_of_a_serving_task_is_refused(self, session, submit, kind, project, monkeypatch):
        monkeypatch.setattr(type(kind), "serves", True)
        with pytest.raises(NotPausable):
            pause(session, submit(), project)

    def test_pause_and_resume_over_http_are_audited(self, session, submit, owner: Api):
        task = submit()
        assert owner.post(f"tasks/{task.uuid}/pause").json()["status"] == "paused"
        shown = owner.get(f"tasks/{task.uuid}").json()
        assert "paused" in shown["waiting"]["reason"]
        assert owner.post(f"tasks/{task.uuid}/resume").json()["status"] == "pending"
        actions = session.scalars(
            select(AuditLog.action).where(AuditLog.resource_id == str(task.uuid))
        ).all()
        assert {"task:paused", "task:resumed"} <= set(actions)
