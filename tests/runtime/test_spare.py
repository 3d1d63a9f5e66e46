"""Tests that a spare is ready before it gets a job, and then acts like a new process."""

import contextlib
import ctypes
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiplatform.protocol.messages import Begin, Hello, Warm, parse_runtime_message
from aiplatform.runtime import spare
from tests.runtime.conftest import MakeDataset, chat, make_job, training_spec
from tests.runtime.harness import SOURCE, Runner, wait_until_dead

# This program starts a spare that imports nothing large and runs a test job.
DRIVER = """
import json, os, sys, tempfile, time
from aiplatform.runtime import child, launcher, spare
launcher.INITIAL_LEASE_SECONDS = float(os.environ.get("TEST_LEASE", "45"))
spare.MODULES = os.environ.get("TEST_MODULES", "json").split(",")

def job(path, out):
    told = {
        "type": "told",
        "job": path,
        "directory": os.getcwd(),
        "environment": dict(os.environ),
        "temporary": tempfile.gettempdir(),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "killed_first": open("/proc/self/oom_score_adj").read().strip(),
    }
    os.write(out, json.dumps(told).encode() + b"\\n")
    time.sleep(float(os.environ.get("TEST_SLEEP", "0")))
    return 5

child.run_job = job
tempfile.gettempdir()
sys.exit(launcher.launch(launcher.parse_arguments(["--spare", *sys.argv[1:]])))
"""

# The real spare, but with niceness 1, because it could otherwise wait minutes on a busy CPU.
REAL = """
import sys
from aiplatform.runtime import launcher, spare
spare.IMPORT_NICENESS = 1
sys.exit(launcher.launch(launcher.parse_arguments(["--spare", *sys.argv[1:]])))
"""
TIMEOUT_SECONDS = 280.0
"""Seconds to wait for a process on a busy machine."""

Start = Callable[..., Runner]


@pytest.fixture
def start() -> Start:
    return lambda **environment: Runner(["-c", DRIVER], environment)


def family(runner: Runner) -> list[int]:
    """Return the process ids of the launcher and its children."""
    from aiplatform.runtime.launcher import children_of

    return [runner.process.pid, *children_of(runner.process.pid)]


def test_spare_sends_only_warm_before_its_job(start: Start, tmp_path: Path) -> None:
    with start() as runner:
        warm = runner.wait_for("warm")
        assert parse_runtime_message(json.dumps(warm).encode()) == Warm()
        runner.renew()
        assert runner.received == [{"type": "warm"}]
        runner.send(Begin(job="job.json", directory=str(tmp_path), environment={}))
        assert runner.finish() == 5, "the exit code is the job's"
    first, hello, told = runner.received
    assert (first["type"], told["job"]) == ("warm", "job.json")
    assert parse_runtime_message(json.dumps(hello).encode()) == Hello(pid=hello["pid"])


def test_job_in_a_spare_gets_its_own_environment_and_priority(start: Start, tmp_path: Path) -> None:
    before = Path("/proc/self/oom_score_adj").read_text().strip()
    given = {"CUDA_VISIBLE_DEVICES": "GPU-1", "TMPDIR": str(tmp_path), "SECRET": "quiet \n 秘"}
    with start(TEST_OF_THE_SPARE="1") as runner:
        runner.wait_for("warm")
        runner.send(Begin(job="j", directory=str(tmp_path), environment=given))
        told = runner.wait_for("told")
        runner.finish()
    assert told["environment"] == given
    assert (told["directory"], told["temporary"]) == (str(tmp_path), str(tmp_path))
    assert told["priority"] == os.getpriority(os.PRIO_PROCESS, 0), "lowered for imports only"
    assert told["killed_first"] == before


def test_spare_runs_only_its_first_job(start: Start, tmp_path: Path) -> None:
    with start() as runner:
        runner.wait_for("warm")
        for job in ("one", "two"):
            environment = {"TEST_SLEEP": "0.5"}
            runner.send(Begin(job=job, directory=str(tmp_path), environment=environment))
        runner.finish()
    assert [told["job"] for told in runner.of_type("told")] == ["one"]


