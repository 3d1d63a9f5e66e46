"""Tests of external runs whose output exceeds the rate limit for logs.

The limit in these tests is 1 kB/s, with bursts of up to 10 kB.
"""

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.server.core.settings import get_settings
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.telemetry.models import LogChunk
from tests.conftest import Api
from tests.server.execution.runs import begin


@pytest.fixture
def run(owner: Api, project: Project) -> str:
    return begin(owner, project)["uuid"]


@pytest.fixture(autouse=True)
def _rate(monkeypatch: pytest.MonkeyPatch, owner: Api) -> None:
    monkeypatch.setattr(get_settings(), "log_bytes_per_second", 1_000)
    monkeypatch.setattr(get_settings(), "log_burst_bytes", 10_000)


@pytest.fixture
def prints(owner: Api, run: str) -> Callable[..., Any]:
    """Return a function that logs lines; ``prints(10, seconds=5)`` sends 10 kB spread over 5 s."""
    began, passed = time.time() - 1000, 0.0

    def prints(count: int, *, seconds: float = 0.0, **numbers: Any) -> Any:
        nonlocal passed
        step = seconds / count
        lines = [
            {"text": "x" * 999, "time": began + passed + step * place}
            for place in range(1, count + 1)
        ]
        passed += seconds
        return owner.post(f"tasks/{run}/logs", json={"lines": lines, **numbers}).json()

    return prints


def shown(owner: Api, run: str) -> list[tuple[str, int]]:
    chunks = owner.get(f"tasks/{run}/logs").json()["items"]
    return [(chunk["stream"], len(chunk["text"])) for chunk in chunks]


def test_lines_beyond_the_rate_are_dropped_and_reported(
    session: Session, owner: Api, run: str, prints: Callable[..., Any]
) -> None:
    answer = prints(30)
    assert (answer["accepted"], answer["dropped_bytes"]) == (30, 20_000)
    kept, notice = owner.get(f"tasks/{run}/logs").json()["items"]
    assert len(kept["text"]) == 10_000
    assert (notice["stream"], notice["level"]) == ("system", "warning")
    assert "20,000 bytes in 20 lines were dropped here" in notice["text"]
    assert "more than 1 kB/s" in notice["text"]
    for _ in range(3):
        prints(1000)
    session.expire_all()
    tail = session.scalars(select(Task.logs).where(Task.uuid == run)).one()
    assert tail is not None
    assert "were dropped here" in tail
    stored = select(func.sum(func.length(LogChunk.text))).join(Task).where(Task.uuid == run)
    assert session.scalars(stored).one() < 12_000
    timeline = owner.get(f"tasks/{run}/timeline").json()["items"]
    told = [event["data"] for event in timeline if event["kind"] == "log_flooded"]
    assert told == [{"bytes_per_second": 1_000}]


def test_repeated_lines_are_counted_once(owner: Api, run: str, prints: Callable[..., Any]) -> None:
    writer = str(uuid4())
    for accepted, dropped in ((30, 20_000), (0, 0)):
        answer = prints(30, writer=writer, first=1)
        assert (answer["accepted"], answer["taken"]) == (accepted, 30)
        assert answer["dropped_bytes"] == dropped
    prints(4, seconds=8, writer=writer, first=31)
    assert shown(owner, run)[0::2] == [("stdout", 10_000), ("stdout", 4_000)]


def test_log_that_is_sent_late_is_no_flood(
    owner: Api, run: str, prints: Callable[..., Any]
) -> None:
    assert prints(100, seconds=100)["dropped_bytes"] == 0
    assert shown(owner, run) == [("stdout", 100_000)]


def test_lines_after_a_flood_are_kept_again(
    owner: Api, run: str, prints: Callable[..., Any]
) -> None:
    prints(20)
    prints(5, seconds=10)
    streams = [stream for stream, _ in shown(owner, run)]
    assert streams == ["stdout", "system", "stdout"]


def test_long_flood_is_reported_every_two_seconds_and_keeps_the_rate(
    owner: Api, run: str, prints: Callable[..., Any]
) -> None:
    prints(400, seconds=20)
    chunks = shown(owner, run)
    assert sum(size for stream, size in chunks if stream == "stdout") <= 10_000 + 20 * 1_000
    assert 5 <= [stream for stream, _ in chunks].count("system") <= 11


def test_line_times_in_the_future_do_not_increase_the_rate(owner: Api, run: str) -> None:
    ahead = time.time() + 1e6
    for place in range(3):
        lines = [{"text": "x" * 999, "time": ahead + place * 1000}] * 10
        owner.post(f"tasks/{run}/logs", json={"lines": lines})
    assert sum(size for stream, size in shown(owner, run) if stream == "stdout") <= 13_000
