"""Fixtures of the access matrix."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.matrix.world import Stage
from tests.openapi_checks import CheckedClient


@pytest.fixture
def stage(client: CheckedClient, session: Session, home: Path) -> Stage:
    """Start the application, which creates its administrator, and return a stage."""
    return Stage(session, home)
