"""Tests of retries, both automatic and requested, and of time limits."""

import errno
from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.references import After
from aiplatform.protocol.specs import QualitySpec
from aiplatform.server.core.database import commit
from aiplatform.server.execution import runner
from aiplatform.server.execution.rules import is_transient, wait_before_retry
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import queue
from tests.conftest import Api
from tests.factories import make_context
from tests.server.queue.conftest import NOWHERE, claim, end

Submit = Callable[..., Task]
MakeWorker = Callable[..., int]


class TestRetries:
    def test_wait_before_retry_doubles_up_to_an_hour(self):
        assert [wait_before_retry(10, n) for n in (1, 2, 3)] == [10, 20, 40]
        assert wait_before_retry(10, 19) == 3600
        assert wait_before_retry(0, 5) == 0

    def test_temporary_errors_are_curable_and_lasting_ones_are_not(self):
        assert is_transient(OSError(errno.ENOSPC, "full"))
        assert is_transient(ConnectionResetError())
        assert is_transient(TimeoutError())
        assert not is_transient(FileNotFoundError(errno.ENOENT, "gone"))
        assert not is_transient(PermissionError(errno.EACCES, "no"))

    def test_attempt_on_a_full_disk_is_retried(self, session, submit, make_worker, monkeypatch):
        from aiplatform.server.execution.runner.attempt import Attempt

        def full(_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        task = submit()
        monkeypatch.setattr(Attempt, "_lay_out", full)
        runner.run_attempt(claim(session, make_worker()))
        session.expire_all()
        assert (task.status, task.scheduling.failures) == ("pending", 1)
        assert task.scheduling.not_before is not None

    def test_task_beyond_its_time_limit_fails(self, session, submit, make_worker):
        task = submit("import time; time.sleep(60)", time_limit_seconds=1)
        runner.run_attempt(claim(session, make_worker()))
        session.expire_all()
        assert task.status == "failed"
        assert "time limit of 1 s" in task.error_message

    def test_failed_tasks_are_listed_as_dead_until_they_are_retried(
        self, session, submit, make_worker, owner: Api, project
    ):
        task, worker = submit(), make_worker()
        end(session, claim(session, worker), TaskStatus.FAILED)
        path = f"projects/{project.uuid}/tasks"
        assert [t["uuid"] for t in owner.get(path, params={"dead": True}).json()["items"]] == [
            str(task.uuid)
        ]
        again = owner.post(f"tasks/{task.uuid}/retry")
        assert (again.status_code, again.json()["retry_of"]) == (202, str(task.uuid))
        assert again.json()["config"] == owner.get(f"tasks/{task.uuid}").json()["config"]
        assert owner.get(path, params={"dead": True}).json()["items"] == []
        assert owner.post(f"tasks/{task.uuid}/retry").json()["code"] == "task.not_retriable"
        new = again.json()["uuid"]
        assert owner.post(f"tasks/{new}/retry").json()["code"] == "task.not_retriable"


class TestRetriesOfDependentTasks:
    @pytest.fixture
    def chained(self, session: Session, project: Project, submit: Submit) -> Submit:
        """Return a function that submits a task that waits for other tasks."""

        def chained(*needs: Task, condition: str = "ok") -> Task:
            task = queue.submit(
                session, make_context(session, project), QualitySpec(dataset=NOWHERE),
                name="chained", after=[After(task=one.uuid, condition=condition) for one in needs],
            )  # fmt: skip
            commit(session)
            return task

        return chained

    def test_retry_waits_for_the_newest_retry_of_its_dependency(
        self, session, submit, chained, make_worker, owner: Api
    ):
        first, worker = submit(), make_worker()
        second = chained(first)
        end(session, claim(session, worker), TaskStatus.FAILED)
        again = owner.post(f"tasks/{first.uuid}/retry").json()
        end(session, claim(session, worker), TaskStatus.FAILED)
        newest = owner.post(f"tasks/{again['uuid']}/retry").json()
        retried = owner.post(f"tasks/{second.uuid}/retry").json()
        shown = owner.get(f"tasks/{retried['uuid']}").json()
        assert [need["task"] for need in shown["after"]] == [newest["uuid"]]
        held = claim(session, worker)
        assert str(held.task_uuid) == newest["uuid"]
        assert claim(session, worker) is None
        end(session, held)
        assert str(claim(session, worker).task_uuid) == retried["uuid"]

    def test_retry_does_not_wait_for_a_dependency_that_succeeded(
        self, session, submit, chained, make_worker, owner: Api
    ):
        fine, worker = submit(), make_worker()
        second = chained(fine)
        for status in (TaskStatus.COMPLETED, TaskStatus.FAILED):
            end(session, claim(session, worker), status)
        retried = owner.post(f"tasks/{second.uuid}/retry").json()
        shown = owner.get(f"tasks/{retried['uuid']}").json()
        assert [need["status"] for need in shown["after"]] == ["completed"]
        assert str(claim(session, worker).task_uuid) == retried["uuid"]

    def test_retry_is_refused_until_its_failed_dependency_is_retried(
        self, session, submit, chained, make_worker, owner: Api
    ):
        first, worker = submit(), make_worker()
        second, whenever = chained(first), chained(first, condition="any")
        for _ in range(2):
            end(session, claim(session, worker), TaskStatus.FAILED)
        refused = owner.post(f"tasks/{second.uuid}/retry")
        assert (refused.status_code, refused.json()["code"]) == (409, "task.dependency_failed")
        assert refused.json()["task"] == str(first.uuid)
        assert "Retry it first" in refused.json()["detail"]
        assert owner.post(f"tasks/{whenever.uuid}/retry").status_code == 202
