"""Fixtures for the access matrix."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.matrix.world import WorldFactory
from tests.openapi_checks import CheckedClient


@pytest.fixture
def worlds(client: CheckedClient, session: Session, home: Path) -> WorldFactory:
    """Start the application, which creates its administrator, and return the factory for worlds."""
    return WorldFactory(session, home)
