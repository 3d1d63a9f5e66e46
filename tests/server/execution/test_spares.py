"""Tests of spares: when a worker keeps a spare, and that spares do not affect tasks.

A spare is a process that has imported torch ahead of the next task.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import psutil
import pytest
from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.messages import Begin, Job
from aiplatform.server.core.settings import get_settings
from aiplatform.server.execution import jobs, runner
from aiplatform.server.execution.runner import process, spares
from aiplatform.server.execution.runner.spares import Spares
from aiplatform.server.queue.models import Task, TaskEvent
from tests.server.queue.conftest import claim, until

Submit = Callable[..., Task]
ANY = "00000000-0000-4000-8000-000000000000"
DATA = {"dataset": ANY, "version": "v1"}

DEAF = """
import os, sys
messages, control = int(sys.argv[-3]), int(sys.argv[-1])
os.write(messages, b'{"type":"warm"}\\n')
while os.read(control, 4096):
    pass
"""
"""A spare that is ready but never accepts a job."""


class World:
    """A fake clock and a fake amount of available memory, which the tests control."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.available = 10_000.0


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, kind: Any, home: Path, world: World) -> Iterator[Spares]:
    """Yield spares for scripted tasks; no thread maintains them, so the test calls ``maintain``."""
    settings = get_settings().model_copy(update={"warm_runtime": "auto"})
    found = Spares(
        settings, gpus=False, clock=lambda: world.now, available_mb=lambda: world.available
    )
    monkeypatch.setattr(found, "suits", lambda job, devices: True)
    monkeypatch.setattr(spares, "_spares", found)
    yield found
    if found._spare is not None:
        spares._end(found._spare)


def make(kept: Spares, world: World) -> int:
    """Create a spare and wait until it is ready; return its launcher's process id."""
    world.now += spares.SETTLE_SECONDS
    kept.maintain()
    spare = kept._spare
    assert spare is not None
    assert spare.child.warm.wait(60)
    return spare.child.pid


def run(session: Session, worker: int) -> None:
    runner.run_attempt(claim(session, worker))
    session.expire_all()


def started(session: Session, task: Task) -> list[dict[str, Any]]:
    rows = select(TaskEvent.data).where(TaskEvent.task_id == task.id, TaskEvent.kind == "started")
    return list(session.scalars(rows))


def homes() -> list[Path]:
    return list(get_settings().work_dir.glob(f"{process.SPARE}*"))


SCRIPT = """
    import os, pathlib
    print("said by the task")
    report.metrics(1, {"loss": 1.5})
    result = {"pid": os.getpid(), "directory": os.getcwd(), "home": os.environ["HOME"]}
"""


def test_task_in_a_spare_runs_like_in_a_new_child(
    session, submit: Submit, make_worker, kept: Spares, world: World
):
    worker = make_worker()
    cold = submit(SCRIPT)
    run(session, worker)
    launcher = make(kept, world)
    (home,) = homes()
    warm = submit(SCRIPT)
    run(session, worker)
    for task in (cold, warm):
        directory = str(get_settings().work_dir / str(task.uuid) / "attempt-1")
        assert task.status == "completed"
        result = task.scheduling.result
        assert (result["directory"], result["home"]) == (directory, directory)
        assert "said by the task" in task.logs
    assert [event.get("warm", False) for event in started(session, cold)] == [False]
    (event,) = started(session, warm)
    assert event == {"pid": warm.scheduling.result["pid"], "protocol": 1, "warm": True}
    assert not psutil.pid_exists(launcher), "one task, and it is gone"
    assert not home.exists()
    assert kept._spare is None


def test_spare_does_not_reduce_the_free_resources_of_a_worker(
    session, submit: Submit, make_worker, kept: Spares, world: World, admin
):
    make_worker(memory_mb=4000)
    make(kept, world)
    (shown,) = admin.get("workers").json()["items"]
    assert (shown["running"], shown["memory_mb_free"]) == ([], 4000)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_task_after_the_death_of_a_spare_runs_in_a_new_child(
    session, submit: Submit, make_worker, kept: Spares, world: World, number: int
):
    launcher = make(kept, world)
    os.kill(launcher, number)
    until(lambda: not psutil.pid_exists(launcher) or kept._spare.child.process.poll() is not None)
    task = submit(SCRIPT)
    run(session, make_worker())
    assert (task.status, task.scheduling.result["home"]) == (
        "completed",
        str(get_settings().work_dir / str(task.uuid) / "attempt-1"),
    )
    assert [event.get("warm") for event in started(session, task)] == [None]
    assert homes() == []


