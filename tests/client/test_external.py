"""Tests of external runs, against a simulated server."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiplatform.client import Client, NotFound, RunCancelled, UnexpectedAnswer
from aiplatform.client.external import sender as sending
from aiplatform.client.external.journal import END, LOG, POINTS, Journal, Reader, Records
from tests.client.fake import FakeServer, answer, malformed, problem
from tests.openapi_checks import Partial

RUN = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"
PROJECT = "1b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"
BEGIN = f"POST projects/{PROJECT}/runs"
TASK = Partial({"uuid": RUN, "project": PROJECT, "status": "running"})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIPLATFORM_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(sending, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(sending, "SLOW_SECONDS", 0.02)
    monkeypatch.setattr(sending, "back_off", lambda *_: 0.01)


class Platform(FakeServer):
    """A server that stores numbered records like the real one, and can lose messages."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.ends: list[dict[str, Any]] = []
        self.status = "running"
        self.dropped = 0
        self.faults: Iterator[str | None] = iter(())
        self.on(BEGIN, answer(TASK, 201))
        self.on(f"POST tasks/{RUN}/metrics", self._take)
        self.on(f"POST tasks/{RUN}/logs", self._take)
        self.on(f"POST tasks/{RUN}/heartbeat", lambda _: answer({"status": self.status}))
        self.on(f"POST tasks/{RUN}/end", self._end)

    def _take(self, request: httpx.Request) -> httpx.Response:
        fault = next(self.faults, None)
        if fault == "lost":
            raise httpx.ConnectError("away")
        body = json.loads(request.read())
        kind = "points" if "points" in body else "lines"
        taken: list[dict[str, Any]] = getattr(self, kind)
        if body["first"] > len(taken) + 1:
            return problem(409, "run.records_missing", "no", expected=len(taken) + 1)
        taken += body[kind][len(taken) + 1 - body["first"] :]
        if fault == "answer lost":
            raise httpx.ReadError("cut off")
        if fault == "busy":
            return problem(503, "server.unavailable", "busy")
        stored = {"accepted": 0, "dropped_bytes": self.dropped, "taken": len(taken)}
        return answer({**stored, "status": self.status})

    def _end(self, request: httpx.Request) -> httpx.Response:
        self.ends.append(json.loads(request.read()))
        return answer(Partial({"uuid": RUN, "status": self.ends[-1]["status"]}))


@pytest.fixture
def server() -> Platform:
    return Platform()


@pytest.fixture
def connect(server: Platform) -> Callable[[], Client]:
    return lambda: Client("http://platform.test", token="t", project=PROJECT, transport=server)


@pytest.fixture
def client(connect: Callable[[], Client]) -> Client:
    return connect()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def test_logged_values_arrive_once_and_in_order(client: Client, server: Platform) -> None:
    with client.run("r", config={"lr": 0.1}) as run:
        for step in range(300):
            run.log({"loss": step / 2, "deep": {"er": step}})
        run.write("one\ntwo")
        directory = run.journal.directory
    assert [(p["key"], p["step"], p["value"]) for p in server.points[:4]] == [
        ("loss", 0, 0.0),
        ("deep/er", 0, 0.0),
        ("loss", 1, 0.5),
        ("deep/er", 1, 1.0),
    ]
    assert len(server.points) == 600
    assert [line["text"] for line in server.lines] == ["one", "two"]
    assert [end["status"] for end in server.ends] == ["completed"]
    assert not directory.exists()


