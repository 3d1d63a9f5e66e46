"""Platforms for benchmarks, each with a new home directory and started by the CLI."""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiplatform import Client

START_SECONDS = 240
STOP_SECONDS = 180


class NotMeasurable(Exception):
    """The machine lacks something that the measurement needs."""


@dataclass(frozen=True)
class Started:
    """A running platform. ``seconds`` is the total time that ``aiplatform up`` took."""

    seconds: float
    state: dict[str, Any]

    @property
    def url(self) -> str:
        """The URL of the API."""
        return str(self.state["url"])

    @property
    def owner_url(self) -> str:
        """The database URL for the owner of the tables, who may run VACUUM."""
        return str(self.state["migration_database_url"])

    @property
    def broker_url(self) -> str:
        """The URL of the private Valkey server."""
        return str(self.state["broker_url"])

    def pids(self, service: str) -> list[int]:
        """Return the process ids of a service: its main process and all descendants."""
        first = next(
            record["pid"] for record in self.state["services"] if record["name"] == service
        )
        return [first, *descendants(first)]


class Home:
    """A home, with methods that start and stop the platform in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings: dict[str, str] = {}
        self.password = secrets.token_urlsafe(16)

    def environment(self) -> dict[str, str]:
        """Return the platform's environment variables, without the caller's settings and logins."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AIPLATFORM_")}
        for name in ("AIPLATFORM_POSTGRES_BIN", "AIPLATFORM_VALKEY_BIN"):
            if name in os.environ:
                kept[name] = os.environ[name]
        return kept | {
            "AIPLATFORM_HOME": str(self.directory),
            "AIPLATFORM_ADMIN_PASSWORD": self.password,
            "AIPLATFORM_CREDENTIALS": str(self.directory.parent / "credentials.json"),
            **self.settings,
        }

    def up(self) -> Started:
        """Start the platform in the background on a free port."""
        began = time.perf_counter()
        answer = self._aiplatform("up", "--detach", "--json", "--port", "0", limit=START_SECONDS)
        seconds = time.perf_counter() - began
        return Started(seconds, json.loads(answer.splitlines()[-1]))

    def down(self) -> None:
        """Stop the platform; do nothing if it isn't running."""
        self._aiplatform("down", limit=STOP_SECONDS)

    def client(self, started: Started) -> Client:
        """Return a client logged in as the administrator."""
        return Client(started.url, credentials=self.directory.parent / "credentials.json").login(
            "admin", self.password
        )

    def _aiplatform(self, *arguments: str, limit: float) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "aiplatform", *arguments],
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
            timeout=limit,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"aiplatform {arguments[0]} ended with {done.returncode}")
        return done.stdout


@contextmanager
def fresh_home() -> Iterator[Home]:
    """Yield a home that doesn't exist yet; stop its platform and delete it afterwards."""
    # A benchmark that receives a SIGTERM must still stop its platform.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    directory = Path(tempfile.mkdtemp(prefix="aip-bench-"))
    # If this process is root, PostgreSQL runs as another user, who must be able to enter the
    # directory.
    directory.chmod(0o755)
    home = Home(directory / "home")
    try:
        yield home
    finally:
        try:
            home.down()
        finally:
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running_platform(**settings: str) -> Iterator[tuple[Client, Started]]:
    """Yield a logged-in client and a new platform with these ``AIPLATFORM_…`` settings."""
    with fresh_home() as home:
        home.settings = settings
        started = home.up()
        with home.client(started) as client:
            yield client, started


def descendants(pid: int) -> list[int]:
    """Return the process ids of all descendants of ``pid``, from Linux's /proc."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def proportional_bytes(pid: int) -> int:
    """Return a process's memory in bytes as PSS: shared pages are divided among processes.

    Raises:
        NotMeasurable: The system has no smaps_rollup, which only Linux provides.
    """
    path = Path(f"/proc/{pid}/smaps_rollup")
    if not path.exists():
        raise NotMeasurable("PSS needs Linux's /proc/PID/smaps_rollup")
    return _kibibytes(path, "Pss:")


def peak_bytes(pid: int) -> int:
    """Return a process's largest resident memory since :func:`forget_peak` or its start.

    Raises:
        NotMeasurable: The system is not Linux.
    """
    path = Path(f"/proc/{pid}/status")
    if not path.exists():
        raise NotMeasurable("peak memory needs Linux's /proc/PID/status")
    return _kibibytes(path, "VmHWM:")


def forget_peak(pid: int) -> None:
    """Reset the peak memory of a process.

    Raises:
        NotMeasurable: The system is not Linux.
    """
    path = Path(f"/proc/{pid}/clear_refs")
    if not path.exists():
        raise NotMeasurable("peak memory needs Linux's /proc/PID/clear_refs")
    path.write_text("5")


def _kibibytes(path: Path, key: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise NotMeasurable(f"{path} has no {key}")


def mapped_files(pid: int) -> set[str]:
    """Return the files that a process has mapped, including libraries.

    Raises:
        NotMeasurable: The system is not Linux.
    """
    path = Path(f"/proc/{pid}/maps")
    if not path.exists():
        raise NotMeasurable("loaded libraries need Linux's /proc/PID/maps")
    return {line.split(maxsplit=5)[5] for line in path.read_text().splitlines() if "/" in line}
