"""Tests of the child process that parses uploads: its environment, failures and limits."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import psutil
import pytest

from aiplatform.protocol.enums import DataShape
from aiplatform.server.core.errors import InsufficientStorage
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import UploadAborted
from aiplatform.server.datasets.errors import ExportFailed, IngestFailed, MalformedFile
from aiplatform.server.datasets.service import content
from aiplatform.server.datasets.service.ingest import ingest


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that replaces the program that parses uploads with a script."""

    def put(script: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\n{dedent(script)}")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return put


async def never() -> None:
    await asyncio.Event().wait()


async def read(directory: Path, disconnected: Any = never, **options: Any) -> Any:
    source = directory / "upload"
    source.write_bytes(b'{"text": "a"}\n')
    return await ingest(
        source,
        directory / "rows.parquet",
        filename="a.jsonl",
        format=None,
        disconnected=disconnected,
        **options,
    )


def test_real_program_parses_a_file(tmp_path: Path) -> None:
    result = asyncio.run(read(tmp_path))
    assert (result.rows, result.shape) == (1, DataShape.TEXT)
    assert result.path.stat().st_size == result.size
    assert result.found["encoding"] == "UTF-8"


def test_program_gets_no_secrets(
    tmp_path: Path, program: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AIPLATFORM_DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "SECRET", "HOME"):
        monkeypatch.setenv(name, "x")
    program(
        """
        import json
        print(json.dumps({"ok": False, "code": "c", "message": " ".join(sorted(os.environ)),
                          "message_zh": os.getcwd()}))
        """
    )
    with pytest.raises(MalformedFile) as caught:
        asyncio.run(read(tmp_path))
    seen = set(caught.value.params["message"].split())
    assert seen <= {"PATH", "PYTHONPATH", "SYSTEMROOT", "TZ", "LC_ALL", "TMPDIR", "LC_CTYPE"}
    assert caught.value.params["message_zh"] == str(tmp_path)


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        ("sys.exit(3)", "exit status 3"),
        ("os.kill(os.getpid(), 9)", "signal SIGKILL"),
        ("print('not json')", "exit status 0"),
        ("print('[]')", "exit status 0"),
        ("print('{\"ok\": 1}')", "exit status 0"),
    ],
)
def test_program_failure_is_not_blamed_on_the_file(
    tmp_path: Path, program: Any, script: str, ending: str
) -> None:
    program(script)
    with pytest.raises(IngestFailed) as caught:
        asyncio.run(read(tmp_path))
    assert caught.value.params["ending"] == ending


