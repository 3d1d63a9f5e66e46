"""Tests of ``aiplatform chat``, with the question as an argument or from a pipe."""

import io
import json

import httpx
import pytest

from tests.cli.conftest import D, Run
from tests.client.fake import Broken, FakeServer, answer
from tests.openapi_checks import Partial


def test_chat_answers_a_question(run: Run, server: FakeServer) -> None:
    server.on(
        f"GET deployments/{D}", answer(Partial({"uuid": D, "name": "bot", "status": "ready"}))
    )
    pieces = (("Par", None), ("is\x1b", None), (None, "stop"))
    chunks = [{"choices": [{"delta": {"content": text}, "finish_reason": end}]}
              for text, end in pieces]  # fmt: skip
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
    body = Broken(text.encode(), b"data: [DONE]\n\n")
    server.on(
        "POST /v1/chat/completions",
        httpx.Response(200, stream=body, headers={"Content-Type": "text/event-stream"}),
    )
    ran = run("chat", D, "Capital?", "--system", "Be brief.", "--base", "--max-tokens", "9")
    assert (ran.code, ran.out) == (0, "Paris\ufffd\n")
    sent = json.loads(server.bodies[-1])
    assert sent["model"] == f"{D}:base"
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["max_tokens"] == 9


def test_chat_reads_a_piped_question(
    run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on(
        f"GET deployments/{D}", answer(Partial({"uuid": D, "name": "bot", "status": "ready"}))
    )
    whole = Partial({"choices": [{"message": {"content": "Paris"}, "finish_reason": "stop"}]})
    server.on("POST /v1/chat/completions", answer(whole))
    monkeypatch.setattr("sys.stdin", io.StringIO("Capital?"))
    assert json.loads(run("chat", D, "--json").out)["choices"] == whole["choices"]
    assert json.loads(server.bodies[-1])["messages"][0]["content"] == "Capital?"
