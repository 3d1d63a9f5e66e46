"""Tests of logs: levels, output beyond the rate limit, search, download, and live stream."""

import gzip
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import LogStream
from aiplatform.server.core.database import commit
from aiplatform.server.execution import runner
from aiplatform.server.execution.runner.process import count_whole_characters
from aiplatform.server.execution.runner.writers import RateLimiter
from aiplatform.server.execution.service import attempts
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskEvent
from aiplatform.server.telemetry.models import LogChunk
from aiplatform.server.telemetry.rules import Level, Parser, levels_of
from tests.conftest import Api, environment
from tests.server.queue.conftest import claim, end
from tests.server.queue.test_endpoints import stream, token_of


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("2026-01-01 10:00:00,123 - trl - WARNING - no padding token", Level.WARNING),
        ("2026-01-01T10:00:00Z [info     ] request   ms=3", Level.INFO),
        ('{"event": "x", "level": "error", "text": "y"}', Level.ERROR),
        ("I0102 10:00:00.123 12 file.cc:3] started", Level.INFO),
        ("W0102 10:00:00.123 12 file.cc:3] careful", Level.WARNING),
        ("time=now level=debug msg=x", Level.DEBUG),
        ("error: no such file", Level.ERROR),
        ("/a/b.py:12: UserWarning: deprecated", Level.WARNING),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory", Level.ERROR),
        ("CRITICAL disk on fire", Level.CRITICAL),
        ("step 3/10: loss 1.234, an error of 3 %", Level.NONE),
        ("the warning signs were clear", Level.NONE),
        ("", Level.NONE),
    ],
)
def test_parser_reads_levels_from_what_loggers_write(line: str, level: Level) -> None:
    assert Parser().level(line) is level


def test_parser_marks_all_lines_of_a_traceback_as_errors_across_chunks() -> None:
    parser = Parser()
    highest, runs = parser.runs("fine\nTraceback (most recent call last):\n  File x\n")
    assert (highest, runs) == (Level.ERROR, [[1, 4]])
    highest, runs = parser.runs("    boom()\nValueError: no\nfine again\n")
    assert list(levels_of(runs, 3)) == [Level.ERROR, Level.ERROR, Level.NONE]


def test_long_line_is_cut_between_characters() -> None:
    data = "数据".encode()
    for cut in range(1, len(data) + 1):
        data[: count_whole_characters(data[:cut])].decode()
    assert count_whole_characters(b"\xff\xfe\x80\x80\x80") == 5


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_output_beyond_the_rate_goes_to_a_segment_and_its_end_is_shown(tmp_path: Path) -> None:
    clock = Clock()
    output = RateLimiter(tmp_path, rate=1000, burst=5000, overflow=1e9, clock=clock)

    def flood(first: int, count: int) -> list[Chunk]:
        lines = "".join(f"line {n:08}\n" for n in range(first, first + count))
        return output.take([Chunk(LogStream.STDOUT, lines, 1.0)])

    assert [chunk.segment for chunk in flood(0, 300)] == [None], "a burst is allowed"
    (notice,) = flood(300, 20_000)
    assert notice.stream is LogStream.SYSTEM
    assert "1 kB/s" in notice.text
    clock.now = 1.0
    assert flood(20_300, 20_000) == []
    clock.now = 3.0
    assert flood(40_300, 10) == [], "it printed more than the rate in the last seconds"
    clock.now = 6.0
    ended = output.take([])
    assert ended[0].segment is not None
    shown = "".join(chunk.text for chunk in ended[1:])
    assert shown.endswith(f"line {40_309:08}\n")
    assert len(shown) >= 16_000
    kept = ended[0].segment["lines"] + shown.count("\n")
    assert kept == 40_010, "every line is in the segment or shown"


def test_output_beyond_the_segment_limit_is_dropped_and_counted(tmp_path: Path) -> None:
    output = RateLimiter(tmp_path, rate=1000, burst=1000, overflow=100_000, clock=Clock())
    for _ in range(20):
        output.take([Chunk(LogStream.STDOUT, "x" * 9_999 + "\n", 1.0)])
    ended = output.finish()
    assert ended[0].segment is not None
    assert ended[0].segment["bytes"] == 100_000
    assert "dropped" in ended[0].text
    assert ended[0].segment["lost_bytes"] + 100_000 + sum(len(c.text) for c in ended[1:]) == 200_000


def test_last_lines_of_each_stream_are_shown_after_a_flood(tmp_path: Path) -> None:
    """Let one stream print its last line before the other prints a flood."""
    output = RateLimiter(tmp_path, rate=1000, burst=1000, overflow=1e9, clock=Clock())
    output.take([Chunk(LogStream.STDOUT, "a" * 9_999 + "\n", 1.0)])
    output.take([Chunk(LogStream.STDERR, "the reason\n", 2.0)])
    output.take([Chunk(LogStream.STDOUT, "b" * 49_999 + "\n", 3.0 + n) for n in range(3)])
    shown = output.finish()[1:]
    assert [chunk.stream.value for chunk in shown] == ["stderr", "stdout"]
    assert shown[0].text == "the reason\n"


