"""Latency of plain Celery: the time from `delay()` until a no-op task starts."""

import os
import subprocess
import sys
import time
from pathlib import Path
from uuid import uuid4

from celery import Celery
from redis import Redis

BROKER = "AIP_BENCH_BROKER"
QUEUE = "bench-noop"

app = Celery("bench", broker=os.environ.get(BROKER, "memory://"))
app.conf.update(
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


def connection(broker_url: str) -> Redis:
    """Return a direct connection to the broker."""
    path = broker_url.removeprefix("redis+socket://").partition("?")[0]
    return Redis(unix_socket_path=path)


@app.task  # type: ignore[untyped-decorator]  # Celery ships no types
def noop(key: str) -> None:
    """Send the time at which the task started."""
    began = time.time()
    with connection(os.environ[BROKER]) as server:
        server.lpush(key, repr(began))


def noop_latencies(broker_url: str, count: int) -> list[float]:
    """Return the seconds from `delay()` to the first line of each task, run one at a time."""
    environment = os.environ | {BROKER: broker_url}
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "common.celery_noop", "worker", "-c", "1",
         "-Q", QUEUE, "--without-gossip", "--without-mingle", "-l", "error"],
        cwd=Path(__file__).parents[1],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    app.conf.broker_url = broker_url
    try:
        with connection(broker_url) as server:
            _latency(server, limit=60)  # includes the start of the worker
            return [_latency(server, limit=10) for _ in range(count)]
    finally:
        worker.terminate()
        worker.wait(30)


def _latency(server: Redis, limit: float) -> float:
    key = f"bench:{uuid4()}"
    began = time.time()
    noop.delay(key)
    answer = server.brpop([key], timeout=limit)
    if answer is None:
        raise TimeoutError("the Celery worker did not answer")
    return float(answer[1]) - began
