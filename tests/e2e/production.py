"""A production-like platform: the Linux distribution's servers and the platform's programs."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from aiplatform.embedded.binaries import (
    POSTGRES_SETTING,
    PostgresBinaries,
    debian_directories,
    find_postgres,
)
from aiplatform.embedded.process import spawn
from tests.e2e.conftest import PASSWORD, free_port
from tests.servers import scratch_directory, stop

PROMISED = "TEST_SERVERS"
"""Environment variable; ``required`` means that the distribution's servers must be installed."""
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Path of the server in Debian's package; the program on ``PATH`` runs only as its own user."""


def missing(what: str) -> NoReturn:
    """Skip the test because a server is missing; fail if servers are required, as in CI."""
    if os.environ.get(PROMISED) == "required":
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def rabbitmq() -> Iterator[str]:
    """Run a new RabbitMQ server on loopback and yield its URL for Celery."""
    epmd = shutil.which("epmd") or ""
    if not epmd or not RABBITMQ.exists():
        missing("RabbitMQ is not installed (Debian: apt-get install rabbitmq-server)")
    with scratch_directory() as directory:
        names, nodes, port = free_port(), free_port(), free_port()
        environment = {
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(names),
            "HOME": str(directory),
            "PATH": os.environ["PATH"],
            "RABBITMQ_DIST_PORT": str(nodes),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_NODENAME": f"aip{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
        }
        log = directory / "rabbitmq.log"
        with log.open("wb") as output:
            registrar = spawn(
                [epmd, "-address", "127.0.0.1", "-port", str(names)],
                env=environment, log=output, cwd=directory, death_signal=signal.SIGKILL,
            )  # fmt: skip
            try:
                broker = spawn(
                    [str(RABBITMQ)],
                    env=environment, log=output, cwd=directory, death_signal=signal.SIGTERM,
                )  # fmt: skip
                try:
                    wait_for_port(port, broker, log)
                    yield f"amqp://guest:guest@127.0.0.1:{port}//"
                finally:
                    stop(broker, signal.SIGTERM)
            finally:
                stop(registrar, signal.SIGTERM)


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a server speaks AMQP on a port; RabbitMQ takes some seconds to start."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                if connection.recv(1):
                    return
        except OSError:
            pass
        time.sleep(0.2)
    raise RuntimeError(log.read_text("utf-8", "replace"))


@contextmanager
def production(home: Path, **settings: str) -> Iterator[str]:
    """Migrate the database, run one API and one worker, and yield the API's URL."""
    port = free_port()
    environment = {
        **os.environ,
        "AIPLATFORM_ADMIN_PASSWORD": PASSWORD,
        "AIPLATFORM_HOME": str(home),
        "AIPLATFORM_PORT": str(port),
        **settings,
    }
    run = [sys.executable, "-m", "aiplatform"]
    subprocess.run([*run, "db", "upgrade"], env=environment, check=True, timeout=120)
    running: list[subprocess.Popen[bytes]] = []
    with (home / "production.log").open("wb") as output:
        try:
            running += [
                subprocess.Popen([*run, program], env=environment, stdout=output, stderr=output)
                for program in ("server", "worker")
            ]
            url = f"http://127.0.0.1:{port}"
            wait_until_healthy(url, running, home / "production.log")
            yield url
        finally:
            for process in reversed(running):
                stop(process, signal.SIGTERM)


def wait_until_healthy(url: str, running: "list[subprocess.Popen[bytes]]", log: Path) -> None:
    """Wait until the API reports that database, broker, storage and a worker are ready."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and all(one.poll() is None for one in running):
        try:
            if httpx.get(f"{url}/api/v1/health/details", timeout=5).json()["status"] == "ok":
                return
        except (httpx.HTTPError, KeyError):
            pass
        time.sleep(0.2)
    raise RuntimeError(log.read_text("utf-8", "replace")[-5000:])


def debian_postgres() -> PostgresBinaries:
    """Return the newest PostgreSQL installed by the distribution."""
    if not debian_directories():
        missing("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return find_postgres({POSTGRES_SETTING: str(debian_directories()[0])})
