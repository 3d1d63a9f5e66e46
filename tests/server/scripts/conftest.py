"""Fixtures for a platform that allows scripts, and for a worker with the real runtime."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.execution import runner
from aiplatform.server.execution.service import attempts, workers
from aiplatform.server.execution.service.workers import Capacity
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from tests.conftest import Api, environment
from tests.factories import make_project, number

PREFIX = "/usr" if Path("/usr/bin/python3").exists() else sys.prefix


@pytest.fixture(autouse=True)
def allowed(client: Any) -> Iterator[None]:
    with environment(AIPLATFORM_SCRIPTS="true", AIPLATFORM_SCRIPT_ENVIRONMENTS=f"plain={PREFIX}"):
        yield


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def mine(api: Callable[[User | None], Api], session: Session, project: Project) -> Api:
    return api(session.get_one(User, project.owner_id))


def packed(**files: str) -> bytes:
    """Return a bundle with the given files; ``_`` in a file name stands for a dot."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("_", "."))
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


@pytest.fixture
def bundle(mine: Api, project: Project) -> Callable[..., Any]:
    """Return a function that uploads code and returns the response."""

    def bundle(content: bytes | None = None, name: str = "code", **files: str) -> Any:
        return mine.post(
            f"projects/{project.uuid}/bundles",
            params={"name": name},
            content=packed(**files) if content is None else content,
        )

    return bundle


@pytest.fixture
def submit(mine: Api, project: Project) -> Callable[..., Any]:
    """Return a function that queues a script and returns the response."""

    def submit(bundle: str, **spec: Any) -> Any:
        spec = {"environment": "plain", "command": ["python3", "main.py"], **spec}
        body = {"name": "script", "spec": {"type": "script", "bundle": bundle, **spec}}
        return mine.post(f"projects/{project.uuid}/tasks", json=body)

    return submit


@pytest.fixture
def run(session: Session) -> Callable[[], Task]:
    """Return a function that runs the next queued script to its end and returns its task."""

    def run() -> Task:
        offers = Capacity(4, 8192, (), ("script:plain",))
        with transaction() as own:
            worker = workers.register(own, f"scripts{number()}", ["default"], offers)
        with transaction() as own:
            claim = attempts.claim_next(own, worker, ["default"])
        assert claim is not None
        runner.run_attempt(claim)
        session.expire_all()
        return session.get_one(Task, claim.task_id)

    return run
