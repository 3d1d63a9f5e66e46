"""Five hundred users watching one task, and a task that prints 10 MB a second.

The watched task reports like a training run: progress, three metrics and a log line twice a second.
The CPU time is that of the API process alone; all watchers are in another process. For the task
that prints, the CPU time of API, worker and database is measured, and the benchmark checks that no
line is lost.
"""

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from common.fake_jobs import fake_job_variables
from common.figures import figure, percentile, progress
from common.platform import Started, proportional_bytes, running_platform

from aiplatform import Client
from aiplatform.client import Task

WATCHERS = 500
WATCHED_SECONDS = 20
FLOOD_SECONDS = 20
MEGABYTES = 10
ROWS = [{"text": f"a line of text, number {n}"} for n in range(20)]
TRAINING = """
import time
for step in range(1, 100_000):
    report.progress(step / 100_000, step=step, total_steps=100_000, seconds_left=1.0)
    report.metrics(step, {"loss": 1 / step, "learning_rate": 1e-4, "grad_norm": 1.0})
    print(f"step {step}/100000: loss {1 / step:.4f}, 0.50 s a step", flush=True)
    time.sleep(0.5)
"""
FLOOD = f"""
import sys, time
piece = ("x" * 99 + "\\n") * 1000
begun = time.monotonic()
for tenth in range({FLOOD_SECONDS} * {MEGABYTES} * 10):
    sys.stdout.write(piece)
    time.sleep(max(0.0, begun + (tenth + 1) / ({MEGABYTES} * 10) - time.monotonic()))
"""


class Watcher:
    """An open event stream, read from a plain socket so that the client is fast enough."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.steps = 0

    async def run(self, url: str, path: str, token: str) -> None:
        """Watch until the coroutine is cancelled."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 22)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"not let in: {status.decode().strip()}")
        while line := await reader.readline():
            self.ready.set()
            if line.startswith(b"event: metrics"):
                self.steps += 1


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU seconds of those processes that are still running."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


async def watch(started: Started, path: str, token: str, pid: int) -> None:
    """Open the streams, then measure the API process for a while."""
    alone = cpu_seconds([pid])
    await asyncio.sleep(WATCHED_SECONDS / 2)
    alone = (cpu_seconds([pid]) - alone) / (WATCHED_SECONDS / 2)
    memory = proportional_bytes(pid)
    watchers = [Watcher() for _ in range(WATCHERS)]
    tasks = []
    for watcher in watchers:
        tasks.append(asyncio.create_task(watcher.run(started.url, path, token)))
        await asyncio.wait_for(watcher.ready.wait(), 30)
    await asyncio.sleep(2)
    before, steps, began = cpu_seconds([pid]), [w.steps for w in watchers], time.perf_counter()
    await asyncio.sleep(WATCHED_SECONDS)
    passed = time.perf_counter() - began
    used = (cpu_seconds([pid]) - before) / passed
    seen = [w.steps - s for w, s in zip(watchers, steps, strict=True)]
    memory = (proportional_bytes(pid) - memory) / WATCHERS
    for task in tasks:
        if task.done():
            task.result()
        task.cancel()
    progress(f"each saw {min(seen)} to {max(seen)} steps in {passed:.1f} s")
    figure("task_streams.watchers.cpu", used, "cores", target="<= 0.5", baseline=alone,
           baseline_name="nobody watches")  # fmt: skip
    figure("task_streams.watchers.memory", memory, "bytes")
    figure("task_streams.watchers.steps_seen", min(seen) / passed, "/s", target=">= 1.5")


def watching() -> None:
    """Measure a task with many watchers."""
    with (
        fake_job_variables(TRAINING) as variables,
        running_platform(**variables) as (client, started),
    ):
        project = client.projects.create("watched")
        client.datasets.upload("tiny", ROWS, project=project)
        task = running_task(client)
        pid = max(started.pids("api"), key=proportional_bytes)
        token = client.access_token()
        asyncio.run(watch(started, f"/api/v1/tasks/{task.uuid}/events", token, pid))


def running_task(client: Client) -> Task:
    """Wait until the upload's quality report sends reports, and return its task."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = client.tasks.list(status="running", project="watched").first()
        if found is not None and found.progress > 0:
            return found
        time.sleep(0.1)
    raise RuntimeError("the task did not start")


def poll_task(client: Client, task: Task, until: float) -> list[float]:
    """Read the task repeatedly until a given time; return the durations in seconds."""
    times = []
    while time.monotonic() < until:
        began = time.perf_counter()
        client.tasks.get(task)
        times.append(time.perf_counter() - began)
        time.sleep(0.05)
    return times


def flood() -> None:
    """Measure a task that prints 10 MB a second."""
    with fake_job_variables(FLOOD) as variables, running_platform(**variables) as (client, started):
        project = client.projects.create("watched")
        client.datasets.upload("tiny", ROWS, project=project)
        deadline = time.monotonic() + 60
        while (task := client.tasks.list(status="running", project="watched").first()) is None:
            if time.monotonic() > deadline:
                raise RuntimeError("the task did not start")
            time.sleep(0.05)
        pids = {name: started.pids(name) for name in ("api", "worker", "postgres")}
        # PostgreSQL and the worker may start child processes; only those that exist now count.
        before = {name: cpu_seconds(known) for name, known in pids.items()}
        began = time.monotonic()
        times = poll_task(client, task, began + FLOOD_SECONDS - 3)
        passed = time.monotonic() - began
        for name, known in pids.items():
            used = (cpu_seconds(known) - before[name]) / passed
            figure(f"task_streams.flood.cpu.{name}", used, "cores")
        figure("task_streams.flood.read_task.p95", percentile(times, 0.95) * 1000, "ms")
        task.wait(300, check=False)
        idle = poll_task(client, task, time.monotonic() + 3)
        progress(f"reading the task, p95 without the flood {percentile(idle, 0.95) * 1000:.1f} ms")
        with tempfile.TemporaryDirectory() as directory:
            path = client.tasks.download_log(task, Path(directory) / "log", stream="stdout")
            size = path.stat().st_size
        rows = sum(1 for _ in client.tasks.logs(task))
        figure("task_streams.flood.kept", size / 1e6, "MB",
               target=f">= {FLOOD_SECONDS * MEGABYTES}")  # fmt: skip
        figure("task_streams.flood.rows", rows, "rows", target="<= 200")


def main() -> int:
    """Measure both parts, each on its own platform."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2 * WATCHERS + 500)), hard))
    watching()
    flood()
    return 0


if __name__ == "__main__":
    sys.exit(main())
