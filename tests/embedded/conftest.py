"""A platform with fake programs and real PostgreSQL and Valkey, in its own home."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from aiplatform.embedded.control import platform_status
from aiplatform.embedded.home import Home
from aiplatform.embedded.leftovers import end_leftovers
from aiplatform.embedded.process import is_same_process, wait_until_gone
from aiplatform.embedded.state import ServiceRecord, State, read_state

COMMAND = Path(__file__).with_name("command.py")


class Platform:
    """A platform's home, with the commands that a user runs there."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.sockets: set[Path] = set()
        self.program: list[str | Path] = [sys.executable, COMMAND]

    def command(
        self, *arguments: str, env: dict[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.program, *arguments, "--home", self.home.root],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            env={**os.environ, **(env or {})},
            **options,
        )

    def up(self, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> State:
        """Start the platform in the background and check that it becomes ready."""
        done = self.command("up", "--detach", "--port", "0", *arguments, env=env, **options)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.state

    def up_attached(self, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start the platform in the foreground and wait until it is ready."""
        process = subprocess.Popen(
            [sys.executable, COMMAND, "up", "--json", "--port", "0", "--home", self.home.root],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        assert json.loads(line)["phase"] == "ready"
        return process

    def down(self) -> subprocess.CompletedProcess[str]:
        return self.command("down")

    @property
    def state(self) -> State:
        state = read_state(self.home)
        assert state is not None
        self.sockets.add(Path(state.socket_dir))
        return state

    def service(self, name: str) -> ServiceRecord:
        return next(record for record in self.state.services if record.name == name)

    def pid(self, name: str) -> int:
        pid = self.service(name).pid
        assert pid is not None
        return pid

    def kill(self, *names: str) -> list[tuple[int, str]]:
        """Send SIGKILL to these services; return the pid and identity of each."""
        victims = [self.service(name) for name in names]
        for victim in victims:
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
        return [(victim.pid or 0, victim.identity or "") for victim in victims]

    def kill_supervisor(self) -> State:
        state = self.state
        os.kill(state.pid, signal.SIGKILL)
        assert wait_until_gone(state.pid, state.identity, 5)
        return state

    def wait(self, condition: Callable[[], bool], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while True:
            with contextlib.suppress(AssertionError, StopIteration, psycopg.Error):
                if condition():
                    return
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds} s; log: {self.log('supervisor')}")
            time.sleep(0.05)

    def healthy(self) -> bool:
        status = platform_status(self.home)
        return status.running and status.health is not None and status.health.is_ok

    def log(self, name: str) -> str:
        return (self.home.logs / f"{name}.log").read_text()

    def write_row(self) -> int:
        """Commit a row and return its number."""
        with psycopg.connect(self.state.database_url) as connection:
            row = connection.execute("INSERT INTO ledger DEFAULT VALUES RETURNING n").fetchone()
        assert row is not None
        return int(row[0])

    def rows(self) -> list[int]:
        with psycopg.connect(self.state.database_url) as connection:
            return [row[0] for row in connection.execute("SELECT n FROM ledger ORDER BY n")]

    def broker(self, command: str) -> str:
        """Send an inline command to Valkey and return its response."""
        import socket

        path = self.state.broker_url.removeprefix("redis+socket://").partition("?")[0]
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(path)
            connection.sendall(command.encode() + b"\r\n")
            return connection.recv(4096).decode()

    def clean(self) -> None:
        if self.home.run.is_dir():
            self.down()
            end_leftovers(self.home)
        for directory in [self.home.root, *self.sockets]:
            shutil.rmtree(directory, ignore_errors=True)


def ended(process: psutil.Process) -> bool:
    """Return True if a process is gone, or is a zombie that only its new parent can reap."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def all_gone(state: State) -> bool:
    return not any(is_same_process(record.pid, record.identity) for record in state.services)


@pytest.fixture
def new_platform() -> Iterator[Callable[..., Platform]]:
    """Return a function that creates platforms, which are stopped and removed after the test.

    Their homes are outside pytest's own directories, which other users may not enter.
    """
    made: list[Platform] = []

    def make(name: str = "home") -> Platform:
        root = Path(tempfile.mkdtemp(prefix="aiplatform-test-")).resolve()
        made.append(Platform(root / name))
        root.chmod(0o711)
        return made[-1]

    yield make
    for platform in made:
        platform.clean()
        shutil.rmtree(platform.home.root.parent, ignore_errors=True)


@pytest.fixture
def platform(new_platform: Callable[..., Platform]) -> Platform:
    return new_platform()


def output_of(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr
