"""Tests of the ``llama_cpp`` engine on the whole platform: from a base model to JSON answers."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import BadRequestError, OpenAI

from aiplatform import Client
from aiplatform.client.errors import ApiError
from aiplatform.client.models import Model
from tests.e2e.conftest import Platform, running_platform

pytestmark = pytest.mark.slow
pytest.importorskip("xllamacpp")

QUESTION = [{"role": "user", "content": "Who are you?"}]
SCHEMA = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
FORM = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a stand-in for ``llama-server`` that records each start in a file next to it."""
    program = tmp_path_factory.mktemp("operator") / "my-llama-server"
    program.write_text(
        f'#!/bin/sh\necho "$$" >>"$0.started"\n'
        f'exec {sys.executable} -m aiplatform.runtime.serving.llama_server "$@"\n'
    )
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def platform(program: Path) -> Iterator[Platform]:
    with running_platform(AIPLATFORM_LLAMA_SERVER=str(program)) as running:
        yield running


def test_deployment_by_llama_cpp_answers_as_one_by_transformers(
    client: Client, platform: Platform, program: Path, base_model: Model
) -> None:
    client.deployments.create("plain", base_model).wait_ready(120)
    fast = client.deployments.create("fast", base_model, engine="llama_cpp", precision="fp32")
    fast = fast.wait_ready(180)
    assert fast.options["engine"] == "llama_cpp"
    assert list((platform.home / "cache").rglob("*.gguf"))
    assert len(program.with_name("my-llama-server.started").read_text().splitlines()) == 1
    with OpenAI(base_url=client.openai_url, api_key=client.access_token()) as chat:
        create = chat.chat.completions.create
        options = {"messages": QUESTION, "max_tokens": 8, "temperature": 0}
        expected = create(model="plain", **options)
        whole = create(model="fast", **options)
        assert whole.choices[0].message.content == expected.choices[0].message.content
        assert whole.usage.prompt_tokens == expected.usage.prompt_tokens
        assert whole.model == "fast"
        chunks = list(create(model="fast", stream=True, **options))
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert streamed == whole.choices[0].message.content

        answer = create(model="fast", messages=QUESTION, max_tokens=200, response_format=FORM)
        assert isinstance(json.loads(answer.choices[0].message.content)["yes"], bool)
        with pytest.raises(BadRequestError, match="response_format is not supported"):
            create(model="plain", messages=QUESTION, response_format=FORM)


def test_precision_of_another_engine_is_refused(client: Client, base_model: Model) -> None:
    with pytest.raises(ApiError, match="transformers has no precision q8_0"):
        client.deployments.create("wrong", base_model, precision="q8_0")
