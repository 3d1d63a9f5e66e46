"""Tasks are watched through whatever breaks."""

import math
import time
from typing import Any
from uuid import UUID

import httpx
import pytest

from aiplatform.client import Client, NotFound, ServerUnavailable, TaskFailed, WaitTimeout
from tests.client.fake import Broken, FakeServer, answer, page, problem, sse

P, T = UUID(int=1), UUID("7f000000-0000-4000-8000-000000000001")
TASK, EVENTS = f"GET tasks/{T}", f"GET tasks/{T}/events"
LOST = httpx.ReadError("reset")


def task(status: str = "running", **more: Any) -> dict[str, Any]:
    return {"uuid": str(T), "name": "train", "type": "training", "status": status, **more}


def test_watching_resumes_where_it_broke(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    server.on(
        EVENTS,
        sse(("1", "status", {"status": "running"}), ("2", "metrics", {"step": 1}), error=LOST),
        LOST,
        sse(("3", "metrics", {"step": 2})),  # ends without `end`: a server restarting
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


def test_watching_can_begin_after_an_event(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, sse(("9", "end", {})))
    list(client.tasks.watch(T, last_event_id="8"))
    assert server.requests[0].headers["last-event-id"] == "8"


def test_watching_gives_up_when_the_server_stays_away(
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


def test_refusals_are_not_retried(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, problem(404, "not_found", "No such task."))
    with pytest.raises(NotFound):
        list(client.tasks.watch(T))
    assert server.count(EVENTS) == 1


def test_waiting_returns_the_last_state(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, sse(("1", "progress", {"value": 0.5}), ("2", "end", {})))
    server.on(TASK, answer(task("completed", result={"eval_loss": 1.5})))
    kinds: list[str] = []
    done = client.tasks.wait(T, on_event=lambda event: kinds.append(event.kind))
    assert done.result == {"eval_loss": 1.5}
    assert kinds == ["progress", "end"]


def test_waiting_for_a_task_that_fails(client: Client, server: FakeServer) -> None:
    server.on(EVENTS, *(sse(("1", "end", {})) for _ in range(2)))
    server.on(TASK, answer(task("failed", error_message="out of memory")))
    with pytest.raises(TaskFailed, match="train failed: out of memory") as caught:
        client.tasks.wait(T)
    assert caught.value.task.uuid == T
    assert str(T) in caught.value.hint
    assert client.tasks.wait(T, check=False).status == "failed"


def test_waiting_ends_in_time(client: Client, server: FakeServer) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        time.sleep(request.extensions["timeout"]["read"])
        return httpx.Response(200, stream=Broken(b": alive\n\n", error=httpx.ReadTimeout("")))

    server.on(EVENTS, silent).on(TASK, answer(task()))
    started = time.monotonic()
    with pytest.raises(WaitTimeout, match=r"still running after 0\.3 s"):
        client.tasks.wait(T, timeout=0.3)
    assert 0.3 <= time.monotonic() - started < 1
    with pytest.raises(TimeoutError):
        client.tasks.wait(T, timeout=0.1)


def test_log_is_followed_to_its_last_line(
    client: Client, server: FakeServer, pauses: list[float]
) -> None:
    def lines(*numbers: int, following: str | None = None) -> httpx.Response:
        return page(
            *({"seq": n, "stream": "stdout", "text": f"line {n}"} for n in numbers),
            next_cursor=following,
        )

    server.on(TASK, answer(task()), answer(task()), answer(task("completed")))
    server.on(f"GET tasks/{T}/logs", lines(1, 2, following="2"), lines(3), lines(), lines(4, 5))
    assert [line.seq for line in client.tasks.logs(T, follow=True)] == [1, 2, 3, 4, 5]
    asked = [r.url.params["after"] for r in server.requests if r.url.path.endswith("/logs")]
    assert asked == ["0", "2", "3", "3"]


def test_metrics_may_be_no_numbers(client: Client, server: FakeServer) -> None:
    series = {"loss": [[1, 2.5, 1e9], [2, "NaN", 1e9], [3, "Infinity", 1e9]]}
    server.on(f"GET tasks/{T}/metrics", answer({"series": series}))
    points = client.tasks.metrics(T)["loss"]
    assert points[0].value == 2.5
    assert math.isnan(points[1].value)
    assert points[2].value == math.inf


def test_tasks_are_found_by_name_and_by_the_start_of_the_uuid(
    client: Client, server: FakeServer
) -> None:
    server.on(f"GET projects/{P}/tasks", page(task()))
    assert client.tasks.resolve("train", P) == T
    assert client.tasks.resolve("7f000000", P) == T
    with pytest.raises(NotFound, match="named 7f0"):
        client.tasks.resolve("7f0", P)
