"""What the matrix stands on."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from tests.matrix.world import Stage


@pytest.fixture
def stage(client: TestClient, session: Session, home: Path) -> Stage:
    """Makes projects and people; the application has started and made its administrator."""
    return Stage(session, home)
