"""Tests of ``aiplatform tasks top``: once without a terminal, and live in a terminal."""

import json
import os
import pty
import select
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from aiplatform.cli import tasks, top
from aiplatform.client import PermissionDenied, Task, Worker

UUID = "7f000000-0000-4000-8000-000000000001"


class Listed(list[Any]):
    def take(self, count: int) -> list[Any]:
        return list(self[:count])


def task(created_at: datetime, **fields: Any) -> Task:
    return Task.read_answer({"uuid": UUID, "queue": "default", "created_at": created_at, **fields})


class FakeClient:
    """A client with two tasks and one worker."""

    url = "http://platform.test"

    def __init__(self, *, administrator: bool = True) -> None:
        self.administrator = administrator
        self.tasks = self.workers = self

    def list(self, status: str | None = None) -> Listed:
        now = datetime.now(UTC)
        if status == "running":
            detail = {"step": 30, "total_steps": 120, "seconds_left": 125.0}
            return Listed([
                task(now, name="tune \x1b[2J", type="training", status="running",
                     progress=0.25, progress_detail=detail, worker="w1", started_at=now)
            ])  # fmt: skip
        if status == "pending":
            waiting = {"ahead": 0, "reason": "needs 1 GPU, 0 of 4 free", "reason_zh": "-"}
            return Listed([
                task(now, name="later", type="evaluation", status="pending", position=1,
                     waiting=waiting)
            ])  # fmt: skip
        if status is None:
            if not self.administrator:
                raise PermissionDenied("no", code="auth.permission_denied")
            load = {"cpu_percent": 50.0, "memory_used_mb": 2048, "gpu0.percent": 90.0}
            return Listed([
                Worker.read_answer({
                    "uuid": UUID, "name": "w1", "hostname": "h", "version": "1", "state": "active",
                    "alive": True, "memory_mb": 8192, "load": load, "started_at": now,
                    "heartbeat_at": now, "devices": [{"id": "0", "task": UUID}],
                })
            ])  # fmt: skip
        return Listed()


def test_top_without_a_terminal_prints_once(capsys: pytest.CaptureFixture[str]) -> None:
    top.top(FakeClient(), 2.0)  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    for text in ("1 running, 1 waiting", "███░░░░░░░░░  25%", "30/120", "2:05",
                 "needs 1 GPU, 0 of 4 free", "██████░░░░░░  50%", "90 % busy"):  # fmt: skip
        assert text in shown
    assert "\x1b" not in shown, "names can't steer the terminal"


def test_top_without_permission_to_see_workers_shows_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    top.top(FakeClient(administrator=False), 2.0)  # type: ignore[arg-type]
    shown = capsys.readouterr().out
    assert "RUNNING" in shown
    assert "WORKERS" not in shown


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("key", [b"q", b"\x03"])
def test_top_in_a_terminal_runs_until_a_key_and_restores_the_terminal(key: bytes) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        # Use the terminal instead of the streams that the test run captures.
        sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
        os.environ["TERM"] = "xterm"
        os.environ["COLUMNS"], os.environ["LINES"] = "120", "40"
        top.top(FakeClient(), 0.2)  # type: ignore[arg-type]
        sys.stdout.write("as before\n")
        sys.stdout.flush()
        os._exit(0)
    shown = read_until(terminal, b"q ends")
    os.write(terminal, key)
    shown += read_until(terminal, b"as before")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert "needs 1 GPU" in shown.decode("utf-8", "replace")
    assert b"\x1b[?1049h" in shown, "it has a screen of its own"
    assert b"\x1b[?1049l" in shown, "and gives it back"


def read_until(terminal: int, text: bytes, seconds: float = 20) -> bytes:
    deadline = time.monotonic() + seconds
    shown = b""
    while text not in shown:
        assert time.monotonic() < deadline, shown
        ready, _, _ = select.select([terminal], [], [], 0.5)
        if ready:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # Linux raises this at the end
                break
    return shown


def test_top_with_json_prints_a_snapshot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aiplatform.cli.tasks.connect", lambda _: FakeClient())
    tasks.top(json=True)
    shown = json.loads(capsys.readouterr().out)
    assert [task["name"] for task in shown["waiting"]] == ["later"]
    assert shown["workers"][0]["name"] == "w1"