def test_log_accepts_all_kinds_of_numbers_and_omits_other_values(
    client: Client, server: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    class Scalar:
        def item(self) -> float:
            return 2.5

    with client.run("r") as run:
        for _ in range(3):
            run.log({"a": math.nan, "b": -math.inf, "c": Scalar(), "d": True, "e": 10**400}, step=7)
            run.log({"x": 1}, step=2**60)
            run.log({"x": 1}, timestamp=math.nan)
            run.log({"text": "nan", "nothing": None, "": 1, "k" * 201: 1}, step=7)
    assert [p["value"] for p in server.points[:5]] == ["NaN", "-Infinity", 2.5, 1.0, "Infinity"]
    assert {p["step"] for p in server.points} == {7}
    assert len(server.points) == 15
    assert len([r for r in caplog.records if "left out" in r.message]) == 4
    assert "timestamps from 1970 on" in caplog.text


def test_log_with_invalid_unicode_replaces_it(client: Client, server: Platform) -> None:
    with client.run("r") as run:
        run.log({"a\ud800": 1})
        run.write("\ud800\x00")
    assert [p["key"] for p in server.points] == ["a?"]
    assert [line["text"] for line in server.lines] == ["?\ufffd"]


def test_exception_in_the_block_fails_the_run(client: Client, server: Platform) -> None:
    with pytest.raises(ZeroDivisionError), client.run("r"):
        _ = 1 / 0
    assert server.ends[0]["status"] == "failed"
    assert server.ends[0]["error"] == "ZeroDivisionError: division by zero"
    assert any("Traceback" in line["text"] for line in server.lines)
    with pytest.raises(KeyboardInterrupt), client.run("r"):
        raise KeyboardInterrupt
    assert server.ends[1]["status"] == "cancelled"


def test_unreliable_server_loses_and_doubles_nothing(client: Client, server: Platform) -> None:
    server.faults = iter(["lost", "answer lost", None, "busy", "answer lost", "lost", None] * 20)
    with client.run("r") as run:
        for step in range(400):
            run.log({"loss": step})
            if step % 40 == 0:
                time.sleep(0.01)
    assert [p["step"] for p in server.points] == list(range(400))


def test_server_that_is_away_does_not_disturb_the_run(
    connect: Callable[[], Client], server: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    server.on(BEGIN, httpx.ConnectError("away"))
    with connect().run("r", end_timeout=0.2) as run:
        for step in range(50):
            run.log({"loss": step})
        run.write("text")
        directory = run.journal.directory
    assert run.task is None
    assert "aiplatform runs sync" in caplog.text

    server.on(BEGIN, answer(TASK, 201))
    client = connect()
    assert client.external.unsent() == [directory]
    synced = client.external.sync(directory)
    assert (synced.points, synced.lines, synced.complete) == (50, 1, True)
    assert [p["step"] for p in server.points] == list(range(50))
    assert [end["status"] for end in server.ends] == ["completed"]
    assert client.external.unsent() == []


def test_offline_run_is_sent_once_by_sync(client: Client, server: Platform) -> None:
    with client.run("r", mode="offline") as run:
        run.log({"loss": 1.0})
        directory = run.journal.directory
    assert server.requests == []
    # The sync fails after the points were stored but before the response arrives.
    server.faults = iter(["answer lost"])
    with pytest.raises(Exception, match="cut off"):
        client.external.sync(directory)
    ended = datetime.now(UTC)
    assert client.external.sync(directory).complete
    assert len(server.points) == 1
    began = datetime.fromisoformat(run.journal.about["started_at"])
    assert began <= datetime.fromisoformat(server.ends[0]["ended_at"]) <= ended
    bodies = [json.loads(r.content) for r in server.requests if r.url.path.endswith("/runs")]
    assert {body["client_id"] for body in bodies} == {run.journal.about["client_id"]}


def test_records_of_a_killed_process_are_sent_by_sync(client: Client, server: Platform) -> None:
    child = os.fork()
    if child == 0:
        run = client.run("r", mode="offline")
        for step in range(100):
            run.log({"loss": step})
        os._exit(9)
    os.waitpid(child, 0)
    [directory] = client.external.unsent()
    first = client.external.sync(directory)
    assert (first.points, first.complete) == (100, False)
    assert client.external.sync(directory, ended="failed").complete
    assert len(server.points) == 100
    assert server.ends[0]["error"] == "its process died"


@pytest.mark.parametrize(
    ("points", "lines", "expected"),
    [
        ([1000.5, 2000.25], [1500.0], "1970-01-01T00:33:20.250000+00:00"),
        ([1000.5], [1500.0, 3600.0], "1970-01-01T01:00:00+00:00"),
        ([], [], "2026-11-24T16:03:00+00:00"),
    ],
)
def test_killed_run_ended_at_its_last_record(
    client: Client, server: Platform, tmp_path: Path, points: list[float], lines: list[float],
    expected: str,
) -> None:  # fmt: skip
    about = {"name": "n", "config": {}, "facts": {}, "started_at": "2026-11-24T16:03:00+00:00"}
    journal = Journal.create(tmp_path, {**about, "project": PROJECT})
    for name, record, times in (
        (POINTS, {"key": "loss", "step": 1, "value": 1.0}, points),
        (LOG, {"text": "ü" * 20_000, "stream": "stdout"}, lines),
    ):
        for at in times:
            with (journal.directory / name).open("a", encoding="utf-8") as file:
                file.write(json.dumps({**record, "time": at}) + "\n")
    with (journal.directory / POINTS).open("a") as file:
        file.write('{"key":"loss","ste')  # as after a power failure
    assert client.external.sync(journal.directory, ended="failed").complete
    assert [end["ended_at"] for end in server.ends] == [expected]


def test_cancellation_is_noticed_by_the_run(client: Client, server: Platform) -> None:
    with client.run("r") as run:
        assert not run.cancelled
        server.status = "cancelling"
        run.log({"loss": 1})
        until(lambda: run.cancelled)
        run.log({"loss": 2})
    assert server.ends[0]["status"] == "cancelled"
    server.status = "running"
    obeys = client.run("r", raise_when_cancelled=True)
    server.status = "cancelling"
    with contextlib.suppress(RunCancelled):  # the sending thread may have noticed it already
        obeys.log({"loss": 1})
    until(lambda: obeys.cancelled)
    with pytest.raises(RunCancelled), obeys:
        obeys.log({"loss": 2})
    assert server.ends[1]["status"] == "cancelled"


def test_permanent_error_is_raised_at_the_start(client: Client, server: Platform) -> None:
    server.on(BEGIN, problem(404, "resource.not_found", "no such project"))
    with pytest.raises(NotFound):
        client.run("r")
    assert client.external.unsent() == []


def test_dropped_log_lines_are_warned_of_once(
    client: Client, server: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    server.dropped = 1000
    with client.run("r") as run:
        for count in range(1, 4):
            run.write("x")
            until(lambda count=count: len(server.lines) == count)
    assert caplog.text.count("prints faster than its log may grow") == 1


def test_deleted_task_does_not_disturb_the_loop(
    client: Client, server: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    server.on(f"POST tasks/{RUN}/metrics", problem(404, "resource.not_found", "gone"))
    with client.run("r") as run:
        run.log({"loss": 1})
        until(lambda: "not reported any more" in caplog.text)
        run.log({"loss": 2})
        directory = run.journal.directory
    assert len((directory / POINTS).read_text().splitlines()) == 2
    assert (directory / END).exists()


@pytest.mark.parametrize("given", [{"status": "running"}, {"taken": 1}, ["no object"]])
def test_incomplete_answer_raises_unexpected_answer(
    client: Client, server: Platform, given: Any
) -> None:
    with client.run("r", mode="offline") as run:
        run.log({"loss": 1})
    server.on(f"POST tasks/{RUN}/metrics", malformed("another service", answer(given)))
    with pytest.raises(UnexpectedAnswer, match="can't be read"):
        client.external.sync(run.journal.directory)
    assert client.external.unsent() == [run.journal.directory]


def test_unexpected_error_ends_the_sending_thread_at_once(
    client: Client, server: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    def mistake(_: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    server.on(f"POST tasks/{RUN}/metrics", mistake)
    began = time.monotonic()
    with client.run("r", end_timeout=500) as run:
        run.log({"loss": 1})
    assert time.monotonic() - began < 100
    assert not run.end(), "what was not sent counts as sent"
    assert "aiplatform runs sync" in caplog.text
    assert client.external.unsent() == [run.journal.directory]


def test_full_disk_loses_only_whole_records(
    client: Client, server: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with client.run("r") as run:
        run.log({"loss": 1})
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:5]))
        run.log({"loss": 2})
        monkeypatch.setattr(os, "write", write)
        run.log({"loss": 3})
    assert [p["value"] for p in server.points] == [1.0, 3.0]
    assert server.ends[0]["result"] == {"points_dropped": 1}


def test_reader_returns_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "records"
    reader = Reader(path)
    assert reader.read(lines=9, size=9) == []
    records = Records(path)
    records.add(str(n) * 4 for n in range(9))
    assert reader.read(lines=9, size=12) == [b"0000\n", b"1111\n"]
    assert reader.read(lines=1, size=1) == [b"0000\n"]
    reader.skip(reader.read(lines=2, size=100))
    assert (reader.number, reader.read(lines=1, size=100)) == (3, [b"2222\n"])
    reader.go_to(9)
    assert reader.read(lines=5, size=100) == [b"8888\n"]
    reader.go_to(99)
    assert (reader.number, reader.read(lines=5, size=100)) == (10, [])
    with path.open("a") as file:
        file.write("half a li")
    assert reader.read(lines=5, size=100) == []


def test_journal_can_be_reopened(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path, {"name": "n", "config": {}, "facts": {}})
    journal.record_facts(task="t")
    assert Journal(journal.directory).about == journal.about
    assert Journal(journal.directory).end is None


def test_invalid_end_is_refused(client: Client, server: Platform) -> None:
    run = client.run("r", mode="offline")
    for word in ("running", "foo"):
        with pytest.raises(ValueError, match="completed, failed, cancelled"):
            run.end(word)
    assert run.journal.end is None
    directory = run.journal.directory
    with pytest.raises(ValueError, match="completed, failed, cancelled"):
        client.external.sync(directory, ended="paused")
    assert run.journal.end is None
    assert server.requests == []
    run.end("cancelled")
    assert client.external.sync(directory).complete
    assert [end["status"] for end in server.ends] == ["cancelled"]


def test_progress_is_sent_when_it_changes_and_limited_to_its_range(
    client: Client, server: Platform
) -> None:
    def told() -> list[float | None]:
        pairs = zip(server.requests, server.bodies, strict=False)
        return [
            json.loads(body)["progress"]
            for request, body in pairs
            if request.url.path.endswith("/heartbeat")
        ]

    def last_is(expected: float) -> bool:
        return told()[-1:] == [expected]

    with client.run("r") as run:
        for given, expected in ((0.25, 0.25), (7, 1.0), (-1, 0.0), (0.5, 0.5)):
            run.set_progress(given)
            until(partial(last_is, expected))
    assert list(dict.fromkeys(told())) == [0.25, 1.0, 0.0, 0.5]
    with client.run("r", mode="offline") as offline:
        offline.set_progress(0.5)
