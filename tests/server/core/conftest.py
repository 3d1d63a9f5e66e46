"""Fixtures of the core's tests."""

import hashlib
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from aiplatform.server.core.storage import StoredFile, keep
from tests.factories import number
from tests.server.core.blobs import Keep


@pytest.fixture
def stored(session: Session, tmp_path: Path) -> Keep:
    """Keep some content (by default something new) and commit."""

    def stored(content: bytes | None = None, path: str = "file") -> StoredFile:
        content = f"content {number()}".encode() if content is None else content
        source = tmp_path / f"source{number()}"
        source.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        keep(session, source, sha256, len(content))
        session.commit()
        return StoredFile(path, sha256, len(content))

    return stored
