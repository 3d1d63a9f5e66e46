"""Tests that a response ends when the client disconnects or loses access to the deployment."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest
from sqlalchemy import delete, func, update
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import AuthSession, User
from aiplatform.server.inference.models import Deployment, DeploymentRetirement
from aiplatform.server.openai import access
from aiplatform.server.openai.service import routing
from aiplatform.server.projects.models import Project, ProjectPermission
from tests.factories import make_member, make_task
from tests.server.openai.conftest import orders
from tests.server.openai.fake_model_server import FakeModelServer
from tests.server.openai.test_audit import audited

SOON = 2.5
"""Seconds within which a response must end: one, plus a margin for a busy machine."""


@pytest.fixture
def member(session: Session, project: Project) -> User:
    return make_member(session, project, "viewer")


def end_session(session: Session, user: User, deployment: Deployment) -> None:
    session.execute(
        update(AuthSession).where(AuthSession.user_id == user.id).values(ended_at=func.now())
    )


def deactivate(session: Session, user: User, deployment: Deployment) -> None:
    session.execute(update(User).where(User.id == user.id).values(is_active=False))


def leave_project(session: Session, user: User, deployment: Deployment) -> None:
    session.execute(delete(ProjectPermission).where(ProjectPermission.user_id == user.id))


def stop(session: Session, user: User, deployment: Deployment) -> None:
    session.execute(
        update(Deployment)
        .where(Deployment.id == deployment.id)
        .values(status="stopping", endpoint=None, endpoint_token=None)
    )


def replace(session: Session, user: User, deployment: Deployment) -> None:
    session.execute(
        update(Deployment).where(Deployment.id == deployment.id).values(endpoint_token="new")
    )


def remove(session: Session, user: User, deployment: Deployment) -> None:
    session.execute(delete(Deployment).where(Deployment.id == deployment.id))


ENDINGS = [
    (end_session, "auth.access_revoked"),
    (deactivate, "auth.access_revoked"),
    (leave_project, "auth.access_revoked"),
    (stop, "deployment.stopped"),
    (replace, "deployment.stopped"),
    (remove, "deployment.stopped"),
]


@pytest.mark.parametrize(("ending", "code"), ENDINGS)
def test_stream_ends_when_the_right_to_it_ends(
    session: Session,
    sign_in: Callable[..., openai.OpenAI],
    member: User,
    deployment: Deployment,
    model_server: FakeModelServer,
    ending: Callable[..., None],
    code: str,
) -> None:
    stream = sign_in(member).chat.completions.create(
        model=str(deployment.uuid), messages=orders(tokens=1000, delay=0.02), stream=True
    )
    next(iter(stream))
    ending(session, member, deployment)
    session.commit()
    ended = time.monotonic()

    with pytest.raises(openai.APIError) as broken:
        for _ in stream:
            pass
    assert broken.value.code == code
    assert time.monotonic() - ended < SOON
    assert model_server.seen[0].hung_up.wait(SOON)


def retire(session: Session, deployment: Deployment, token: str, project: Project) -> None:
    """Record that the server with this token was replaced and only finishes open responses."""
    former = make_task(session, project)
    session.add(
        DeploymentRetirement(task_id=former.id, deployment_id=deployment.id, endpoint_token=token)
    )


def test_stream_of_replaced_server_is_completed(
    session: Session, chat: openai.OpenAI, deployment: Deployment, project: Project,
    model_server: FakeModelServer,
) -> None:  # fmt: skip
    stream = chat.chat.completions.create(
        model=deployment.name, messages=orders(tokens=160, delay=0.02), stream=True
    )
    next(iter(stream))
    retire(session, deployment, model_server.token, project)
    replace(session, None, deployment)  # type: ignore[arg-type]  # permissions don't matter here
    session.commit()
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text.split()[-1] == "w159"


@pytest.mark.parametrize("stream", [False, True])
def test_request_routed_to_a_replaced_server_goes_to_the_new_one(
    session: Session, chat: openai.OpenAI, deployment: Deployment, model_server: FakeModelServer,
    monkeypatch: pytest.MonkeyPatch, stream: bool,
) -> None:  # fmt: skip
    """Replace the model server and stop the old one after the request was routed."""
    with FakeModelServer("new") as newer:
        routed = routing.choose_target

        def choose_target(rows: Any, model: Any) -> Any:
            target = routed(rows, model)
            session.execute(
                update(Deployment)
                .where(Deployment.id == deployment.id)
                .values(endpoint=newer.endpoint, endpoint_token=newer.token)
            )
            session.commit()
            model_server.die()
            return target

        monkeypatch.setattr(access, "choose_target", choose_target)
        answer: Any = chat.chat.completions.create(
            model=deployment.name, messages=orders(tokens=3), stream=stream
        )
        if stream:
            assert sum(1 for _ in answer) >= 3
        else:
            assert answer.choices[0].message.content == "w0 w1 w2 "
        assert len(newer.seen) == 1


def test_answer_without_stream_ends_when_the_right_to_it_ends(
    session: Session,
    sign_in: Callable[..., openai.OpenAI],
    member: User,
    deployment: Deployment,
    model_server: FakeModelServer,
) -> None:
    def revoke() -> None:
        time.sleep(0.3)
        end_session(session, member, deployment)
        session.commit()

    client = sign_in(member)
    revoking = threading.Thread(target=revoke)
    revoking.start()
    began = time.monotonic()
    with pytest.raises(openai.AuthenticationError) as refused:
        client.chat.completions.create(model=str(deployment.uuid), messages=orders(delay=30))
    revoking.join()
    assert refused.value.code == "auth.access_revoked"
    assert time.monotonic() - began < SOON + 0.3
    assert model_server.seen[0].hung_up.wait(SOON)


def test_expired_access_token_does_not_end_a_stream(
    session: Session, chat: openai.OpenAI, deployment: Deployment
) -> None:
    """Check that a stream outlives its access token while the session continues."""
    from aiplatform.server.identity.access import hash_token
    from aiplatform.server.identity.models import AuthToken

    stream = chat.chat.completions.create(
        model=str(deployment.uuid), messages=orders(tokens=100, delay=0.02), stream=True
    )
    next(iter(stream))
    session.execute(
        update(AuthToken)
        .where(AuthToken.token_hash == hash_token(chat.api_key))
        .values(expires_at=func.now())
    )
    session.commit()
    assert len(list(stream)) == 99
    with pytest.raises(openai.AuthenticationError):
        chat.chat.completions.create(model=str(deployment.uuid), messages=orders())


@pytest.mark.parametrize("what", [{"tokens": 1000, "delay": 0.02}, {"silent": True}])
def test_model_server_stops_when_the_client_leaves(
    chat: openai.OpenAI,
    session: Session,
    server_url: str,
    deployment: Deployment,
    model_server: FakeModelServer,
    what: dict[str, Any],
) -> None:
    with (
        contextlib.suppress(httpx.ReadTimeout),
        httpx.stream(
            "POST",
            f"{server_url}/v1/chat/completions",
            json={"model": str(deployment.uuid), "messages": orders(**what), "stream": True},
            headers={"Authorization": f"Bearer {chat.api_key}"},
            timeout=0.5,
        ) as response,
    ):
        next(response.iter_raw())

    assert model_server.seen[0].hung_up.wait(SOON)
    log, entry = audited(session, deployment)
    assert log.details["reason"] == "client_gone"
    assert entry.outcome == "success"


def test_silent_model_server_times_out(
    chat: openai.OpenAI,
    deployment: Deployment,
    model_server: FakeModelServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aiplatform.server.openai.service.connections.SILENCE_SECONDS", 0.3)
    with pytest.raises(openai.InternalServerError) as refused:
        chat.chat.completions.create(model=str(deployment.uuid), messages=orders(silent=True))
    assert refused.value.status_code == 504
    assert refused.value.code == "deployment.server_timeout"
    assert model_server.seen[0].hung_up.wait(SOON)
