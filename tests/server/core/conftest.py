"""Fixtures for the tests of ``server/core``."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core.storage import StoredFile, store_file
from tests.factories import number
from tests.server.core.blobs import StoreBlob


@pytest.fixture
def store_blob(session: Session, tmp_path: Path) -> StoreBlob:
    """Return a function that stores a blob, by default with new content, and commits."""

    def store_blob(content: bytes | None = None, path: str = "file") -> StoredFile:
        content = f"content {number()}".encode() if content is None else content
        source = tmp_path / f"source{number()}"
        source.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        store_file(session, source, sha256, len(content))
        session.commit()
        return StoredFile(path, sha256, len(content))

    return store_blob


FailAtCommit = Callable[[Session], None]


@pytest.fixture
def fail_at_commit(owner_url: str) -> FailAtCommit:
    """Return a function whose writes fail only at the commit, due to a deferred constraint."""
    with psycopg.connect(owner_url) as owner:
        owner.execute(
            "CREATE TABLE IF NOT EXISTS late (a int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
            "GRANT INSERT ON late TO PUBLIC"
        )

    def fail_at_commit(session: Session) -> None:
        session.execute(text("INSERT INTO late VALUES (1), (1)"))

    return fail_at_commit
