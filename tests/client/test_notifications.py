"""Tests of watching the inbox across broken connections, and of webhooks by name."""

import json
from itertools import islice

import httpx
import pytest

from aiplatform.client import Client, PermissionDenied, event_streams
from tests.client.fake import FakeServer, answer, page
from tests.openapi_checks import Partial, checked_answer

U = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"


def told(number: int) -> str:
    data = {
        "uuid": U,
        "type": "task:failed",
        "title": f"n{number}",
        "created_at": "2026-11-24T08:00:00Z",
    }
    return f"event: notification\nid: 7-{number}\ndata: {json.dumps(data)}\n\n"


class Streams(httpx.BaseTransport):
    """A server that sends one scripted stream per request and then closes the connection."""

    def __init__(self, *scripts: str) -> None:
        self.scripts = list(scripts)
        self.resumed: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.resumed.append(request.headers.get("last-event-id"))
        text = self.scripts.pop(0)
        stream = httpx.ByteStream(text.encode())
        headers = {"Content-Type": "text/event-stream"}
        return checked_answer(request, httpx.Response(200, stream=stream, headers=headers))


def test_watch_continues_after_a_broken_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "back_off", lambda _: 0.0)
    ready = 'event: ready\nid: 7-0\ndata: {"unread": 0}\n\n'
    count = 'event: unread\ndata: {"unread": 1}\n\n'
    broken = told(3)[:-10]
    transport = Streams(ready + told(1) + count + told(2) + broken, ": still here\n\n", told(3))
    with Client("http://platform.test", token="t", transport=transport) as client:
        found = [(n.title, n.event_id) for n in islice(client.notifications.watch(), 3)]
    assert found == [("n1", "7-1"), ("n2", "7-2"), ("n3", "7-3")]
    assert transport.resumed == [None, "7-2", "7-2"]


def test_watch_without_permission_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"status": 403, "code": "auth.permission_denied", "title": "no", "detail": "no"}
    transport = Streams(f"event: error\ndata: {json.dumps(problem)}\n\n")
    with (
        Client("http://platform.test", token="t", transport=transport) as client,
        pytest.raises(PermissionDenied),
    ):
        next(client.notifications.watch())


def test_webhook_is_found_by_name() -> None:
    hook = Partial({"uuid": U, "project": U, "name": "chat", "url": "https://a.test"})
    server = FakeServer().on(f"GET projects/{U}/webhooks", page(hook))
    server.on(f"GET webhooks/{U}", answer(hook))
    with Client("http://platform.test", token="t", project=U, transport=server) as client:
        assert client.webhooks.get("chat").url == "https://a.test"
