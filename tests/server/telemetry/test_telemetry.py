"""Tests of resource usage by tasks and machines: measurement, summaries, alerts and cost.

NVML is replaced with a fake at the library's boundary, so the tests need no GPU.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core.database import commit
from aiplatform.server.execution import runner
from aiplatform.server.execution.rules import Estimate
from aiplatform.server.execution.runner import sampling
from aiplatform.server.execution.runner.sampling import Gpus, Sampler
from aiplatform.server.execution.service import attempts
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.models import Task, Worker
from aiplatform.server.queue.rules import Device
from aiplatform.server.telemetry.rules import AlertKind, Watch
from aiplatform.server.telemetry.service import telemetry
from aiplatform.server.telemetry.service.telemetry import Block, cost_of
from tests.conftest import Api, environment
from tests.server.queue.conftest import claim, end, events


class FakeNvml:
    """A fake of the NVML library with one A100 and a MIG instance (a part) of another GPU."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.percent = 90
        self.used = 70_000
        self.reasons = 0x04  # a power cap, which is set on purpose

    def nvmlInit(self) -> None:  # noqa: N802
        pass

    def nvmlDeviceGetHandleByIndex(self, place: int) -> str:  # noqa: N802
        return f"index{place}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid == "GPU-gone":
            raise self.NVMLError
        return uuid

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, mig: str) -> str:  # noqa: N802
        return "GPU-whole"

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        if handle.startswith("MIG"):
            raise self.NVMLError
        return SimpleNamespace(gpu=self.percent, memory=1)

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(total=80_000 << 20, used=self.used << 20, free=0)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        assert not handle.startswith("MIG")
        return 312_500

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return 67

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:  # noqa: N802
        return self.reasons


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_gpu_sample_leaves_out_values_that_the_device_lacks(nvml: FakeNvml) -> None:
    gpus = Gpus()
    assert gpus.read("GPU-1") == {
        "percent": 90.0,
        "memory_mb": 70_000.0,
        "memory_mb_total": 80_000.0,
        "power_w": 312.5,
        "temperature_c": 67.0,
        "throttled": 0.0,
    }
    assert "percent" not in gpus.read("MIG-1"), "NVML has no utilisation of an instance"
    assert gpus.read("MIG-1")["temperature_c"] == 67.0
    assert gpus.read("GPU-gone") == {}
    nvml.reasons = 0x40
    assert gpus.read("0")["throttled"] == 1.0


def test_gpus_without_a_driver_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNvml()

    def fail() -> None:
        raise FakeNvml.NVMLError("Driver Not Loaded")

    monkeypatch.setattr(fake, "nvmlInit", fail)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    assert Gpus().read("0") == {}


def test_alert_is_raised_once_and_again_after_the_condition_was_gone() -> None:
    watch = Watch()
    idle = {"gpu0.percent": 2.0, "gpu1.percent": 3.0}
    busy = {"gpu0.percent": 2.0, "gpu1.percent": 50.0}
    told = [(now, a.kind) for now in range(700) for a in watch.check(now, idle)]
    assert told == [(600, AlertKind.GPU_IDLE)]
    assert not [a for now in range(700, 705) for a in watch.check(now, busy)]
    assert not [a for now in range(705, 1400) for a in watch.check(now, idle)], "gone too shortly"
    assert not [a for now in range(1400, 1500) for a in watch.check(now, busy)]
    again = [(now, a.kind) for now in range(1500, 2200) for a in watch.check(now, idle)]
    assert again == [(2100, AlertKind.GPU_IDLE)]


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        ({"memory_mb": 960.0}, AlertKind.MEMORY_NEAR),
        ({"memory_mb": 10.0, "machine.memory_percent": 96.0}, AlertKind.MEMORY_NEAR),
        ({"gpu0.memory_mb": 79.0, "gpu0.memory_mb_total": 80.0}, AlertKind.GPU_MEMORY_NEAR),
        ({"gpu0.throttled": 1.0}, AlertKind.GPU_THROTTLED),
        ({"machine.disk_percent": 95.5}, AlertKind.DISK_NEAR),
        ({"memory_mb": 900.0, "machine.disk_percent": 90.0, "gpu0.throttled": 0.0}, None),
        ({}, None),
    ],
)
def test_condition_raises_its_alert_after_some_seconds(
    sample: dict[str, float], kind: AlertKind | None
) -> None:
    watch = Watch(memory_limit_mb=1000)
    assert watch.check(0, sample) == [], "a moment is no reason"
    told = [alert.kind for now in range(1, 40) for alert in watch.check(now, sample)]
    assert told == ([] if kind is None else [kind])