@pytest.mark.parametrize("warm", [True, False])
def test_spare_ends_when_its_runner_is_gone(start: Start, tmp_path: Path, warm: bool) -> None:
    (tmp_path / "sleeper.py").write_text("import time; time.sleep(600)")
    modules = "json" if warm else "sleeper"
    with start(TEST_MODULES=modules, PYTHONPATH=f"{SOURCE}{os.pathsep}{tmp_path}") as runner:
        if warm:
            runner.wait_for("warm")
        else:
            runner.wait_until(lambda: len(family(runner)) == 3)
        everyone = family(runner)
        assert len(everyone) == 3, "launcher, child and guardian"
        runner.close_control()
        runner.process.wait(10)
        for pid in everyone:
            wait_until_dead(pid)


def test_spare_ends_when_its_launcher_is_killed(start: Start) -> None:
    with start() as runner:
        runner.wait_for("warm")
        everyone = family(runner)
        os.kill(runner.process.pid, signal.SIGKILL)
        for pid in everyone:
            wait_until_dead(pid)


def test_spare_ends_without_renewals(start: Start) -> None:
    with start(TEST_LEASE="1") as runner:
        assert runner.finish(renew=False) == 128 + signal.SIGKILL
    assert "no renewal came in time" in runner.log


def test_cancelled_spare_ends(start: Start) -> None:
    with start() as runner:
        runner.wait_for("warm")
        runner.cancel(grace_seconds=30)
        assert runner.finish() == 128 + signal.SIGTERM


def test_spare_with_a_failed_import_is_never_warm(start: Start) -> None:
    with start(TEST_MODULES="json,no_such_module_at_all") as runner:
        assert runner.finish() == 1
    assert runner.received == []
    assert "no_such_module_at_all" in runner.log


@pytest.mark.parametrize(("answer", "untouched"), [(3, True), (0, False), (100, False)])
def test_cuda_is_uninitialized_is_false_if_cuda_was_started(
    monkeypatch: pytest.MonkeyPatch, answer: int, untouched: bool
) -> None:
    class Driver:
        def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
            return answer

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert spare.cuda_is_uninitialized() is untouched


def test_cuda_is_uninitialized_is_true_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert spare.cuda_is_uninitialized()


def run_in_spare(job: Any, directory: Path, **environment: str) -> Runner:
    """Start the real spare, give it a job, and wait until the job has ended."""
    file = directory / "job.json"
    file.write_text(job.model_dump_json())
    runner = Runner(["-c", REAL], environment)
    with runner:
        runner.wait_for("warm", timeout=TIMEOUT_SECONDS)
        told = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
        runner.send(Begin(job=str(file), directory=str(directory), environment=told))
        runner.finish(timeout=TIMEOUT_SECONDS)
    return runner


@pytest.mark.slow
def test_training_in_a_spare_has_the_same_losses_as_in_a_new_process(
    tmp_path: Path, tiny_model: Path, make_dataset: MakeDataset
) -> None:
    data = make_dataset([chat(f"Question {n}?", f"Answer {n}.") for n in range(16)])
    losses = []
    for name in ("fresh", "spare"):
        directory = tmp_path / name
        directory.mkdir()
        inputs = {"base_model": tiny_model, "dataset": data}
        job = make_job(directory, training_spec(max_steps=4, seed=7), inputs)
        if name == "spare":
            runner = run_in_spare(job, directory)
        else:
            with Runner.of_job(job, directory) as runner:
                runner.finish(timeout=TIMEOUT_SECONDS)
        assert runner.outcome["type"] == "result", runner.log
        losses.append([point["values"]["loss"] for point in runner.of_type("metrics")
                       if "loss" in point["values"]])  # fmt: skip
    assert len(losses[0]) == 4
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_threads_of_a_warm_spare_have_the_usual_priority() -> None:
    with Runner(["-c", REAL]) as runner:
        runner.wait_for("warm", timeout=TIMEOUT_SECONDS)
        (child,) = [
            pid for pid in family(runner)[1:] if "libtorch" in Path(f"/proc/{pid}/maps").read_text()
        ]
        usual, found = {os.getpriority(os.PRIO_PROCESS, 0)}, {}

        def all_are_usual() -> bool:
            found.clear()
            for thread in Path(f"/proc/{child}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    found[thread.name] = os.getpriority(os.PRIO_PROCESS, int(thread.name))
            return set(found.values()) == usual

        # The importing thread has a low priority, so it may take a while to end.
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not all_are_usual():
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
