"""What the matrix ends with."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from tests.matrix.asking import TALLY
from tests.matrix.world import Stage


@pytest.fixture
def stage(client: TestClient, session: Session, home: Path) -> Stage:
    """Makes projects and people; the application has started and made its administrator."""
    return Stage(session, home)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The last line: what was asked, and how often an answer went to somebody it is not for."""
    if TALLY.cases and config.getoption("verbose", 0) <= 0:
        print(TALLY)  # noqa: T201  (the figure that the run is for)
