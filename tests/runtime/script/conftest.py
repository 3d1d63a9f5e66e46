"""Fixtures for jobs of type script in the real launcher."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from aiplatform.protocol.messages import Job, Ranks, encode
from aiplatform.protocol.specs import ScriptSpec
from tests.runtime.harness import Runner

Start = Callable[..., Runner]
AS_ROOT = os.geteuid() == 0
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else "python3"
"""A Python that all users may run, even if the checkout is in root's home directory."""

ORDINARY = """
import os, sys
os.geteuid = lambda: 1000
from aiplatform.runtime.launcher import launch, parse_arguments
sys.exit(launch(parse_arguments(sys.argv[1:])))
"""
"""A program that starts the runtime as if its user were not root."""

REPORT = """
import json, os
def report(**message):
    os.write(int(os.environ["AIPLATFORM_REPORT_FD"]), (json.dumps(message) + "\\n").encode())
"""


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """Return a function that creates a job as the worker does, with ``main.py`` in its bundle."""

    def make_job(
        code: str,
        *arguments: str,
        resume: Path | None = None,
        inputs: dict[str, str] | None = None,
        command: list[str] | None = None,
        ranks: Ranks | None = None,
        **spec: Any,
    ) -> Job:
        directory = tmp_path / uuid4().hex
        for name in ("inputs/code", "output", "checkpoints"):
            (directory / name).mkdir(parents=True)
        (directory / "main.py").write_text(REPORT + code)
        bundle = directory / "inputs/code/bundle.tar.gz"
        with tarfile.open(bundle, "w:gz") as archive:
            archive.add(directory / "main.py", "main.py")
        return Job(
            task=uuid4(),
            attempt=1,
            spec=ScriptSpec(
                bundle=uuid4(), command=command or [PYTHON, "main.py", *arguments], **spec
            ),
            inputs={"code": str(bundle), **(inputs or {})},
            output_dir=str(directory / "output"),
            checkpoint_dir=str(directory / "checkpoints"),
            resume_from=None if resume is None else str(resume),
            ranks=ranks,
        )

    return make_job


@pytest.fixture
def start(make_job: Callable[..., Job]) -> Start:
    """Return a function that creates a job and starts it."""

    def start(
        *arguments: str,
        environment: dict[str, str] | None = None,
        ordinary: bool = False,
        **job: Any,
    ) -> Runner:
        made = make_job(*arguments, **job)
        # By default, scripts that can't be isolated are refused.
        made.isolation_required = AS_ROOT and not ordinary
        directory = Path(made.output_dir).parent
        if ordinary:
            (directory / "job.json").write_bytes(encode(made))
            runner = Runner(["-c", ORDINARY, "--job", str(directory / "job.json")], environment)
        else:
            runner = Runner.of_job(made, directory, **(environment or {}))
        runner.directory = directory  # type: ignore[attr-defined]
        return runner

    return start


def outputs(runner: Runner) -> dict[str, str]:
    root: Path = runner.directory / "output"  # type: ignore[attr-defined]
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*") if p.is_file()}


def wait_until_none_is_left(uid: int) -> None:
    """Wait until all processes of a script's user have exited; fail after five seconds."""
    left = [process for process in psutil.process_iter() if owner_of(process) == uid]
    _, alive = psutil.wait_procs(left, timeout=5)
    assert not alive, alive


def owner_of(process: psutil.Process) -> int | None:
    try:
        return int(process.uids().real)
    except psutil.Error:
        return None
