"""What the matrix stands on."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.described import CheckedClient
from tests.matrix.world import Stage


@pytest.fixture
def stage(client: CheckedClient, session: Session, home: Path) -> Stage:
    """Makes projects and people; the application has started and made its administrator."""
    return Stage(session, home)