def test_cost_follows_the_price_of_the_gpu_model() -> None:
    prices = {"gpu:a100": 2.0, "gpu": 1.0, "cpu": 0.1}
    a100, other = {"label": "gpu:a100", "share": 1.0}, {"label": None, "share": 0.5}
    assert cost_of(prices, [a100, other], 4, 1800) == pytest.approx((2 + 0.5 + 0.4) / 2)
    assert cost_of({}, [a100], 4, 1800) is None


class TestEstimate:
    """Tests of the estimated time left; each percent of progress takes a second plus any delay."""

    def run(self, until: int, held_up: dict[int, float]) -> float | None:
        estimate, now = Estimate(), 0.0
        estimate.add(now, 0.0)
        for step in range(1, until + 1):
            now += 1.0 + held_up.get(step, 0.0)
            estimate.add(now, step / 100)
        return estimate.seconds_left()

    def test_estimate_after_few_steps_is_unknown(self) -> None:
        assert self.run(4, {}) is None

    def test_slow_start_and_one_pause_do_not_change_the_estimate(self) -> None:
        assert self.run(40, {1: 300, 20: 5000}) == pytest.approx(60)

    def test_recurring_delays_count(self) -> None:
        left = self.run(50, dict.fromkeys(range(5, 51, 5), 20.0))
        truth = 50 + 10 * 20
        assert left is not None
        assert truth * 0.85 < left <= truth

    def test_repeated_report_adds_its_time_to_the_next_step(self) -> None:
        estimate = Estimate()
        for second in range(61):
            estimate.add(second, (second // 3) / 100)
        assert estimate.seconds_left() == pytest.approx(80 * 3, rel=0.1)


@pytest.fixture
def sampler(
    nvml: FakeNvml, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Sampler:
    """Return a sampler of resource usage that starts no thread; the test calls its methods."""
    made = Sampler(home)
    monkeypatch.setattr(made, "_begin", lambda: None)
    return made


def test_time_left_is_estimated_by_the_worker_not_the_runtime(
    session: Session, submit: Callable[..., Task], make_worker: Callable[..., int]
) -> None:
    task = submit("""
        import time
        for step in range(8):
            report.progress(step / 10, seconds_left=12345.0)
            time.sleep(0.4)
        raise ValueError("enough")
    """)
    runner.run_attempt(claim(session, make_worker()))
    session.expire_all()
    assert 0.5 < task.scheduling.progress_detail["seconds_left"] < 60


def test_samples_are_stored_drawn_and_summed_up(
    session: Session,
    owner: Api,
    project: Project,
    submit: Callable[..., Task],
    make_worker: Callable[..., int],
    sampler: Sampler,
    nvml: FakeNvml,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "NVIDIA A100-SXM4-80GB"
    worker = make_worker(devices=(Device("GPU-1", 80_000, name), Device("GPU-1", 80_000, name)))
    task = submit(resources={"gpus": 1})
    held = claim(session, worker)
    watched = sampler.watch(held, 0)
    watched.pid = __import__("os").getpid()
    clock = iter(range(1_000_000, 2_000_000))
    monkeypatch.setattr(sampling.time, "time", lambda: next(clock))
    for step in range(150):
        nvml.percent = 100 if step == 77 else 50
        sampler.sample()
        if step % 40 == 0:
            sampler.flush()
    monkeypatch.undo()
    sampler.release(watched)
    rows = session.execute(text("SELECT cardinality(samples) FROM task_telemetry")).all()
    assert len(rows) == 3, "a row holds a minute"
    answer = owner.get(f"tasks/{task.uuid}/telemetry", params={"points": 10}).json()
    assert answer["note"] is None
    curve = answer["series"]["gpu0.percent"]
    assert len(curve) == 10
    assert max(most for _, _, _, most in curve) == 100.0, "a peak of one second survives"
    assert owner.get(f"tasks/{task.uuid}/telemetry", params={"key": "memory_mb"}).json()[
        "series"
    ].keys() == {"memory_mb"}
    with environment(AIPLATFORM_GPU_PRICES="gpu:a100=7200,cpu=0"):
        live = owner.get(f"tasks/{task.uuid}/usage").json()
        assert live["attempts"][0]["running"] is True
        end(session, held)
    monkeypatch.setattr(telemetry, "store", lambda *_: pytest.fail("written after the end"))
    sampler.release(watched)
    session.expire_all()
    usage = task.gpu_usage
    assert (usage["note"], usage["samples"], usage["gpus"]) == (None, 150, [0])
    assert usage["gpu"]["percent"] == {"mean": 50.3, "p95": 50.0, "peak": 100.0}
    assert usage["memory_mb"]["peak"] > 1
    after = owner.get(f"tasks/{task.uuid}/usage").json()
    assert after["attempts"][0]["gpus"] == [{"label": "gpu:a100", "share": 0.5}]
    assert after["cost"] == pytest.approx(after["seconds"], rel=0.2), "half of 7200 an hour"


def test_attempt_without_a_gpu_is_measured_and_says_so(
    session: Session, owner: Api, submit: Callable[..., Task], make_worker: Callable[..., int]
) -> None:
    task = submit("""
        import time
        held = b"x" * 60_000_000
        time.sleep(2.5)
    """)
    runner.run_attempt(claim(session, make_worker()))
    session.expire_all()
    assert task.gpu_usage["note"] == "no GPU"
    assert "gpu" not in task.gpu_usage
    assert task.gpu_usage["memory_mb"]["peak"] > 50
    answer = owner.get(f"tasks/{task.uuid}/telemetry").json()
    assert answer["note"] == "no GPU"
    assert {"cpu_percent", "memory_mb"} <= answer["series"].keys()


def test_telemetry_after_a_lost_lease_is_refused(
    session: Session, submit: Callable[..., Task], make_worker: Callable[..., int]
) -> None:
    submit()
    held = claim(session, make_worker())
    block = Block(time.time(), 1.0, ("memory_mb",))
    block.add({"memory_mb": 1.0})
    assert attempts.expire(session, held.task_id, held.fence, "gone")
    commit(session)
    with pytest.raises(LostLease):
        telemetry.store(session, held, [block])


def test_alert_is_in_the_timeline_and_notifies_the_author(
    session: Session,
    submit: Callable[..., Task],
    make_worker: Callable[..., int],
    sampler: Sampler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = submit()
    held = claim(session, make_worker())
    clock = iter(range(1_000_000))
    sampler.clock = lambda: float(next(clock))
    monkeypatch.setattr(sampling.psutil, "disk_usage", lambda path: SimpleNamespace(percent=97.0))
    watched = sampler.watch(held, 0)
    watched.pid = __import__("os").getpid()
    for _ in range(12):
        sampler.sample()
    sampler.flush()
    sampler.flush()
    assert events(task).count("alert") == 1
    told = session.scalars(select(Notification).where(Notification.type == "task:alert")).all()
    assert [note.data["alert"] for note in told] == ["disk_near"]
    assert "97.0" in told[0].message


def test_machine_is_measured_too(
    session: Session,
    admin: Api,
    make_worker: Callable[..., int],
    sampler: Sampler,
) -> None:
    worker_id = make_worker()
    sampler.watch_machine(worker_id, ["GPU-1", "GPU-1"])
    for _ in range(3):
        sampler.sample()
    sampler.flush()
    worker = session.get_one(Worker, worker_id)
    answer = admin.get(f"workers/{worker.uuid}/telemetry").json()
    assert answer["note"] == "no GPU", "that worker declares none"
    assert {"cpu_percent", "disk_percent", "net_in_mb_s", "gpu0.power_w"} <= answer["series"].keys()
    assert "gpu1.power_w" not in answer["series"], "two slots of one GPU are one GPU"
