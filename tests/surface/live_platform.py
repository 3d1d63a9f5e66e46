"""The platform that all scenarios share, with the objects that several of them need."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
import typer.main

from aiplatform import Client
from aiplatform.cli.main import main
from aiplatform.client import Dataset, Experiment, Model, Task
from tests.e2e.conftest import PASSWORD, Platform, chats, running_platform
from tests.server.identity.fake_provider import CLIENT_ID, FakeProvider
from tests.surface.recorder import Recorder, command_in, command_tree
from tests.tiny_model import make_tiny_model

PROJECT = "surface"
NEW_PASSWORD = "another long passphrase 7"
T = TypeVar("T")
_number = count(1)


class shared_property(cached_property[T]):  # noqa: N801  (used as a decorator)
    """A cached property for objects that scenarios share.

    The object is created on first use. The calls that create it are not counted for the scenario.
    """

    def __get__(self, live: LivePlatform, owner: type | None = None) -> T:  # type: ignore[override]
        called = set(live.recorder.called)
        try:
            return super().__get__(live, owner)
        finally:
            live.recorder.called = called


def run_here(
    words: tuple[str, ...], environment: dict[str, str], out: io.StringIO, err: io.StringIO
) -> str:
    """Run a command in this process, check that it succeeds, and return its standard output."""
    with (
        patch.dict("os.environ", environment),
        patch.object(sys, "argv", ["aiplatform", *words]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as end,
    ):
        main()
    printed = f"aiplatform {' '.join(words)}: {out.getvalue()}{err.getvalue()}"
    assert not end.value.code, printed
    return out.getvalue()


class LivePlatform:
    """A running platform, with the SDK and the command line signed in as its administrator.

    Objects that take long to create, such as a tuned model, are created once, by the first scenario
    that needs them.
    """

    def __init__(
        self, platform: Platform, recorder: Recorder, tmp: Path, provider: FakeProvider
    ) -> None:
        self.platform = platform
        self.provider = provider
        self.recorder = recorder
        self.tmp = tmp
        self.client = platform.client()
        self.client.projects.get_or_create(PROJECT)
        self.client.project = PROJECT

    def name(self, of: str = "thing") -> str:
        """Return an unused name."""
        return f"{of}{next(_number)}"

    def file(self, name: str, content: str | bytes) -> Path:
        """Write a file and return its path."""
        path = self.tmp / f"{next(_number)}" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def rows(self, copies: int = 1) -> Path:
        """Write a file of conversations that no other file contains, and return its path."""
        found = chats(copies, tag=self.name("t"))
        return self.file("rows.jsonl", "".join(json.dumps(row) + "\n" for row in found))

    def connect(self, token: str) -> Client:
        """Return an SDK client that uses the given token."""
        return Client(self.platform.url, token=token, project=PROJECT)

    def person(self, role: str = "user") -> tuple[str, Client]:
        """Create a user; return their name and an SDK client that is signed in as them."""
        name = self.name("person")
        self.client.users.create(name, f"{name}@example.com", PASSWORD, role=role)
        client = Client(self.platform.url, credentials=self.tmp / f"{name}.json")
        return name, client.login(name, PASSWORD)

    def environment(self, token: str | None = None) -> dict[str, str]:
        """Return a command's environment variables, by default for the administrator.

        With an empty token, a command uses the credentials that ``aiplatform login`` stored.
        """
        token = self.client.access_token() if token is None else token
        return {
            "AIPLATFORM_URL": self.platform.url,
            "AIPLATFORM_PROJECT": PROJECT,
            "AIPLATFORM_HOME": str(self.platform.home),
            "AIPLATFORM_CREDENTIALS": str(self.tmp / "credentials.json"),
            "AIPLATFORM_CACHE": str(self.tmp / "cache"),
            "AIPLATFORM_RUNS": str(self.tmp / "runs"),
            "LC_ALL": "C.UTF-8",
            **({"AIPLATFORM_TOKEN": token} if token else {}),
        }

    def cli(self, *arguments: object, stdin: str = "", token: str | None = None) -> str:
        """Run a command in this process against the platform and return its output.

        Use :meth:`process` for commands that run the platform or read its database (``up``, ``db``,
        ``audit seal``).
        """
        words = tuple(str(argument) for argument in arguments)
        with (
            patch.object(sys, "stdin", io.StringIO(stdin)),
            patch.object(typer.main, "get_command", command_tree),
        ):
            printed = run_here(words, self.environment(token), io.StringIO(), io.StringIO())
        self.recorder.note(command_in(words))
        return printed

    def cli_json(self, *arguments: object, **options: Any) -> Any:
        """Run a command with ``--json`` and return the value that it prints."""
        return json.loads(self.cli(*arguments, "--json", **options))

    def process(self, *arguments: str) -> str:
        """Run a command in a separate process, which finds the platform in ``AIPLATFORM_HOME``."""
        done = self.platform.command(*arguments)
        self.recorder.note(command_in(arguments))
        return done.stdout

    @shared_property
    def model(self) -> Model:
        """Import a tiny base model."""
        directory = make_tiny_model(self.tmp / "tiny")
        return self.client.models.import_path(directory / "weights", name="tiny").wait_ready(300)

    @shared_property
    def dataset(self) -> Dataset:
        """Create a dataset with a quality report and a second version."""
        made = self.client.datasets.upload("questions", self.rows(4)).wait_ready(300)
        self.client.datasets.append(made, self.rows(1))
        return made.refresh().wait_ready(300)

    @shared_property
    def held_out(self) -> Dataset:
        """Create a dataset to evaluate models on."""
        return self.client.datasets.upload("held-out", self.rows(1)).wait_ready(300)

    @shared_property
    def experiment(self) -> Experiment:
        """Create an experiment of two training steps; its only run is :attr:`training`."""
        return self.client.experiments.create(
            "tiny-steps", base_model=self.model, dataset=self.dataset, output_name="tuned",
            max_steps=2, batch_size=2, max_length=64, checkpoint_steps=2, lora={"rank": 4},
        )  # fmt: skip

    @shared_property
    def training(self) -> Task:
        """Run a training task until it has completed."""
        return self.experiment.run(name="first").wait(500)

    @shared_property
    def tuned(self) -> Model:
        """Return the model that :attr:`training` created."""
        assert self.training.model is not None
        return self.client.models.get(self.training.model)

    @shared_property
    def endless(self) -> Task:
        """Create an external run that never ends."""
        path = self.client.projects.path(PROJECT)
        made = self.client.transport.post(f"{path}/runs", {"name": "endless"})
        return self.client.tasks.get(made["uuid"])

    @contextmanager
    def cordoned(self) -> Iterator[None]:
        """Cordon all workers inside the ``with`` block, so that no task starts."""
        for worker in self.client.workers.list():
            self.client.workers.cordon(worker)
        try:
            yield
        finally:
            for worker in self.client.workers.list():
                self.client.workers.resume(worker)

    def cancel_pending(self) -> None:
        """Cancel all pending tasks."""
        for task in self.client.tasks.list(status="pending").all():
            task.cancel()

    def parked(self) -> Task:
        """Queue a task that never starts, because it waits for :attr:`endless`."""
        spec = {"type": "data_quality", "dataset": {"dataset": str(self.held_out.uuid)}}
        return self.client.tasks.submit(spec, name=self.name("parked"), after=[self.endless])


@contextmanager
def start_platform(tmp: Path) -> Iterator[LivePlatform]:
    """Run the platform for all scenarios, and record calls to the SDK."""
    provider = FakeProvider()
    limits = ("LOGIN", "ANONYMOUS", "NORMAL", "INGEST")
    settings = {
        "AIPLATFORM_SCRIPTS": "true",
        "AIPLATFORM_SELF_REGISTRATION": "true",
        "AIPLATFORM_OUTGOING_NETWORKS": "127.0.0.0/8",
        **{f"AIPLATFORM_RATE_LIMIT_{of}": "off" for of in limits},
        "AIPLATFORM_OIDC_ISSUER": provider.issuer,
        "AIPLATFORM_OIDC_CLIENT_ID": CLIENT_ID,
        "AIPLATFORM_OIDC_CLIENT_SECRET": "secret",
    }
    recorder = Recorder()
    try:
        with running_platform(**settings) as platform, recorder.watching():
            yield LivePlatform(platform, recorder, tmp, provider)
    finally:
        provider.server.shutdown()
        provider.server.server_close()


Scenario = Callable[[LivePlatform], None]
SCENARIOS: dict[str, tuple[Scenario, frozenset[str]]] = {}
"""Scenarios by name, each with the methods and commands that it declares."""

LAST: list[str] = []
"""Names of the scenarios that run last, because they stop the platform."""


def scenario(*calls: str, last: bool = False) -> Callable[[Scenario], Scenario]:
    """Register a scenario with the SDK methods and commands that it calls successfully."""

    def register(run: Scenario) -> Scenario:
        SCENARIOS[run.__name__] = run, frozenset(calls)
        if last:
            LAST.append(run.__name__)
        return run

    return register
