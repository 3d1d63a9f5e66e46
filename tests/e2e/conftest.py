"""Fixtures that start the whole platform as a user does: servers, processes and SDK."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from aiplatform import Client
from aiplatform.client.models import Model
from aiplatform.embedded.home import Home
from aiplatform.embedded.state import State, read_state
from tests.openapi_checks import checked_sdk
from tests.tiny_model import make_tiny_model

PASSWORD = "a long enough passphrase"
QUESTIONS = [
    ("What is the capital of France?", "The capital of France is Paris."),
    ("Who are you?", "I am a model."),
    ("How are you today?", "I am well, thank you."),
    ("What jumps over the lazy dog?", "The quick brown fox jumps over the lazy dog."),
    ("你好，你是谁？", "我是一个模型。"),
]


@dataclass
class Platform:
    """A running platform with its own home directory."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    """Command that wraps every other command, such as a program that changes the user."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(
        self, *arguments: str, check: bool = True, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``aiplatform`` as a user does, with ``given`` as standard input."""
        environment = {
            **os.environ,
            "AIPLATFORM_ADMIN_PASSWORD": PASSWORD,
            "AIPLATFORM_CREDENTIALS": str(self.home / "credentials.json"),
            "AIPLATFORM_HOME": str(self.home),
            "AIPLATFORM_URL": self.url,
            **self.environment,
        }
        done = subprocess.run(
            [*self.prefix, sys.executable, "-m", "aiplatform", *arguments],
            env=environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    def up(self) -> None:
        self.command("up", "--detach", "--port", str(self.port))

    def down(self) -> None:
        self.command("down", check=False)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "--json", check=False).stdout)
        return found

    @property
    def state(self) -> State:
        """The state that the supervisor last wrote, for itself and its services."""
        state = read_state(Home(self.home))
        assert state is not None
        return state

    def pid(self, service: str) -> int:
        """Return the process id of a service."""
        pid = next(found.pid for found in self.state.services if found.name == service)
        assert pid is not None
        return pid

    def client(self) -> Client:
        """Return a client that is signed in as the administrator."""
        client = Client(self.url, credentials=self.home / "sdk.json")
        return client.login("admin", PASSWORD)

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of an SQL statement in the platform's database."""
        with psycopg.connect(self.state.database_url) as connection:
            return connection.execute(statement, parameters).fetchall()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_platform(
    *, prefix: tuple[str, ...] = (), owner: int | None = None, **environment: str
) -> Iterator[Platform]:
    """Run a separate platform; ``owner`` is the id of the user who owns its directory."""
    with tempfile.TemporaryDirectory(prefix="aip-e2e-") as directory:
        Path(directory).chmod(0o755)
        if owner is not None:
            os.chown(directory, owner, owner)
        platform = Platform(Path(directory) / "home", free_port(), environment, prefix)
        platform.up()
        try:
            with checked_sdk():
                yield platform
        finally:
            platform.down()


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with running_platform() as running:
        yield running


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[Client]:
    with platform.client() as client:
        client.projects.create("e2e")
        client.project = "e2e"
        yield client


@pytest.fixture(scope="module")
def base_model(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Model:
    directory = make_tiny_model(tmp_path_factory.mktemp("tiny"))
    return client.models.import_path(directory / "weights", name="tiny").wait_ready(120)


def chats(copies: int, *, tag: str = "") -> list[dict[str, Any]]:
    """Return distinct rows for a chat dataset."""
    return [
        {
            "messages": [
                {"role": "user", "content": f"{question} ({tag}{number})"},
                {"role": "assistant", "content": answer},
            ]
        }
        for number in range(copies)
        for question, answer in QUESTIONS
    ]


def command_of(process: psutil.Process) -> list[str]:
    """Return the command line of a process; an empty list if it has just exited."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
