"""Tests with the ``openai`` client, the API, the runtime's model server and a tiny real model."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import openai
import pytest

from aiplatform.protocol.messages import Job, ServingAddress
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project
from tests.runtime.harness import Runner
from tests.server.openai.test_chat import collect

pytestmark = pytest.mark.slow
QUESTION: list[Any] = [{"role": "user", "content": "Hello, how are you?"}]


@pytest.fixture
def runner() -> Iterator[Runner]:
    pytest.importorskip("torch")
    from tests.tiny_model import make_tiny_model

    with tempfile.TemporaryDirectory(prefix="aip-real-") as name:
        directory = Path(name)
        job = Job(
            task=uuid4(),
            attempt=1,
            spec=InferenceSpec(model=uuid4(), max_length=256),
            inputs={"model": str(make_tiny_model(directory / "model"))},
            output_dir=str(directory / "output"),
            checkpoint_dir=str(directory / "checkpoints"),
            serving=ServingAddress(socket=str(directory / "s"), host=None, token="secret"),
        )
        with Runner.of_job(job, directory, HOME=name) as running:
            running.wait_for("ready", 120)
            yield running


@pytest.fixture
def name(runner: Runner, deploy: Callable[..., Deployment], project: Project) -> str:
    """Return the name of a deployment that the real runtime serves."""
    endpoint = runner.of_type("ready")[0]["endpoint"]
    return deploy(project, endpoint=endpoint, endpoint_token="secret").name


def test_real_model_server_answers_streams_and_refuses(chat: openai.OpenAI, name: str) -> None:
    options: Any = {"model": name, "messages": QUESTION, "max_tokens": 12, "temperature": 0}
    whole = chat.chat.completions.create(**options)
    assert whole.model == name
    assert whole.usage is not None
    assert whole.usage.completion_tokens <= 12

    stream = chat.chat.completions.create(
        **options, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {name}
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage

    with pytest.raises(openai.BadRequestError) as refused:
        chat.chat.completions.create(**{**options, "temperature": -1})
    assert refused.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as refused:
        chat.chat.completions.create(
            **{**options, "messages": [{"role": "user", "content": "long " * 500}]}
        )
    assert refused.value.code == "context_length_exceeded"


def test_abandoned_streams_free_the_model_server(
    chat: openai.OpenAI, name: str, runner: Runner
) -> None:
    options: Any = {"model": name, "messages": QUESTION, "temperature": 1}
    for _ in range(30):
        stream = chat.chat.completions.create(**options, stream=True)
        next(iter(stream))
        stream.close()
    assert chat.chat.completions.create(**options, max_tokens=3).choices


def test_killed_model_server_is_reported(chat: openai.OpenAI, name: str, runner: Runner) -> None:
    stream = chat.chat.completions.create(
        model=name,
        messages=QUESTION,
        max_tokens=230,
        stream=True,
    )
    next(iter(stream))
    os.kill(runner.received[0]["pid"], signal.SIGKILL)
    with pytest.raises(openai.APIError) as broken:
        collect(stream, [])
    assert broken.value.code == "deployment.server_unavailable"
    with pytest.raises(openai.InternalServerError):
        chat.chat.completions.create(model=name, messages=QUESTION)
