"""Fixtures for a project and its users."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.conftest import Api
from tests.matrix.world import World, WorldFactory
from tests.openapi_checks import CheckedClient


@pytest.fixture
def worlds(client: CheckedClient, session: Session, home: Path) -> WorldFactory:
    return WorldFactory(session, home)


@pytest.fixture
def world(worlds: WorldFactory) -> World:
    return worlds.create()


@pytest.fixture
def owner(client: CheckedClient, world: World) -> Api:
    """Return an API client that is signed in as the project's owner."""
    return Api(client, world.tokens["owner"])