def test_excessive_cpu_time_is_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let the real program exceed its CPU time, so that the kernel kills it."""
    monkeypatch.setattr(get_settings(), "ingest_cpu_seconds", 1)
    source = tmp_path / "upload"
    source.write_bytes(b'{"text": "%s"}\n' % (b"abc " * 1000) * 60_000)
    with pytest.raises(MalformedFile) as caught:
        asyncio.run(
            ingest(
                source,
                tmp_path / "rows.parquet",
                filename="x.jsonl",
                format=None,
                disconnected=never,
            )
        )
    assert "AIPLATFORM_INGEST_CPU_SECONDS" in caught.value.params["message"]
    assert "AIPLATFORM_INGEST_CPU_SECONDS" in caught.value.params["message_zh"]


def test_full_disk_is_reported(tmp_path: Path, program: Any) -> None:
    program("raise OSError(28, 'No space left on device')")
    with pytest.raises(InsufficientStorage):
        asyncio.run(read(tmp_path))


@pytest.fixture
def pid_of(tmp_path: Path, program: Any) -> Any:
    """Replace the program with one that runs for ten minutes and has a child process.

    Return a function that waits until both processes run, and returns their ids.
    """
    program(
        f"""
        import subprocess
        other = subprocess.Popen(["sleep", "600"])
        with open({str(tmp_path / "pids.new")!r}, "w") as file:
            file.write(f"{{os.getpid()}} {{other.pid}}")
        os.rename({str(tmp_path / "pids.new")!r}, {str(tmp_path / "pids")!r})
        time.sleep(600)
        """
    )

    async def pids() -> list[int]:
        while not (tmp_path / "pids").exists():  # noqa: ASYNC110  (another process creates it)
            await asyncio.sleep(0.01)
        return [int(pid) for pid in (tmp_path / "pids").read_text().split()]

    return pids


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_program_is_killed_when_the_request_is_cancelled(tmp_path: Path, pid_of: Any) -> None:
    async def run() -> list[int]:
        reading = asyncio.create_task(read(tmp_path))
        pids: list[int] = await pid_of()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.sleep(0.1)
        return pids

    assert not any(running(pid) for pid in asyncio.run(run()))


def test_program_is_killed_when_the_client_disconnects(tmp_path: Path, pid_of: Any) -> None:
    async def run() -> list[int]:
        gone = asyncio.Event()
        reading = asyncio.create_task(read(tmp_path, disconnected=gone.wait))
        pids: list[int] = await pid_of()
        gone.set()
        with pytest.raises(UploadAborted):
            await reading
        await asyncio.sleep(0.1)
        return pids

    assert not any(running(pid) for pid in asyncio.run(run()))


@pytest.mark.parametrize(("machine", "own", "most"), [(2, 2, 2), (3, 1, 1)])
def test_concurrent_programs_are_limited(
    tmp_path: Path, program: Any, monkeypatch: pytest.MonkeyPatch, machine: int, own: int, most: int
) -> None:
    monkeypatch.setattr(get_settings(), "home", tmp_path / "home")
    monkeypatch.setattr(get_settings(), "ingest_at_once", machine)
    monkeypatch.setattr(get_settings(), "ingest_at_once_per_project", own)
    project = uuid4()
    program(
        f"""
        running = {str(tmp_path / "running")!r}
        os.makedirs(running, exist_ok=True)
        mine = os.path.join(running, str(os.getpid()))
        open(mine, "w").close()
        count = 0
        for _ in range(20):
            count = max(count, len(os.listdir(running)))
            time.sleep(0.01)
        os.unlink(mine)
        print('{{"ok": false, "code": "c", "message": "%d", "message_zh": ""}}' % count)
        """
    )

    async def run() -> list[int]:
        answers = await asyncio.gather(
            *(read(tmp_path, project=project) for _ in range(6)), return_exceptions=True
        )
        return [int(answer.params["message"]) for answer in answers]  # type: ignore[union-attr]

    # Two API processes on one machine share the slots.
    with ThreadPoolExecutor(2) as threads:
        found = [threads.submit(asyncio.run, run()) for _ in range(2)]
        counts = [count for one in found for count in one.result()]
    assert len(counts) == 12
    assert max(counts) == most
    assert list((tmp_path / "running").iterdir()) == []


class TestExport:
    """Tests of the child process that exports rows as JSON Lines."""

    def test_export_fails_when_the_child_is_killed(self, tmp_path: Path, program: Any) -> None:
        program("print('{}'); sys.stdout.flush(); os.kill(os.getpid(), 9)")
        seen = []

        async def run() -> None:
            async for chunk in content.export_rows(tmp_path / "rows.parquet", "jsonl"):
                seen.append(chunk)  # noqa: PERF401  (chunks before the error are checked)

        with pytest.raises(ExportFailed, match="SIGKILL"):
            asyncio.run(run())
        assert seen == [b"{}\n"]

    def test_export_is_killed_when_the_reader_stops(self, tmp_path: Path, program: Any) -> None:
        program(
            f"""
            with open({str(tmp_path / "pid")!r}, "w") as file:
                file.write(str(os.getpid()))
            while True:
                print("x" * 100_000)
            """
        )

        async def run() -> int:
            chunks = content.export_rows(tmp_path / "rows.parquet", "jsonl")
            await anext(chunks)
            await chunks.aclose()  # type: ignore[attr-defined]
            return int((tmp_path / "pid").read_text())

        assert not running(asyncio.run(run()))
