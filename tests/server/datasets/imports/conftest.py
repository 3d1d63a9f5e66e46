"""Fixtures that import rows from a server on this machine, with the real runner and runtime."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.client import Task
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.projects.models import Project
from tests.conftest import Api, environment
from tests.factories import number
from tests.fake_remote_server import FakeRemoteServer, fake_remote_server
from tests.server.datasets.conftest import jsonl

Ask = Callable[..., Any]
RunTask = Callable[..., dict[str, Any]]
ROWS = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(3000)]


@pytest.fixture
def there() -> Iterator[FakeRemoteServer]:
    with fake_remote_server() as server, environment(AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8"):
        server.files["/rows.jsonl"] = jsonl(ROWS)
        yield server


@pytest.fixture(autouse=True)
def _empty_queue(session: Session) -> Iterator[None]:
    """Clear the task queue before and after each test."""
    _clear(session)
    yield
    session.rollback()
    _clear(session)


def _clear(session: Session) -> None:
    for table in ("task_leases", "workers", "tasks", "project_usage"):
        session.execute(text(f"DELETE FROM {table}"))
    session.commit()


@pytest.fixture
def ask(mine: Api, project: Project) -> Callable[..., Any]:
    """Return a function that requests an import and returns the response."""

    def ask(source: dict[str, Any], *, as_user: Api | None = None, **body: Any) -> Any:
        if "dataset" not in body:
            body.setdefault("name", f"dataset {number()}")
        path = f"projects/{project.uuid}/dataset-imports"
        return (as_user or mine).post(path, json={"source": source, **body})

    return ask


@pytest.fixture
def run(session: Session, mine: Api, home: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that runs a task on a worker and returns the ended task.

    The task is given as the API's response to its submission, or as the SDK's task object.
    """

    def run(answer: Any, beside: Callable[[str], None] | None = None) -> dict[str, Any]:
        if isinstance(answer, Task):
            uuid = str(answer.uuid)
        else:
            assert answer.status_code == 202, answer.text
            uuid = answer.json()["uuid"]
        worker = workers.register(session, "w1", ("default",), workers.Capacity(4, 8192, (), ()))
        commit(session)
        claim = attempts.claim_next(session, worker, ["default"])
        commit(session)
        assert claim is not None
        assert str(claim.task_uuid) == uuid
        helper = threading.Thread(target=beside or (lambda _: None), args=(uuid,))
        helper.start()
        runner.run_attempt(claim)
        helper.join()
        ended: dict[str, Any] = mine.get(f"tasks/{uuid}").json()
        return ended

    return run


def url(there: FakeRemoteServer, path: str = "/rows.jsonl") -> dict[str, Any]:
    return {"kind": "url", "url": there.url + path}


def delete_quality_reports() -> None:
    """Delete all quality report tasks, so that the import is next in the queue."""
    with transaction() as session:
        session.execute(text("DELETE FROM tasks WHERE type = 'data_quality'"))
