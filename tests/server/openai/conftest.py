"""Fixtures for a deployment served by a fake model server, and for the ``openai`` client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.server.openai.fake_model_server import FakeModelServer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from aiplatform.server.inference.models import Deployment
    from aiplatform.server.projects.models import Project


@pytest.fixture
def model_server() -> Iterator[FakeModelServer]:
    with FakeModelServer() as running:
        yield running


@pytest.fixture
def project(session: Session) -> Project:
    from tests.factories import make_project

    return make_project(session)


@pytest.fixture
def deploy(session: Session, model_server: FakeModelServer) -> Callable[..., Deployment]:
    """Return a function that creates a ready deployment, served by the fake model server."""
    from tests.factories import make_deployment

    def make(project: Project, **columns: Any) -> Deployment:
        served = {
            "status": "ready",
            "endpoint": model_server.endpoint,
            "endpoint_token": model_server.token,
        }
        return make_deployment(session, project, **{**served, **columns})

    return make


@pytest.fixture
def deployment(deploy: Callable[..., Deployment], project: Project) -> Deployment:
    return deploy(project)


@pytest.fixture
def sign_in(session: Session, server_url: str) -> Callable[..., openai.OpenAI]:
    """Return a function that creates an ``openai`` client with a token of the given user."""
    from tests.factories import make_token

    def make(user: Any, **options: Any) -> openai.OpenAI:
        token = "nobody" if user is None else make_token(session, user)
        settings = {"max_retries": 0, "timeout": 20, **options}
        return openai.OpenAI(base_url=f"{server_url}/v1", api_key=token, **settings)

    return make


@pytest.fixture
def owner(session: Session, project: Project) -> Any:
    from aiplatform.server.identity.models import User

    return session.get_one(User, project.owner_id)


@pytest.fixture
def chat(sign_in: Callable[..., openai.OpenAI], owner: Any) -> openai.OpenAI:
    """Return an ``openai`` client signed in as the project's owner."""
    return sign_in(owner)


def orders(**what: Any) -> list[Any]:
    """Return chat messages that tell the fake model server how to respond."""
    return [{"role": "user", "content": json.dumps(what)}]