@pytest.fixture
def flooded(session: Session, submit: Callable[..., Task], make_worker: Any, home: Path) -> Task:
    """Run a task that prints 40,000 lines, most of them beyond the rate limit."""
    with environment(AIPLATFORM_LOG_BYTES_PER_SECOND="1000", AIPLATFORM_LOG_BURST_BYTES="10000"):
        task = submit("""
            import sys
            print("INFO the first line")
            for n in range(40_000):
                print(f"line {n:08} of a flood")
            print("WARNING careful", file=sys.stderr)
            raise ValueError("the end of it")
        """)
        runner.run_attempt(claim(session, make_worker()))
    session.expire_all()
    return task


def test_flood_is_stored_completely_in_few_rows(
    owner: Api, session: Session, flooded: Task
) -> None:
    assert "the end of it" in flooded.logs
    rows = session.scalar(select(func.count()).where(LogChunk.task_id == flooded.id))
    assert rows < 60
    kinds = session.scalars(select(TaskEvent.kind).where(TaskEvent.task_id == flooded.id)).all()
    assert kinds.count("log_flooded") == 1
    chunks = owner.get(f"tasks/{flooded.uuid}/logs", params={"limit": 200}).json()["items"]
    assert sum(chunk["kept_bytes"] for chunk in chunks) > 500_000
    whole = owner.get(f"tasks/{flooded.uuid}/logs/download", params={"stream": "stdout"})
    assert "attachment" in whole.headers["Content-Disposition"]
    lines = whole.text.splitlines()
    assert lines[0] == "INFO the first line"
    assert lines[1:] == [f"line {n:08} of a flood" for n in range(40_000)]
    packed = owner.get(
        f"tasks/{flooded.uuid}/logs/download", params={"gz": "true", "times": "true"}
    )
    text = gzip.decompress(packed.content).decode()
    assert " stderr warning WARNING careful\n" in text
    assert " stdout info INFO the first line\n" in text


def test_search_finds_lines_by_text_level_stream_and_time_in_rows_and_segments(
    owner: Api, flooded: Task
) -> None:
    def search(**filters: Any) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            more = {} if cursor is None else {"cursor": cursor}
            page = owner.get(
                f"tasks/{flooded.uuid}/logs/search", params={"limit": 7, **filters, **more}
            )
            assert page.status_code == 200, page.text
            found += [item["text"] for item in page.json()["items"]]
            cursor = page.json()["next_cursor"]
            if cursor is None:
                return found

    assert search(q="line 0002345") == [f"line 0002345{n} of a flood" for n in range(10)]
    assert search(q="LINE 00012345") == ["line 00012345 of a flood"], "no matter the case"
    assert search(q="100%_x") == []
    assert search(level="warning", stream="stderr")[0] == "WARNING careful"
    assert "ValueError: the end of it" in search(level="error")
    assert search(level="info", stream="stdout") == ["INFO the first line"]
    assert search(until=flooded.created_at.isoformat()) == []
    assert search(since=datetime.now(UTC).isoformat(), q="careful") == []
    assert search(since=flooded.created_at.isoformat(), q="careful") == ["WARNING careful"]
    bad = owner.get(f"tasks/{flooded.uuid}/logs/search", params={"q": "a\nb"})
    assert bad.status_code == 422


def test_log_stream_sends_only_the_log_and_resumes_from_an_offset(
    session: Session, project: Project, submit: Any, make_worker: Any, server_url: str
) -> None:
    task = submit()
    held = claim(session, make_worker())
    token = token_of(session, project)

    def say(seq: int) -> None:
        chunk = Chunk(LogStream.STDOUT, f"line {seq}\n", time.time())
        attempts.write_telemetry(session, held, chunks=[chunk], first_seq=seq)
        commit(session)

    say(1)
    say(2)

    def go_on() -> None:
        time.sleep(0.3)
        say(3)
        end(session, held)

    background = threading.Thread(target=go_on)
    background.start()
    log = f"{server_url}/api/v1/tasks/{task.uuid}/logs/stream"
    seen = list(stream(log + "?after=1", token))
    background.join()
    assert [data["seq"] for kind, _, data in seen if kind == "log"] == [2, 3]
    assert {kind for kind, _, _ in seen} == {"status", "progress", "log", "end"}
    (last,) = [place for kind, place, data in seen if kind == "log" and data["seq"] == 2]
    again = list(stream(log, token, last))
    assert [data["seq"] for kind, _, data in again if kind == "log"] == [3]
