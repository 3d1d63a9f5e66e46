"""Tests of tasks: watching, waiting, logs, metrics and names."""

import math
import time
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from aiplatform.client import (
    Client,
    NotFound,
    ServerUnavailable,
    TaskFailed,
    Unauthenticated,
    WaitTimeout,
)
from tests.client.fake import Broken, FakeServer, answer, page, problem, sse
from tests.openapi_checks import Partial

P, T = UUID(int=1), UUID("7f000000-0000-4000-8000-000000000001")
TASK, EVENTS = f"GET tasks/{T}", f"GET tasks/{T}/events"
LOST = httpx.ReadError("reset")


def task(status: str = "running", **more: Any) -> Partial:
    members = {"uuid": str(T), "name": "train", "type": "training", "status": status}
    return Partial({**members, **more})


def test_watch_continues_after_broken_connections(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    server.on(
        EVENTS,
        sse(("1", "status", {"status": "running"}), ("2", "metrics", {"step": 1}), error=LOST),
        LOST,
        sse(("3", "metrics", {"step": 2})),  # ends without `end`, as if the server restarts
        sse(("4", "end", {"status": "completed"})),
    )
    seen = list(client.tasks.watch(T))
    assert [(event.kind, event.id) for event in seen] == [
        ("status", "1"),
        ("metrics", "2"),
        ("metrics", "3"),
        ("end", "4"),
    ]
    assert [r.headers.get("last-event-id") for r in server.requests] == [None, "2", "2", "3"]


def test_watch_with_last_event_id_starts_after_it(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, sse(("9", "end", {})))
    list(client.tasks.watch(T, last_event_id="8"))
    assert server.requests[0].headers["last-event-id"] == "8"


def test_watch_gives_up_if_the_server_stays_away(
    client: Client, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("time.sleep", advance)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    server.on(EVENTS, httpx.ConnectError("refused"))
    with pytest.raises(ServerUnavailable):
        list(client.tasks.watch(T))
    assert 120 < now[0] < 180


def test_watch_does_not_retry_refusals(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, problem(404, "resource.not_found", "No such task."))
    with pytest.raises(NotFound):
        list(client.tasks.watch(T))
    assert server.count(EVENTS) == 1


def test_wait_returns_the_last_state(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, sse(("1", "progress", {"value": 0.5}), ("2", "end", {})))
    server.on(TASK, answer(task("completed", result={"eval_loss": 1.5})))
    kinds: list[str] = []
    done = client.tasks.wait(T, on_event=lambda event: kinds.append(event.kind))
    assert done.result == {"eval_loss": 1.5}
    assert kinds == ["progress", "end"]


def test_wait_for_a_failing_task_raises(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, *(sse(("1", "end", {})) for _ in range(2)))
    server.on(TASK, answer(task("failed", error_message="out of memory")))
    with pytest.raises(TaskFailed, match="train failed: out of memory") as caught:
        client.tasks.wait(T)
    assert caught.value.task.uuid == T
    assert str(T) in caught.value.hint
    assert client.tasks.wait(T, check=False).status == "failed"


def test_wait_with_timeout_ends_in_time(client: Client, server: FakeServer) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        time.sleep(request.extensions["timeout"]["read"])
        alive = Broken(b": alive\n\n", error=httpx.ReadTimeout(""))
        return httpx.Response(200, stream=alive, headers={"Content-Type": "text/event-stream"})

    server.on(EVENTS, silent).on(TASK, answer(task()))
    started = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"still running after 0\.3 s"):
        client.tasks.wait(T, timeout=0.3)
    assert 0.3 <= time.monotonic() - started < 1
    with pytest.raises(TimeoutError):
        client.tasks.wait(T, timeout=0.1)


def log(*numbers: int) -> list[tuple[str, str, dict[str, Any]]]:
    shared = {"stream": "stdout", "time": "2026-11-24T08:00:00Z"}
    return [(f"0-0-{n}", "log", {"seq": n, "text": f"{n}\n", **shared}) for n in numbers]


def test_followed_log_continues_after_a_broken_connection(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    path = f"GET tasks/{T}/logs/stream"
    server.on(path, sse(*log(1, 2), error=LOST), sse(*log(3), ("0-0-3", "end", {})))
    assert [chunk.seq for chunk in client.tasks.logs(T, follow=True)] == [1, 2, 3]
    sent = [request.headers["Last-Event-ID"] for request in server.requests]
    assert sent == ["0-0-0", "0-0-2"]


def test_log_is_read_page_by_page(client: Client, server: FakeServer) -> None:
    first, second = ([Partial(event[2]) for event in log(*numbers)] for numbers in ((1, 2), (3,)))
    server.on(f"GET tasks/{T}/logs", page(*first, next_cursor="n"), page(*second))
    assert [chunk.seq for chunk in client.tasks.logs(T)] == [1, 2, 3]


def test_watch_yields_a_repeated_state_once(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    state = ("1", "status", {"status": "running"})
    ended = ("3", "status", {"status": "completed"})
    server.on(EVENTS, sse(state, error=LOST), sse(state, ended, ("3", "end", {})))
    assert [event.data for event in client.tasks.watch(T)] == [state[2], ended[2], {}]


EXPIRED = {"status": 401, "code": "auth.unauthenticated", "detail": "Sign in again."}


def test_watch_renews_an_expired_token(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    class Tokens:
        renewed: list[str] = []

        def current(self) -> str:
            return f"t{len(self.renewed)}"

        def renew(self, rejected: str) -> str:
            self.renewed.append(rejected)
            return self.current()

    client.transport.tokens = Tokens()
    server.on(
        EVENTS,
        sse(("1", "metrics", {"step": 1}), (None, "error", EXPIRED)),
        sse(("2", "end", {})),
    )
    assert [event.kind for event in client.tasks.watch(T)] == ["metrics", "end"]
    assert Tokens.renewed == ["t0"]
    assert server.requests[-1].headers["last-event-id"] == "1"
    assert server.requests[-1].headers["authorization"] == "Bearer t1"


def test_watch_ends_if_it_is_no_longer_allowed(client: Client, server: FakeServer) -> None:
    gone = {"status": 404, "code": "resource.not_found", "detail": "There is no such task."}
    server.on(EVENTS, sse((None, "error", gone)))
    with pytest.raises(NotFound, match="no such task"):
        list(client.tasks.watch(T))
    server.on(EVENTS, sse((None, "error", EXPIRED)))
    with pytest.raises(Unauthenticated):  # a fixed token can't be renewed
        list(client.tasks.watch(T))


def test_metrics_may_be_nan_or_infinite(client: Client, server: FakeServer) -> None:
    series = {"loss": [[1, 2.5, 1e9], [2, "NaN", 1e9], [3, "Infinity", 1e9]]}
    server.on(f"GET tasks/{T}/metrics", answer({"series": series}))
    points = client.tasks.metrics(T)["loss"]
    assert points[0].value == 2.5
    assert math.isnan(points[1].value)
    assert points[2].value == math.inf


def test_task_is_found_by_name_and_by_start_of_uuid(client: Client, server: FakeServer) -> None:
    server.on(f"GET projects/{P}/tasks", page(task()))
    assert client.tasks.resolve("train", P) == T
    assert client.tasks.resolve("7f000000", P) == T
    with pytest.raises(NotFound, match="named 7f0"):
        client.tasks.resolve("7f0", P)


def test_task_name_is_looked_up_by_the_server(client: Client, server: FakeServer) -> None:
    def tasks(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("name") == "nightly-eval":
            return page(task() | {"name": "nightly-eval"})
        return page(*[task() | {"uuid": str(uuid4()), "name": "newer"}] * 50, next_cursor="more")

    server.on(f"GET projects/{P}/tasks", tasks)
    assert client.tasks.resolve("nightly-eval", P) == T
    assert len(server.requests) == 1
    server.on(f"GET projects/{P}/tasks", page())
    with pytest.raises(NotFound, match="named misspelt"):
        client.tasks.resolve("misspelt", P)
    assert len(server.requests) == 2
