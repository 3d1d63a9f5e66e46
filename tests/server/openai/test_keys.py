"""Tests of API keys in the OpenAI-compatible API; responses end when their key becomes invalid."""

import secrets
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest
from sqlalchemy import func, update
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import ApiKey, User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from tests.factories import make_key, make_project
from tests.server.openai.conftest import orders
from tests.server.openai.fake_model_server import FakeModelServer
from tests.server.openai.test_revocation import SOON


@pytest.fixture
def with_key(
    session: Session, server_url: str, owner: User
) -> Callable[..., tuple[openai.OpenAI, ApiKey]]:
    def make(*scopes: str, **options: Any) -> tuple[openai.OpenAI, ApiKey]:
        token = "aip_key_" + secrets.token_urlsafe(32)
        key = make_key(session, owner, *scopes, token=token, **options)
        client = openai.OpenAI(
            base_url=f"{server_url}/v1", api_key=token, max_retries=0, timeout=20
        )
        return client, key

    return make


WithKey = Callable[..., tuple[openai.OpenAI, ApiKey]]


@pytest.mark.parametrize("scope", ["inference:read", "inference:*", "*"])
def test_key_with_the_scope_may_chat_and_its_use_is_recorded(
    session: Session, with_key: WithKey, project: Project, deployment: Deployment, scope: str
) -> None:
    for bound in (None, project):
        client, key = with_key(scope, project=bound)
        assert deployment.name in {model.id for model in client.models.list()}
        answer = client.chat.completions.create(
            model=deployment.name, messages=orders(tokens=2, delay=0)
        )
        assert answer.choices[0].message.content
        session.refresh(key)
        assert key.last_used_at is not None


def test_key_with_other_scopes_or_project_finds_no_model(
    session: Session, with_key: WithKey, owner: User, deployment: Deployment
) -> None:
    other = make_project(session, owner)
    for client, _ in (with_key("datasets:*"), with_key("*", project=other)):
        assert deployment.name not in {model.id for model in client.models.list()}
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=deployment.name, messages=orders())


@pytest.mark.parametrize("ending", ["revoked_at", "expires_at", "scopes", "project_id"])
def test_stream_ends_with_its_key(
    session: Session,
    with_key: WithKey,
    owner: User,
    deployment: Deployment,
    model_server: FakeModelServer,
    ending: str,
) -> None:
    client, key = with_key("inference:read")
    stream = client.chat.completions.create(
        model=deployment.name, messages=orders(tokens=1000, delay=0.02), stream=True
    )
    next(iter(stream))
    values: dict[str, Any] = {"scopes": [], "project_id": make_project(session, owner).id}
    new = values.get(ending, func.clock_timestamp())
    session.execute(update(ApiKey).where(ApiKey.id == key.id).values({ending: new}))
    session.commit()
    ended = time.monotonic()
    with pytest.raises(openai.APIError) as broken:
        for _ in stream:
            pass
    assert broken.value.code == "auth.access_revoked"
    assert time.monotonic() - ended < SOON
    assert model_server.seen[0].hung_up.wait(SOON)