def test_spare_that_ignores_its_job_is_ended_before_another_child_starts(
    session, submit: Submit, make_worker, kept: Spares, world: World, monkeypatch
):
    monkeypatch.setattr(spares, "HELLO_SECONDS", 0.3)
    scripted = process.RUNTIME
    monkeypatch.setattr(process, "RUNTIME", [sys.executable, "-c", DEAF])
    launcher = make(kept, world)
    monkeypatch.setattr(process, "RUNTIME", scripted)
    task = submit(f"import psutil; result = {{'other': psutil.pid_exists({launcher})}}")
    run(session, make_worker())
    assert (task.status, task.scheduling.result) == ("completed", {"other": False})


def test_job_with_a_long_environment_leaves_the_spare_for_the_next(kept: Spares, world: World):
    make(kept, world)
    long = Begin(job="j", directory="/", environment={"SECRET": "x" * 20_000})
    assert kept.begin(job_of({"type": "evaluation"}), (), long, 45) is None
    assert kept.ready


def test_spare_is_made_some_seconds_after_the_worker_or_a_task_started(
    session, submit: Submit, make_worker, kept: Spares, world: World
):
    kept.maintain()
    assert kept._spare is None, "the worker has just started"
    make(kept, world)
    submit("")
    run(session, make_worker())
    kept.maintain()
    assert kept._spare is None, "a task has just started"
    make(kept, world)


def test_spare_is_ended_when_memory_is_scarce_and_made_again_with_enough(
    kept: Spares, world: World
):
    launcher = make(kept, world)
    world.available = spares.SCARCE_MB - 1
    kept.maintain()
    assert not psutil.pid_exists(launcher)
    assert homes() == []
    world.available = spares.ENOUGH_MB - 1
    kept.maintain()
    assert kept._spare is None, "what it freed does not make another"
    world.available = spares.ENOUGH_MB
    make(kept, world)


def test_unused_spare_is_ended_and_made_again_when_a_task_needs_one(
    session, submit: Submit, make_worker, kept: Spares, world: World
):
    launcher = make(kept, world)
    world.now += spares.IDLE_SECONDS
    kept.maintain()
    assert not psutil.pid_exists(launcher)
    world.now += 1
    kept.maintain()
    assert kept._spare is None
    submit("")
    run(session, make_worker())
    make(kept, world)


