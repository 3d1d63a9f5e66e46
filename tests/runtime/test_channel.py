"""Tests that messages arrive complete and in order, with exactly one outcome."""

import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aiplatform.protocol import messages
from aiplatform.runtime.channel import Reporter
from aiplatform.runtime.stop import JobStopped, StopRequest

Read = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def pipe() -> Iterator[tuple[int, Read]]:
    """Create a pipe; return its write end, and a function that closes it and returns messages."""
    read_end, write_end = os.pipe()
    lines: list[bytes] = []
    reader = threading.Thread(target=lambda: lines.extend(os.fdopen(read_end, "rb")))
    reader.start()
    closed = False

    def read() -> list[dict[str, Any]]:
        nonlocal closed
        closed = True
        os.close(write_end)
        reader.join()
        for line in lines:
            messages.parse_runtime_message(line)
        return [json.loads(line) for line in lines]

    yield write_end, read
    if not closed:
        read()


@pytest.fixture
def sigterm() -> Iterator[StopRequest]:
    previous = signal.getsignal(signal.SIGTERM)
    stop = StopRequest()
    stop.listen()
    yield stop
    signal.signal(signal.SIGTERM, previous)


def test_reporter_messages_follow_the_protocol(pipe: tuple[int, Read]) -> None:
    fd, read = pipe
    report = Reporter(fd)
    report.progress(0.5, step=1, total_steps=2, seconds_left=3.0)
    report.metrics(1, {"loss": 1.5, "grad_norm": math.nan, "perplexity": math.inf})
    report.checkpoint(1, "/tmp/checkpoint-1")
    report.ready("unix:/tmp/s")
    report.event("resumed", step=1)
    report.result({"loss": -math.inf, "text": "a\x00b"})
    received = read()
    assert [message["type"] for message in received] == [
        *("progress", "metrics", "checkpoint", "ready", "event", "result")
    ]
    assert received[1]["values"] == {"loss": 1.5, "grad_norm": "NaN", "perplexity": "Infinity"}
    assert received[-1]["data"] == {"loss": "-Infinity", "text": "a\ufffdb"}


@pytest.mark.parametrize(("value", "sent"), [(-0.1, 0.0), (1.2, 1.0), (0.25, 0.25)])
def test_progress_outside_of_0_to_1_is_clamped(
    pipe: tuple[int, Read], value: float, sent: float
) -> None:
    fd, read = pipe
    Reporter(fd).progress(value)
    assert read()[0]["value"] == sent


def test_messages_of_many_threads_are_complete_and_in_order(pipe: tuple[int, Read]) -> None:
    fd, read = pipe
    report = Reporter(fd)
    # Longer than PIPE_BUF, so that writes would be mixed without a lock.
    text = "x" * 20_000

    def speak(thread: int) -> None:
        for step in range(20):
            report.event("said", thread=thread, step=step, text=text)

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    received = read()
    assert len(received) == 160
    for number in range(8):
        steps = [m["data"]["step"] for m in received if m["data"]["thread"] == number]
        assert steps == list(range(20)), "each thread's messages keep their order"


def test_messages_after_the_outcome_are_dropped(pipe: tuple[int, Read]) -> None:
    fd, read = pipe
    report = Reporter(fd)
    report.failure("first")
    report.result({})
    report.stopped()
    report.metrics(1, {"late": 1.0})
    assert [message["type"] for message in read()] == ["failure"]


def test_result_too_large_for_a_line_becomes_a_failure(
    pipe: tuple[int, Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiplatform.runtime.channel.MAX_LINE_BYTES", 1000)
    fd, read = pipe
    report = Reporter(fd)
    with pytest.raises(ValueError, match="a message of type event has"):
        report.event("large", text="x" * 2000)
    report.result({"text": "x" * 2000})
    (message,) = read()
    assert message["type"] == "failure"
    assert message["error"].startswith("The task's result is too large")


def test_sigterm_raises_job_stopped_at_once(sigterm: StopRequest) -> None:
    with pytest.raises(JobStopped):
        os.kill(os.getpid(), signal.SIGTERM)
    assert sigterm.requested


def test_held_stop_is_raised_only_after_the_hold(sigterm: StopRequest) -> None:
    with sigterm.delay():
        os.kill(os.getpid(), signal.SIGTERM)
        assert sigterm.requested
    with pytest.raises(JobStopped):
        sigterm.raise_if_requested()


def test_stop_during_a_write_keeps_the_line_complete(
    pipe: tuple[int, Read], sigterm: StopRequest
) -> None:
    fd, read = pipe
    report = Reporter(fd, sigterm)
    write = report._write

    def interrupted(line: bytes) -> None:
        write(line[:10])
        os.kill(os.getpid(), signal.SIGTERM)
        write(line[10:])

    report._write = interrupted  # type: ignore[method-assign]
    with pytest.raises(JobStopped):
        report.metrics(1, {"loss": 1.0})
    report._write = write  # type: ignore[method-assign]
    sigterm.mark_stopping()
    report.stopped()
    assert [message["type"] for message in read()] == ["metrics", "stopped"]


def test_stop_lost_in_a_destructor_is_raised_at_the_next_message(
    pipe: tuple[int, Read], sigterm: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fd, read = pipe
    report = Reporter(fd, sigterm)

    class Swallows:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    instance = Swallows()
    del instance
    with pytest.raises(JobStopped):
        report.progress(0.1)
    read()


def test_stop_is_not_raised_in_other_threads(pipe: tuple[int, Read], sigterm: StopRequest) -> None:
    fd, read = pipe
    report = Reporter(fd, sigterm)
    with sigterm.delay():
        os.kill(os.getpid(), signal.SIGTERM)
        errors: list[BaseException] = []

        def speak() -> None:
            try:
                report.progress(0.5)
            except JobStopped as error:
                errors.append(error)

        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()
        assert errors == []
    assert len(read()) == 1
