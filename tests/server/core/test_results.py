"""Tests of Celery results, which are stored in a table defined by the schema contract."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from billiard.exceptions import WorkerLostError
from celery import states
from celery.contrib.testing.worker import start_worker
from celery.result import AsyncResult
from sqlalchemy.orm import Session

from aiplatform.server.core.broker import CHORES, get_celery
from aiplatform.server.core.database import transaction
from aiplatform.server.core.results import CeleryTask, DatabaseBackend, fail_lost_invocations

REQUEST = SimpleNamespace(
    task="aiplatform.test", args=[1, float("nan")], kwargs={"text": "a\x00b"}, hostname="w@host"
)


@pytest.fixture
def backend(database_url: str) -> DatabaseBackend:
    return DatabaseBackend(app=get_celery())


def row(session: Session, task_id: str) -> CeleryTask:
    session.rollback()
    return session.get_one(CeleryTask, task_id, populate_existing=True)


class TestBackend:
    def test_start_and_success_are_stored(self, session: Session, backend: DatabaseBackend) -> None:
        task_id = str(uuid4())
        backend.store_result(task_id, {"pid": 1}, states.STARTED, request=REQUEST)
        started = row(session, task_id)
        assert (started.name, started.worker) == ("aiplatform.test", "w@host")
        assert (started.status, started.result) == ("STARTED", None)
        assert started.args == [1, "NaN"]
        assert started.kwargs == {"text": "a\ufffdb"}
        assert started.started_at is not None
        time.sleep(0.02)
        backend.store_result(task_id, {"answer": 42}, states.SUCCESS, request=REQUEST)
        done = row(session, task_id)
        assert (done.status, done.result) == ("SUCCESS", {"answer": 42})
        assert done.completed_at is not None
        assert done.runtime is not None
        assert 0.02 <= done.runtime < 10
        assert done.expires_at is not None
        meta = backend.get_task_meta(task_id)
        assert (meta["status"], meta["result"]) == ("SUCCESS", {"answer": 42})

    def test_times_are_in_order(self, session: Session, backend: DatabaseBackend) -> None:
        task_id, ended_only = str(uuid4()), str(uuid4())
        backend.store_result(task_id, None, states.STARTED, request=REQUEST)
        backend.store_result(task_id, 1, states.SUCCESS, request=REQUEST)
        backend.store_result(ended_only, 1, states.SUCCESS, request=REQUEST)
        done = row(session, task_id)
        assert done.started_at is not None
        assert done.completed_at is not None
        assert done.created_at <= done.started_at <= done.completed_at
        short = row(session, ended_only)
        assert short.completed_at is not None
        assert short.created_at <= short.completed_at

    @pytest.mark.parametrize("name", ["lost", "w@lost"])
    def test_end_lost_fails_unfinished_invocations_of_worker(
        self, session: Session, backend: DatabaseBackend, name: str
    ) -> None:
        worker = f"{name}{uuid4().hex}"
        told = worker if "@" in worker else f"celery@{worker}"
        theirs, other, done = (str(uuid4()) for _ in range(3))
        for task_id, host in ((theirs, told), (other, "celery@alive"), (done, told)):
            request = SimpleNamespace(task="t", args=[], kwargs={}, hostname=host)
            backend.store_result(task_id, None, states.STARTED, request=request)
        backend.store_result(done, 1, states.SUCCESS)
        with transaction() as own:
            assert fail_lost_invocations(own, worker) == 1
        failed = row(session, theirs)
        assert failed.status == "FAILURE"
        assert failed.started_at is not None
        assert failed.completed_at is not None
        assert failed.created_at <= failed.started_at <= failed.completed_at
        assert failed.expires_at is not None
        assert row(session, other).status == "STARTED"
        assert row(session, done).status == "SUCCESS"
        with pytest.raises(WorkerLostError, match=worker):
            AsyncResult(theirs, backend=backend).get(timeout=5)
        # A worker that had only been disconnected reports the real result later.
        backend.store_result(theirs, 2, states.SUCCESS)
        assert row(session, theirs).status == "SUCCESS"

    def test_failure_keeps_traceback(self, session: Session, backend: DatabaseBackend) -> None:
        task_id = str(uuid4())
        backend.store_result(
            task_id, ValueError("wrong \x00"), states.FAILURE, traceback="a\x00b", request=REQUEST
        )
        failed = row(session, task_id)
        assert failed.status == "FAILURE"
        assert failed.traceback == "a\ufffdb"
        assert failed.result["exc_type"] == "ValueError"
        with pytest.raises(ValueError, match="wrong"):
            AsyncResult(task_id, backend=backend).get(timeout=5)

    @pytest.mark.parametrize("result", [None, 0, "", [], {}, [None]])
    def test_empty_result_is_stored(
        self, session: Session, backend: DatabaseBackend, result: Any
    ) -> None:
        task_id = str(uuid4())
        backend.store_result(task_id, result, states.SUCCESS, request=REQUEST)
        assert row(session, task_id).result == result

    def test_late_start_does_not_overwrite_success(
        self, session: Session, backend: DatabaseBackend
    ) -> None:
        task_id = str(uuid4())
        backend.store_result(task_id, 1, states.SUCCESS, request=REQUEST)
        backend.store_result(task_id, {"pid": 1}, states.STARTED, request=REQUEST)
        assert (row(session, task_id).status, row(session, task_id).result) == ("SUCCESS", 1)

    def test_result_without_request_keeps_name_and_worker(
        self, session: Session, backend: DatabaseBackend
    ) -> None:
        task_id = str(uuid4())
        backend.store_result(task_id, None, states.STARTED, request=REQUEST)
        backend.store_result(task_id, 1, states.SUCCESS, request=None)
        assert (row(session, task_id).name, row(session, task_id).worker) == (
            "aiplatform.test", "w@host",
        )  # fmt: skip

    def test_long_names_are_cut(self, session: Session, backend: DatabaseBackend) -> None:
        task_id = str(uuid4())
        request = SimpleNamespace(task="t" * 300, args=None, kwargs=None, hostname="h" * 300)
        backend.store_result(task_id, 1, states.SUCCESS, request=request)
        assert len(row(session, task_id).worker or "") == 100
        assert len(row(session, task_id).name) == 255

    def test_unknown_task_is_pending_and_forget_deletes(
        self, session: Session, backend: DatabaseBackend
    ) -> None:
        task_id = str(uuid4())
        assert backend.get_task_meta(task_id)["status"] == "PENDING"
        backend.store_result(task_id, 1, states.SUCCESS, request=REQUEST)
        backend.forget(task_id)
        assert session.get(CeleryTask, task_id) is None

    def test_cleanup_deletes_expired_results(
        self, session: Session, backend: DatabaseBackend
    ) -> None:
        old, young = str(uuid4()), str(uuid4())
        for task_id, expires in ((old, -1), (young, 3600)):
            backend.expires = expires
            backend.store_result(task_id, 1, states.SUCCESS, request=REQUEST)
        backend.cleanup()
        assert session.get(CeleryTask, old) is None
        assert session.get(CeleryTask, young) is not None


@pytest.mark.usefixtures("broker")
class TestWithWorker:
    @pytest.fixture
    def worker(self) -> Iterator[Any]:
        app = get_celery()

        @app.task(name="tests.double")
        def double(number: int) -> int:
            return number * 2

        @app.task(name="tests.fail")
        def fail() -> None:
            raise LookupError("nothing there")

        with start_worker(app, perform_ping_check=False, pool="solo", queues=[CHORES]):
            yield app

    def test_worker_records_success_and_failure(self, session: Session, worker: Any) -> None:
        good = worker.send_task("tests.double", args=[21], queue=CHORES)
        bad = worker.send_task("tests.fail", queue=CHORES)
        assert good.get(timeout=20) == 42
        with pytest.raises(LookupError, match="nothing there"):
            bad.get(timeout=20)
        done, failed = row(session, good.id), row(session, bad.id)
        assert (done.name, done.status, done.args) == ("tests.double", "SUCCESS", [21])
        assert done.worker is not None
        assert done.runtime is not None
        assert done.started_at is not None
        assert (failed.name, failed.status) == ("tests.fail", "FAILURE")
        assert "LookupError" in (failed.traceback or "")
