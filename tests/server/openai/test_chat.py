"""Tests of chats with deployments through the standard ``openai`` client."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import openai
import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from tests.factories import (
    make_deployment,
    make_member,
    make_model,
    make_project,
    make_role,
    make_token,
    make_user,
)
from tests.server.openai.conftest import orders
from tests.server.openai.fake_model_server import FakeModelServer

Deploy = Callable[..., Deployment]
SignIn = Callable[..., openai.OpenAI]


def test_chat_returns_answer_of_the_model_server(
    chat: openai.OpenAI, deployment: Deployment, model_server: FakeModelServer
) -> None:
    answer = chat.chat.completions.create(
        model=deployment.name, messages=orders(tokens=4), temperature=0.5, extra_body={"top_k": 7}
    )

    assert answer.choices[0].message.content == "w0 w1 w2 w3 "
    assert answer.model == deployment.name
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4
    (seen,) = model_server.seen
    assert seen.body["model"] == "model"
    assert (seen.body["temperature"], seen.body["top_k"]) == (0.5, 7)
    assert seen.headers["authorization"] == f"Bearer {model_server.token}"


@pytest.mark.parametrize("halves", [False, True])
def test_chat_streams_events_of_the_model_server(
    chat: openai.OpenAI, deployment: Deployment, model_server: FakeModelServer, halves: bool
) -> None:
    stream = chat.chat.completions.create(
        model=deployment.name,
        messages=orders(tokens=20, halves=halves),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "".join(f"w{i} " for i in range(20))
    assert {c.model for c in chunks} == {deployment.name}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 20


def test_tokens_are_sent_on_as_they_come(chat: openai.OpenAI, deployment: Deployment) -> None:
    began = time.monotonic()
    stream = chat.chat.completions.create(
        model=deployment.name, messages=orders(tokens=5, delay=0.2), stream=True
    )
    arrivals = [time.monotonic() - began for _ in stream]

    assert arrivals[0] < 0.2
    assert arrivals[2] < 0.6
    assert arrivals[-1] >= 0.8


def test_chat_by_uuid_answers_under_the_uuid(chat: openai.OpenAI, deployment: Deployment) -> None:
    name = str(deployment.uuid)
    assert chat.chat.completions.create(model=name, messages=orders()).model == name


def test_chat_with_base_suffix_answers_without_the_adapter(
    chat: openai.OpenAI,
    session: Session,
    project: Project,
    deploy: Deploy,
    model_server: FakeModelServer,
) -> None:
    base = make_model(session, None)
    tuned = make_model(session, project, base_model_id=base.id)
    name = f"{deploy(project, model=tuned).name}:base"

    assert chat.chat.completions.create(model=name, messages=orders()).model == name
    assert model_server.seen[0].body["model"] == "base"


def test_base_model_has_no_base_suffix(chat: openai.OpenAI, deployment: Deployment) -> None:
    with pytest.raises(openai.NotFoundError):
        chat.chat.completions.create(model=f"{deployment.name}:base", messages=orders())


def test_connections_to_the_model_server_are_kept(
    chat: openai.OpenAI, deployment: Deployment, model_server: FakeModelServer
) -> None:
    for stream in (False, True, False, True):
        answer = chat.chat.completions.create(
            model=deployment.name, messages=orders(), stream=stream
        )
        if isinstance(answer, openai.Stream):
            list(answer)
    assert model_server.connections == 1


def test_chat_over_a_stale_connection_succeeds(
    chat: openai.OpenAI, deployment: Deployment, model_server: FakeModelServer
) -> None:
    chat.chat.completions.create(model=deployment.name, messages=orders())
    model_server.hang_up_idle()
    assert chat.chat.completions.create(model=deployment.name, messages=orders()).choices


def collect(stream: Any, into: list[Any]) -> None:
    """Add the chunks of a stream to ``into``, including those received before an error."""
    into.extend(chunk for chunk in stream)


class TestWho:
    """Tests of who may use which deployment."""

    def test_request_without_valid_token_is_refused(
        self, sign_in: SignIn, deployment: Deployment
    ) -> None:
        with pytest.raises(openai.AuthenticationError) as refused:
            sign_in(None).chat.completions.create(model=deployment.name, messages=orders())
        assert refused.value.code == "invalid_api_key"

    def test_malformed_body_without_token_reveals_nothing(self, server_url: str) -> None:
        answer = httpx.post(f"{server_url}/v1/chat/completions", content=b"{")
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"

    def test_expired_token_is_refused(
        self, session: Session, server_url: str, owner: User, deployment: Deployment
    ) -> None:
        token = make_token(session, owner, lifetime=timedelta(seconds=-1))
        client = openai.OpenAI(base_url=f"{server_url}/v1", api_key=token, max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            client.chat.completions.create(model=deployment.name, messages=orders())

    def test_user_who_must_change_the_password_is_refused(
        self, session: Session, sign_in: SignIn, project: Project, deployment: Deployment
    ) -> None:
        user = make_user(session, must_change_password=True)
        make_member(session, project, "developer", user)
        with pytest.raises(openai.PermissionDeniedError) as refused:
            sign_in(user).chat.completions.create(model=deployment.name, messages=orders())
        assert refused.value.code == "auth.password_change_required"

    @pytest.mark.parametrize("role", ["viewer", "developer"])
    def test_member_may_use_deployments_of_the_project(
        self,
        session: Session,
        sign_in: SignIn,
        project: Project,
        deployment: Deployment,
        role: str,
    ) -> None:
        client = sign_in(make_member(session, project, role))
        name = f"{project.name}/{deployment.name}"
        assert client.chat.completions.create(model=name, messages=orders()).choices

    @pytest.mark.parametrize("held", ["inference:*", "*", "inference:read"])
    def test_custom_role_with_the_permission_may_use_deployments(
        self,
        session: Session,
        sign_in: SignIn,
        project: Project,
        deployment: Deployment,
        held: str,
    ) -> None:
        client = sign_in(make_member(session, project, make_role(session, held)))
        name = f"{project.name}/{deployment.name}"
        assert client.chat.completions.create(model=name, messages=orders()).choices

    def test_member_without_the_permission_finds_no_model(
        self, session: Session, sign_in: SignIn, project: Project, deployment: Deployment
    ) -> None:
        role = make_role(session, Permission.MODELS_READ, Permission.INFERENCE_WRITE)
        client = sign_in(make_member(session, project, role))
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model=deployment.name, messages=orders())

    @pytest.mark.parametrize("by", ["name", "uuid"])
    def test_stranger_finds_no_model(
        self, session: Session, sign_in: SignIn, deployment: Deployment, by: str
    ) -> None:
        client = sign_in(make_user(session, role="developer"))
        with pytest.raises(openai.NotFoundError) as refused:
            client.chat.completions.create(model=str(getattr(deployment, by)), messages=orders())
        assert refused.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(str(getattr(deployment, by)))
        assert not client.models.list().data

    def test_administrator_may_use_every_deployment(
        self, session: Session, sign_in: SignIn, deployment: Deployment
    ) -> None:
        client = sign_in(make_user(session, role="admin"))
        project = session.get_one(Project, deployment.project_id)
        name = f"{project.name}/{deployment.name}"
        assert client.chat.completions.create(model=name, messages=orders()).choices


class TestNames:
    """Tests of how the name in a request is resolved to a deployment."""

    def test_name_in_two_own_projects_is_ambiguous(
        self, session: Session, sign_in: SignIn, project: Project, owner: User, deploy: Deploy
    ) -> None:
        mine = deploy(project, name="twice")
        other = make_project(session)
        theirs = make_deployment(session, other, name="twice", status="stopped")
        make_deployment(session, make_project(session), name="twice", status="ready")
        client = sign_in(owner)
        assert client.chat.completions.create(model="twice", messages=orders()).choices

        other.owner_id = owner.id
        session.commit()
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model="twice", messages=orders())
        assert refused.value.code == "chat.ambiguous_model"
        assert str(mine.uuid) in refused.value.message
        assert str(theirs.uuid) in refused.value.message
        assert client.chat.completions.create(model=str(mine.uuid), messages=orders()).choices

    def test_name_that_looks_like_a_uuid_does_not_take_precedence(
        self, session: Session, sign_in: SignIn, owner: User, project: Project, deploy: Deploy
    ) -> None:
        meant = deploy(project)
        make_deployment(session, project, name=str(meant.uuid), status="stopped")
        client = sign_in(owner)
        assert client.chat.completions.create(model=str(meant.uuid), messages=orders()).choices

    @pytest.mark.parametrize("status", ["starting", "stopped", "crashed", "restarting"])
    def test_deployment_that_is_not_ready_is_reported(
        self, chat: openai.OpenAI, deploy: Deploy, project: Project, status: str
    ) -> None:
        name = deploy(project, status=status, endpoint=None, endpoint_token=None).name
        with pytest.raises(openai.InternalServerError) as refused:
            chat.chat.completions.create(model=name, messages=orders())
        assert refused.value.status_code == 503
        assert refused.value.code == "deployment.not_ready"
        assert status in refused.value.message
        assert refused.value.response.headers["retry-after"]


class TestFaults:
    """Tests of the errors that clients get."""

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"{", "not valid JSON"),
            (b"[]", "must be a JSON object"),
            (b'{"messages": [{}]}', "'model'"),
            (b'{"model": 3, "messages": [{}]}', "'model'"),
            (b'{"model": "m", "messages": []}', "'messages'"),
            (b'{"model": "m", "messages": [{}], "stream": 1}', "'stream'"),
            (b'{"model": "m\\u0000", "messages": [{}]}', "does not exist"),
            (b'{"model": "m\\r\\nX: y", "messages": [{}]}', "does not exist"),
        ],
    )
    def test_invalid_body_is_refused(
        self, chat: openai.OpenAI, server_url: str, content: bytes, says: str
    ) -> None:
        answer = httpx.post(
            f"{server_url}/v1/chat/completions",
            content=content,
            headers={"Authorization": f"Bearer {chat.api_key}"},
        )
        assert answer.status_code in {400, 404}
        error = answer.json()["error"]
        assert says in error["message"]
        assert error["type"] == "invalid_request_error"

    def test_error_is_in_chinese_if_requested(self, chat: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as refused:
            chat.chat.completions.create(
                model="none", messages=orders(), extra_headers={"Accept-Language": "zh-CN"}
            )
        assert "不存在" in refused.value.message

    def test_error_of_the_model_server_is_passed_on(
        self, chat: openai.OpenAI, deployment: Deployment
    ) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            chat.chat.completions.create(model=deployment.name, messages=orders(status=400))
        assert refused.value.param == "max_tokens"

    def test_dead_model_server_is_reported(
        self, chat: openai.OpenAI, deployment: Deployment, model_server: FakeModelServer
    ) -> None:
        model_server.die()
        with pytest.raises(openai.InternalServerError) as refused:
            chat.chat.completions.create(model=deployment.name, messages=orders())
        assert refused.value.code == "deployment.server_unavailable"

    def test_model_server_with_another_token_is_reported_as_unavailable(
        self, chat: openai.OpenAI, project: Project, deploy: Deploy
    ) -> None:
        name = deploy(project, endpoint_token="old").name
        with pytest.raises(openai.InternalServerError) as refused:
            chat.chat.completions.create(model=name, messages=orders())
        assert refused.value.code == "deployment.server_unavailable"

    def test_model_server_that_dies_before_the_first_token_is_reported(
        self, chat: openai.OpenAI, deployment: Deployment
    ) -> None:
        with pytest.raises(openai.InternalServerError) as refused:
            chat.chat.completions.create(
                model=deployment.name, messages=orders(die_after=0), stream=True
            )
        assert refused.value.status_code == 503

    def test_model_server_that_dies_during_a_stream_is_reported_as_last_event(
        self, chat: openai.OpenAI, deployment: Deployment
    ) -> None:
        stream = chat.chat.completions.create(
            model=deployment.name, messages=orders(tokens=9, die_after=3, delay=0.02), stream=True
        )
        chunks: list[Any] = []
        with pytest.raises(openai.APIError) as broken:
            collect(stream, chunks)
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["w0 ", "w1 ", "w2 "]
        assert broken.value.code == "deployment.server_unavailable"

    def test_unknown_address_is_reported(self, chat: openai.OpenAI) -> None:
        with pytest.raises(openai.NotFoundError) as refused:
            chat.embeddings.create(model="m", input="text")
        assert "POST /v1/embeddings" in refused.value.message
