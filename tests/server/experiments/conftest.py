"""Fixtures for a project with a base model and datasets, and a worker controlled by tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.models import Dataset, QualityReport
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_dataset,
    make_model,
    make_project,
    make_version,
    number,
)
from tests.server.experiments.manual_worker import ManualWorker


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def owner(session: Session, project: Project) -> User:
    return session.get_one(User, project.owner_id)


@pytest.fixture
def owner_api(api: Callable[[User | None], Api], owner: User) -> Api:
    return api(owner)


@pytest.fixture
def manual_worker(client: Any) -> ManualWorker:
    return ManualWorker(f"queue{number()}")


@pytest.fixture
def rows(session: Session, tmp_path: Any) -> Callable[[str], StoredFile]:
    """Return a function that stores text as the rows file of a dataset version."""
    from aiplatform.server.datasets.rules import ROWS_PATH

    return lambda text: make_blob(session, text.encode(), ROWS_PATH, tmp_path)


@pytest.fixture
def made(session: Session, tmp_path: Any) -> list[StoredFile]:
    """Return stored files like those that a training task leaves in its output."""
    contents = {
        "adapter/adapter_model.safetensors": b"adapter",
        "weights/model.safetensors": b"merged",
        "README.md": b"# A tuned model",
    }
    return [make_blob(session, content, path, tmp_path) for path, content in contents.items()]


@pytest.fixture
def base(session: Session, tmp_path: Any) -> Model:
    files = [make_blob(session, b"base weights", "weights/model.safetensors", tmp_path)]
    return make_model(session, None, name=f"base{number()}", files=files, license="apache-2.0")


@pytest.fixture
def dataset(
    session: Session, project: Project, rows: Callable[[str], StoredFile], held_out: Dataset
) -> Dataset:
    """Create a dataset whose quality report compares it with the held-out rows."""
    dataset = make_dataset(session, project)
    version = make_version(session, dataset, file=rows("one"))
    compared = {"dataset": str(held_out.uuid), "label": "held-out@v1", "role": "evaluation"}
    report = {"score": 100, "findings": [], "compared_with": [compared]}
    session.add(QualityReport(version_id=version.id, report=report))
    session.commit()
    return dataset


@pytest.fixture
def held_out(session: Session, project: Project, rows: Callable[[str], StoredFile]) -> Dataset:
    dataset = make_dataset(session, project)
    make_version(session, dataset, file=rows("held out"))
    return dataset


@pytest.fixture
def config(
    base: Model, dataset: Dataset, held_out: Dataset, manual_worker: ManualWorker
) -> dict[str, Any]:
    """Return a minimal config for an experiment."""
    return {
        "base_model": str(base.uuid),
        "dataset": {"dataset": str(dataset.uuid)},
        "eval_dataset": {"dataset": str(held_out.uuid)},
        "output_name": "faq",
        "queue": manual_worker.queue,
    }


@pytest.fixture
def create(owner_api: Api, project: Project, config: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that creates an experiment over HTTP."""

    def make(name: str = "an experiment", **changes: Any) -> Any:
        body = {"name": name, "config": {**config, **changes}}
        return owner_api.post(f"projects/{project.uuid}/experiments", json=body)

    return make
