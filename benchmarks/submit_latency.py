"""From submitting a task over HTTP to its process speaking the protocol, with an idle worker.

The clock starts before the request is sent and stops when the child's first message stands in the
task's timeline as the event ``started``: the request, the row, the wake-up through the broker, the
claim, the start of an interpreter and the write of the event are all in it. Both ends are read on
the same machine.

Baseline: a Celery task that does nothing, from `delay()` to its first line, on the same Valkey. It
has no row, no claim and no process of its own.
"""

import statistics
import sys
import time
from datetime import datetime

from common.celery_noop import noop_latencies
from common.figures import figure, percentile, progress
from common.platform import running_platform

from aiplatform import Client
from aiplatform.client import Task

TASKS = 40
ROWS = [{"text": f"a line of text, number {n}"} for n in range(20)]


def main() -> int:
    """Submit tasks one after the other, each to an idle worker."""
    with running_platform() as (client, started):
        project = client.projects.create("latency")
        dataset = client.datasets.upload("tiny", ROWS, project=project).wait_ready()
        seconds: list[float] = []
        for number in range(1, TASKS + 1):
            began = time.time()
            task = client.datasets.check(dataset)
            task.wait(120)
            seconds.append(started_at(client, task) - began)
            if number % 10 == 0:
                progress(f"{number} tasks, median {statistics.median(seconds) * 1000:.0f} ms")
            time.sleep(0.1)  # its resources are given back before the next one asks for them
        plain = noop_latencies(started.broker_url, TASKS)
    for share in (0.5, 0.95):
        figure(
            f"submit_latency.p{share * 100:.0f}",
            percentile(seconds, share) * 1000,
            "ms",
            target="<= 250" if share > 0.9 else None,
            baseline=percentile(plain, share) * 1000,
            baseline_name="Celery no-op",
        )
    return 0


def started_at(client: Client, task: Task) -> float:
    """When the child's `hello` was recorded, in seconds since the epoch."""
    timeline = client.transport.get(f"tasks/{task.uuid}/timeline")["items"]
    moment = next(event["time"] for event in timeline if event["kind"] == "started")
    return datetime.fromisoformat(moment).timestamp()


if __name__ == "__main__":
    sys.exit(main())
