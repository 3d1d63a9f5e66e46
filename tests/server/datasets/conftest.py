"""Fixtures for a project whose owner uploads datasets."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.data.blobs import hash_file
from aiplatform.data.ingest import ingest as read
from aiplatform.server.core.database import commit
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import Spooled
from aiplatform.server.core.storage import Blob, BlobRef
from aiplatform.server.datasets import service
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.datasets.service import Upload
from aiplatform.server.datasets.service.ingest import Ingested
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_context, make_project, make_user, number

CHAT = [
    {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": f"Hi {i}"}]}
    for i in range(5)
]


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


@pytest.fixture
def owner(session: Session) -> User:
    return make_user(session)


@pytest.fixture
def project(session: Session, owner: User) -> Project:
    return make_project(session, owner)


@pytest.fixture
def mine(api: Callable[[User | None], Api], owner: User) -> Api:
    """Return an API client signed in as the project's owner."""
    return api(owner)


@pytest.fixture
def upload(mine: Api, project: Project) -> Callable[..., Any]:
    """Return a function that uploads a dataset and returns the response."""

    def upload(content: bytes = jsonl(CHAT), **params: Any) -> Any:
        headers = params.pop("headers", {})
        params.setdefault("name", f"dataset {number()}")
        params.setdefault("filename", "rows.jsonl")
        return mine.post(
            f"projects/{project.uuid}/datasets", params=params, content=content, headers=headers
        )

    return upload


def make_upload(directory: Path, content: bytes = jsonl(CHAT)) -> Upload:
    """Return an upload as the service receives it, without HTTP and without a child process."""
    directory.mkdir(exist_ok=True)
    source, output = directory / "upload", directory / "rows.parquet"
    source.write_bytes(content)
    found = read(source, output, filename="rows.jsonl")
    facts = {key: found.pop(key) for key in ("sha256", "size", "rows", "format", "shape")}
    ingested = Ingested(path=output, columns=found.pop("columns"), found=found, **facts)
    return Upload("rows.jsonl", Spooled(source, *hash_file(source)), ingested)


@pytest.fixture
def stored(session: Session, project: Project, tmp_path: Path) -> Callable[..., Dataset]:
    """Return a function that creates a dataset by calling the service directly."""

    def stored(content: bytes = jsonl(CHAT), **options: Any) -> Dataset:
        dataset = service.create_dataset(
            session,
            make_context(session, project),
            name=options.get("name", f"dataset {number()}"),
            upload=make_upload(tmp_path, content),
        )
        commit(session)
        return dataset

    return stored


@pytest.fixture
def dataset(stored: Callable[..., Dataset], mine: Api) -> dict[str, Any]:
    """Create a dataset with five chats and return its description from the API."""
    shown: dict[str, Any] = mine.get(f"datasets/{stored().uuid}").json()
    return shown


@pytest.fixture
def stored_state(session: Session, home: Path) -> Callable[[], dict[str, Any]]:
    """Return a function that reads the state that uploads change: row counts and stored files."""

    def stored_state() -> dict[str, Any]:
        session.rollback()
        return {
            "datasets": session.scalar(select(func.count()).select_from(Dataset)),
            "blobs": session.scalar(select(func.count()).select_from(Blob)),
            "references": session.scalar(select(func.count()).select_from(BlobRef)),
            "stored": sorted(p.name for p in (home / "blobs").rglob("*") if p.is_file()),
            "spooled": sorted(p.name for p in get_settings().spool_dir.glob("*")),
        }

    return stored_state


@pytest.fixture
def empty_spool() -> None:
    for path in get_settings().spool_dir.glob("upload-*"):
        path.unlink()
