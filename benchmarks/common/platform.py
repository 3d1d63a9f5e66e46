"""A platform of the benchmark's own: a fresh home in a temporary directory, started by the CLI."""

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
    """This machine can't show what the benchmark measures."""


@dataclass(frozen=True)
class Started:
    """A running platform. ``seconds`` from the command line to its return, interpreter included."""

    seconds: float
    state: dict[str, Any]

    @property
    def url(self) -> str:
        """Where the API listens."""
        return str(self.state["url"])

    @property
    def owner_url(self) -> str:
        """The database as its owner, who may vacuum what was just filled, as autovacuum would."""
        return str(self.state["migration_database_url"])

    @property
    def broker_url(self) -> str:
        """The private Valkey."""
        return str(self.state["broker_url"])

    def pids(self, service: str) -> list[int]:
        """The processes of one service: the one that was started, and its descendants."""
        first = next(
            record["pid"] for record in self.state["services"] if record["name"] == service
        )
        return [first, *descendants(first)]


class Home:
    """A home and how to start and stop the platform in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings: dict[str, str] = {}
        self.password = secrets.token_urlsafe(16)

    def environment(self) -> dict[str, str]:
        """Nothing of the caller's own platform leaks in, no login leaks out."""
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
        """Start it in the background, on a free port."""
        began = time.perf_counter()
        answer = self._aiplatform("up", "--detach", "--json", "--port", "0", limit=START_SECONDS)
        seconds = time.perf_counter() - began
        return Started(seconds, json.loads(answer.splitlines()[-1]))

    def down(self) -> None:
        """Stop it; nothing happens when it does not run."""
        self._aiplatform("down", limit=STOP_SECONDS)

    def client(self, started: Started) -> Client:
        """Logged in as the administrator; the login is not kept."""
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
    """A home that does not exist yet; stopped and deleted at the end, whatever happens."""
    # A benchmark that is told to end still has a platform to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    directory = Path(tempfile.mkdtemp(prefix="aip-bench-"))
    # As root, PostgreSQL runs as another user, who must be able to pass through.
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
    """A fresh platform with some settings (``AIPLATFORM_…``), and a client that is logged in."""
    with fresh_home() as home:
        home.settings = settings
        started = home.up()
        with home.client(started) as client:
            yield client, started


def descendants(pid: int) -> list[int]:
    """The processes below ``pid``, by Linux's /proc."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *descendants(child)]
    return found


def proportional_bytes(pid: int) -> int:
    """PSS: memory of a process, shared pages divided among those who share them.

    Raises:
        NotMeasurable: without Linux's smaps_rollup.
    """
    path = Path(f"/proc/{pid}/smaps_rollup")
    if not path.exists():
        raise NotMeasurable("PSS needs Linux's /proc/PID/smaps_rollup")
    return _kibibytes(path, "Pss:")


def peak_bytes(pid: int) -> int:
    """The largest resident memory of a process since :func:`forget_peak`, or since it began."""
    path = Path(f"/proc/{pid}/status")
    if not path.exists():
        raise NotMeasurable("peak memory needs Linux's /proc/PID/status")
    return _kibibytes(path, "VmHWM:")


def forget_peak(pid: int) -> None:
    """Let the peak be counted anew."""
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
    """The files that a process has in memory, libraries among them."""
    path = Path(f"/proc/{pid}/maps")
    if not path.exists():
        raise NotMeasurable("loaded libraries need Linux's /proc/PID/maps")
    return {line.split(maxsplit=5)[5] for line in path.read_text().splitlines() if "/" in line}
