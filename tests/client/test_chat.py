"""Tests of chats with deployments, with complete and streamed answers."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from aiplatform.client import ApiError, ChatReply, ChatStream, Client, ServerUnavailable
from tests.client.fake import Broken, FakeServer, answer, page
from tests.openapi_checks import Partial

P, D = UUID(int=1), UUID(int=2)
CHAT = "POST /v1/chat/completions"
BOT = Partial({"uuid": str(D), "name": "bot", "status": "ready"})


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> str:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]
    return f"data: {json.dumps({'choices': choices, **more})}\n\n"


def streamed(*parts: str, error: Exception | None = None) -> httpx.Response:
    body = Broken(*(part.encode() for part in parts), error=error)
    return httpx.Response(200, stream=body, headers={"Content-Type": "text/event-stream"})


def test_chat_returns_the_answer(client: Client, server: FakeServer) -> None:
    server.on(f"GET projects/{P}/deployments", page(BOT))
    choice = {"message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}
    server.on(CHAT, answer(Partial({"choices": [choice], "usage": {"total_tokens": 7}})))
    reply = client.deployments.chat("bot", "What?", project=P, base=True, max_tokens=5)
    assert isinstance(reply, ChatReply)
    assert (str(reply), reply.finish_reason, reply.usage["total_tokens"]) == ("42", "stop", 7)
    sent = json.loads(server.bodies[-1])
    assert sent["model"] == f"{D}:base"
    assert sent["messages"] == [{"role": "user", "content": "What?"}]
    assert sent["max_tokens"] == 5


def test_chat_waits_longer_for_a_complete_answer_than_other_requests(
    client: Client, server: FakeServer
) -> None:
    """Check the timeout, because a complete answer is sent only after its last token."""
    server.on(f"GET projects/{P}/deployments", page(BOT))
    choice = {"message": {"role": "assistant", "content": "42"}, "finish_reason": "stop"}
    server.on(CHAT, answer(Partial({"choices": [choice]})))
    client.deployments.chat("bot", "What?", project=P)
    listing, asking = (request.extensions["timeout"]["read"] for request in server.requests)
    assert asking >= 1800 > listing


def test_chat_stream_yields_pieces(client: Client, server: FakeServer) -> None:
    usage = f"data: {json.dumps({'choices': [], 'usage': {'completion_tokens': 2}})}\n\n"
    server.on(
        CHAT, streamed(chunk("4"), chunk("2"), chunk(None, "stop"), usage, "data: [DONE]\n\n")
    )
    stream = client.deployments.chat(D, [{"role": "user", "content": "?"}], stream=True)
    assert isinstance(stream, ChatStream)
    assert list(stream) == ["4", "2"]
    assert (stream.text, stream.finish_reason) == ("42", "stop")
    assert stream.usage == {"completion_tokens": 2}


def test_chat_stream_that_breaks_off_raises_an_error(client: Client, server: FakeServer) -> None:
    server.on(CHAT, streamed(chunk("4"), error=httpx.ReadError("reset")))
    with pytest.raises(ServerUnavailable):
        list(client.deployments.chat(D, "?", stream=True))
    server.on(CHAT, streamed(chunk("4")))
    with pytest.raises(ApiError, match="was interrupted"):
        list(client.deployments.chat(D, "?", stream=True))
    server.on(CHAT, streamed(chunk("4"), 'data: {"error": {"message": "engine died"}}\n\n'))
    with pytest.raises(ApiError, match="engine died"):
        list(client.deployments.chat(D, "?", stream=True))
    assert server.count(CHAT) == 3