def test_failing_spare_is_retried_after_growing_waits(
    kept: Spares, world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(process, "RUNTIME", [sys.executable, "-c", "raise SystemExit(3)"])
    waited = []
    world.now += spares.SETTLE_SECONDS
    for _ in range(3):
        kept.maintain()
        broken = kept._spare
        assert broken is not None
        until(lambda child=broken.child: child.gone)
        kept.maintain()
        assert kept._spare is None
        waited.append(kept._not_before - world.now)
        world.now = kept._not_before - 1
        kept.maintain()
        assert kept._spare is None
        world.now += 1
    assert waited == [60, 120, 240]
    assert homes() == []


def test_spare_ends_when_it_is_not_renewed(kept: Spares, world: World, monkeypatch):
    launcher = make(kept, world)
    monkeypatch.setattr(kept.settings, "child_deadline_seconds", 3.0)
    for _ in range(8):
        world.now += kept.settings.renew_seconds
        kept.maintain()
        time.sleep(0.5)
    assert kept.ready
    assert psutil.pid_exists(launcher)
    until(lambda: kept._spare.child.gone)


@pytest.mark.parametrize("how", ["stopping", "SIGKILL"])
def test_spare_ends_with_its_worker(home: Path, kind: Any, how: str):
    """Stop or kill a worker that runs in a separate process."""
    program = dedent(f"""
        import time
        from aiplatform.server.core.settings import get_settings
        from aiplatform.server.execution.runner import process, spares
        process.RUNTIME = {process.RUNTIME!r}
        spares.NEEDED = ()
        spares.SETTLE_SECONDS = 0
        kept = spares.keep_spares(get_settings(), gpus=False)
        while not kept.ready:
            time.sleep(0.05)
        print(kept._spare.child.pid, flush=True)
        input()
        process.stop_everything()
        kept.stop()
    """)
    worker = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "AIPLATFORM_WARM_RUNTIME": "on"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with worker:
        launcher = psutil.Process(int(worker.stdout.readline()))
        everyone = [launcher, *launcher.children(recursive=True)]
        assert len(everyone) == 3
        if how == "stopping":
            worker.communicate("\n", timeout=20)
            assert homes() == []
        else:
            worker.kill()
        _, alive = psutil.wait_procs(everyone, timeout=5)
        alive = [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
        assert alive == []
    jobs.end_leftovers(get_settings().work_dir)
    assert homes() == []


def test_starting_worker_keeps_the_children_of_another_worker_in_its_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    """Check that workers with the same home recognise leftover processes by their parent."""
    monkeypatch.setattr(process, "RUNTIME", [sys.executable, "-m", "aiplatform.runtime"])
    directory = get_settings().work_dir / f"{process.SPARE}other"
    directory.mkdir(parents=True)
    child = process.Child(
        None, directory, process.child_environment(directory, (), {}, network=False)
    )
    try:
        process.record(directory, child)
        jobs.end_leftovers(get_settings().work_dir)
        assert child.process.poll() is None
        assert directory.exists()
        # With another parent, the child is a leftover.
        (directory / "launcher.pid").write_text(f"{child.pid} 1")
        jobs.end_leftovers(get_settings().work_dir)
        until(lambda: child.process.poll() is not None)
        assert not directory.exists()
    finally:
        child.close()


def job_of(spec: dict[str, Any], **more: Any) -> Job:
    full = {
        "training": {"base_model": ANY, "dataset": DATA},
        "evaluation": {"model": ANY, "dataset": DATA},
        "inference": {"model": ANY},
        "data_quality": {"dataset": DATA},
    }[spec["type"]]
    return TypeAdapter(Job).validate_python(
        {
            "task": uuid4(),
            "attempt": 1,
            "spec": {**full, **spec},
            "inputs": {},
            "output_dir": "/o",
            "checkpoint_dir": "/c",
            **more,
        }
    )


@pytest.mark.parametrize(
    ("spec", "more", "devices", "gpus", "suits"),
    [
        ({"type": "training"}, {}, (), False, True),
        ({"type": "evaluation"}, {}, (), False, True),
        ({"type": "inference"}, {}, (), False, True),
        ({"type": "inference", "engine": "vllm"}, {}, (), False, False),
        ({"type": "inference", "engine": "llama_cpp"}, {}, (), False, False),
        ({"type": "data_quality"}, {}, (), False, False),
        ({"type": "training"}, {"ranks": {"processes": 2}}, (), False, False),
        ({"type": "training"}, {"ranks": {"nodes": 2}}, (), False, False),
        ({"type": "training"}, {}, ("GPU-1",), True, True),
        ({"type": "training"}, {}, (), True, False),
    ],
)
def test_spare_suits_single_process_jobs_that_need_its_imports(
    home, spec, more, devices, gpus, suits
):
    found = Spares(get_settings(), gpus=gpus)
    assert found.suits(job_of(spec, **more), devices) is suits


@pytest.mark.parametrize("mode", ["on", "off"])
def test_mode_on_or_off_ignores_memory_and_use(mode: Any):
    for available in (0, 1e6):
        for unused in (0, 1e6):
            assert spares.should_make(mode, available, unused) is (mode == "on")
            assert spares.should_keep(mode, available, unused) is (mode == "on")


def test_spares_turned_off_start_no_thread(home: Path):
    assert get_settings().warm_runtime == "off"
    found = Spares(get_settings(), gpus=False)
    found.start()
    assert found._thread is None


def test_spares_without_the_packages_start_no_thread(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spares, "NEEDED", ("json", "no_such_package_at_all"))
    found = Spares(get_settings().model_copy(update={"warm_runtime": "on"}), gpus=False)
    found.start()
    assert found._thread is None


def test_available_memory_is_limited_by_the_container(tmp_path: Path):
    own = tmp_path / "cgroup"
    own.write_text("0::/outer/inner\n")
    groups = tmp_path / "groups"
    inner = groups / "outer" / "inner"
    inner.mkdir(parents=True)
    machine = spares.available_memory_mb(tmp_path / "none", tmp_path / "none")
    assert machine == pytest.approx(psutil.virtual_memory().available / 2**20, rel=0.2)
    (inner / "memory.max").write_text("max\n")
    assert spares.available_memory_mb(groups, own) == pytest.approx(machine, rel=0.2)
    for group, left in ((inner, 100), (groups / "outer", 50)):
        (group / "memory.max").write_text(f"{left << 20}\n")
        (group / "memory.current").write_text(f"{20 << 20}\n")
        (group / "memory.stat").write_text(f"anon 1\ninactive_file {5 << 20}\n")
        assert spares.available_memory_mb(groups, own) == left - 15
