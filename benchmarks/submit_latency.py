"""Time from the submission of a task to its child process's first message, with an idle worker.

The clock starts before the HTTP request and stops when the child process's first message is in the
task's timeline as the event ``started``. This includes the request, the insertion of the task, the
wake-up through the broker, the claim, the start of an interpreter and the writing of the event. The
time until the event ``claimed`` is a separate figure. Both times come from the same machine. The
first tasks have their own figures, because PostgreSQL plans each statement again on each new
connection.

The baseline is a no-op Celery task on the same Valkey, timed from `delay()` to its first line.
Celery inserts no row, claims nothing and starts no process for the task.

For training, the time until the first step is measured with a spare (a process that has already
imported torch) and, as the baseline, without one. The model has only two layers, so that the
computation takes little of the time.
"""

import importlib
import os
import statistics
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from common.celery_noop import noop_latencies
from common.figures import figure, percentile, progress
from common.platform import Started, running_platform

from aiplatform import Client
from aiplatform.client import Task

TASKS = 120
FIRST = 10
"""Number of first tasks after the start of the platform, which have separate figures."""

TRAININGS = 6
SPARE_SECONDS = 120
"""Seconds to wait until a spare is warm; it imports at low priority."""

ROWS = [{"text": f"a line of text, number {n}"} for n in range(20)]


def main() -> int:
    """Submit tasks one after the other, so that the worker is always idle."""
    with running_platform() as (client, started):
        project = client.projects.create("latency")
        dataset = client.datasets.upload("tiny", ROWS, project=project).wait_ready()
        spec = {"type": "data_quality", "dataset": {"dataset": str(dataset.uuid)}}
        seconds: list[float] = []
        claimed: list[float] = []
        for number in range(1, FIRST + TASKS + 1):
            began = time.time()
            task = client.tasks.submit(spec, name="report", project=project)
            task.wait(120)
            seconds.append(happened_at(client, task, "started") - began)
            claimed.append(happened_at(client, task, "claimed") - began)
            if number % 10 == 0:
                progress(f"{number} tasks, median {statistics.median(seconds) * 1000:.0f} ms")
            time.sleep(0.1)  # its resources must be free before the next submission
        plain = noop_latencies(started.broker_url, TASKS)
    figure("submit_latency.claimed.first", statistics.median(claimed[:FIRST]) * 1000, "ms")
    figure("submit_latency.first", statistics.median(seconds[:FIRST]) * 1000, "ms")
    del claimed[:FIRST], seconds[:FIRST]
    for share in (0.5, 0.95):
        figure(
            f"submit_latency.claimed.p{share * 100:.0f}",
            percentile(claimed, share) * 1000,
            "ms",
            target="<= 25" if share > 0.9 else None,
        )
        figure(
            f"submit_latency.p{share * 100:.0f}",
            percentile(seconds, share) * 1000,
            "ms",
            target="<= 150" if share > 0.9 else None,
            baseline=percentile(plain, share) * 1000,
            baseline_name="Celery no-op",
        )
    cold, warm = first_steps(warm=False), first_steps(warm=True)
    figure(
        "submit_latency.first_step.p50",
        statistics.median(warm),
        "s",
        baseline=statistics.median(cold),
        baseline_name="no spare runtime",
    )
    return 0


def first_steps(*, warm: bool) -> list[float]:
    """Return the seconds from submission to first step for some training tasks."""
    seconds: list[float] = []
    mode = "on" if warm else "off"
    with (
        tempfile.TemporaryDirectory() as scratch,
        running_platform(AIPLATFORM_WARM_RUNTIME=mode) as (client, started),
    ):
        project = client.projects.create("first-step")
        weights = tiny_model(Path(scratch))
        base = client.models.import_path(weights, name="tiny", project=project).wait_ready(120)
        dataset = client.datasets.upload("tiny", ROWS, project=project).wait_ready()
        experiment = client.experiments.create(
            "first-step",
            project=project,
            base_model=base,
            dataset=dataset,
            max_steps=1,
            max_length=64,
        )
        for _ in range(TRAININGS):
            if warm:
                wait_for_spare(started)
            began = time.time()
            task = experiment.run().wait(120)
            found = event(client, task, "started")
            if found["data"].get("warm", False) is not warm:
                progress("a training did not find the spare ready, and is left out")
                continue
            first = min(point.time for point in task.metrics("loss")["loss"])
            seconds.append(first - began)
            progress(f"{'warm' if warm else 'cold'}: first step after {seconds[-1]:.2f} s")
    return seconds


def wait_for_spare(started: Started) -> None:
    """Wait until the worker's spare has finished importing, so that it uses no more CPU time."""
    deadline = time.monotonic() + SPARE_SECONDS
    quiet, before = 0, 0.0
    while quiet < 4 and time.monotonic() < deadline:
        time.sleep(0.5)
        launchers = [pid for pid in started.pids("worker") if is_spare(pid)]
        used = sum(map(cpu_seconds, launchers))
        quiet = quiet + 1 if used == before and used > 2 else 0
        before = used


def is_spare(pid: int) -> bool:
    """Return True if a process is a spare's launcher or child."""
    try:
        return b"--spare" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    """Return a process's CPU seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def tiny_model(directory: Path) -> Path:
    """Create the tests' tiny model and return the directory of its weights."""
    sys.path.append(str(Path(__file__).parents[1]))
    made: Path = importlib.import_module("tests.tiny_model").make_tiny_model(directory)
    return made / "weights"


def happened_at(client: Client, task: Task, kind: str) -> float:
    """Return the time of the first event of a kind, in seconds since the epoch."""
    return datetime.fromisoformat(event(client, task, kind)["time"]).timestamp()


def event(client: Client, task: Task, kind: str) -> dict[str, Any]:
    """Return the first event of a kind in a task's timeline."""
    timeline = client.transport.get(f"tasks/{task.uuid}/timeline")["items"]
    return next(event for event in timeline if event["kind"] == kind)


if __name__ == "__main__":
    sys.exit(main())
