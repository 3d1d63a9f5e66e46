"""Metric points stored per second by the authenticated API, and the time to read them.

Eight clients send points to eight runs over open connections, in calls of 1,000 points, 10 points
and one point. Client, API and database share the machine. Then charts of a series of ten million
points are read (the whole series, and parts of it), as well as a history of 100,000 points and a
comparison of twenty runs.

The baselines were not measured in this run, but on the same kind of machine (2 cores, loopback, 8
clients, client included):

- MLflow 3.17 on PostgreSQL: 17,700 points/s in calls of 1,000, 244 calls/s of 10, 539 single
  points/s, and 3 s for the history
- FastTrackML 0.6: 73,600, 822, 1,227, and 0.39 s
- a minimal FastAPI with COPY, without accounts: 421,000, 2,643, and 0.06 s

``--api-workers N`` sets the number of API processes; ``--quick`` does a tenth of the work.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from urllib.parse import urlsplit

import psycopg
import uvloop
from common.figures import figure, percentile, progress
from common.platform import Started, running_platform

from aiplatform import Client

CLIENTS = 8
LARGE = 10_000_000
MLFLOW = {1000: 17_700.0, 10: 244.0, 1: 539.0}
FILL = """
INSERT INTO metric_points (task_id, attempt, key, step, value, recorded_at)
SELECT %(task)s, 1, %(key)s, n, sin(n / 1e5) + random() / 10, now() + n * interval '1 ms'
FROM generate_series(%(first)s, %(last)s) AS n
"""


def main() -> int:
    """Measure everything on one platform."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--api-workers", type=int, default=1)
    parser.add_argument("--only", choices=["ingest", "read"])
    options = parser.parse_args()
    parts = 10 if options.quick else 1
    # Requests are counted against the rate limits as usual, but the limits are very high.
    settings = {
        "AIPLATFORM_API_WORKERS": str(options.api_workers),
        "AIPLATFORM_RATE_LIMIT_INGEST": "10000000/minute",
        "AIPLATFORM_RATE_LIMIT_NORMAL": "10000000/minute",
    }
    with running_platform(**settings) as (client, started):
        project = client.projects.create("metrics")
        path = f"projects/{project.uuid}/runs"
        runs = [client.transport.post(path, {"name": f"r{n}"})["uuid"] for n in range(CLIENTS)]
        token = client.transport.tokens.current()
        if options.only != "read":
            for size in (1000, 10, 1):
                ingest(started, token, runs, size, 20 / parts)
        if options.only != "ingest":
            read(client, started, str(project.uuid), LARGE // parts)
    return 0


def ingest(started: Started, token: str, runs: list[str], size: int, seconds: float) -> None:
    """Measure calls of ``size`` points sent by all clients together."""
    times = uvloop.run(_send_all(started.url, token, runs, size, seconds))
    rate = len(times) / seconds
    p95 = percentile(times, 0.95) * 1000
    if size == 1000:
        figure(
            "metrics.ingest.of_1000", rate * size, "points/s", target=">= 140000",
            baseline=MLFLOW[size], baseline_name="MLflow 3.17",
        )  # fmt: skip
        figure("metrics.ingest.of_1000.p95", p95, "ms")
    elif size == 10:
        figure(
            "metrics.ingest.of_10", rate, "calls/s", target=">= 1000",
            baseline=MLFLOW[size], baseline_name="MLflow 3.17",
        )  # fmt: skip
        figure("metrics.ingest.of_10.p95", p95, "ms", target="<= 20")
    else:
        figure(
            "metrics.ingest.single", rate, "points/s", target=">= 1500",
            baseline=MLFLOW[size], baseline_name="MLflow 3.17",
        )  # fmt: skip
        figure("metrics.ingest.single.p95", p95, "ms")


async def _send_all(
    url: str, token: str, runs: list[str], size: int, seconds: float
) -> list[float]:
    place = urlsplit(url)
    assert place.hostname is not None
    assert place.port is not None
    times: list[float] = []
    end = time.perf_counter() + seconds

    async def work(run: str) -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        head = (
            f"POST /api/v1/tasks/{run}/metrics HTTP/1.1\r\nHost: {place.netloc}\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        )
        step = random.randrange(10**6) * 1000
        while (began := time.perf_counter()) < end:
            points = [
                {"key": "loss" if n % 2 else "accuracy", "step": step + n // 2,
                 "value": 0.5 + n / 1e4}
                for n in range(size)
            ]  # fmt: skip
            step += size
            body = json.dumps({"points": points}).encode()
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer[:15]:
                raise RuntimeError(answer.decode())
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(work(run) for run in runs))
    return times


def read(client: Client, started: Started, project: str, large: int) -> None:
    """Measure charts, a history and a comparison."""
    path = f"projects/{project}/runs"
    task = client.transport.post(path, {"name": "large"})["uuid"]
    others = [client.transport.post(path, {"name": f"run {n}"})["uuid"] for n in range(20)]
    began = time.perf_counter()
    with psycopg.connect(started.owner_url, autocommit=True) as connection:
        ids = dict(
            connection.execute(
                "SELECT uuid::text, id FROM tasks WHERE uuid = ANY(%s::uuid[])", ([task, *others],)
            ).fetchall()
        )
        for first in range(1, large + 1, 1_000_000):
            last = min(first + 999_999, large)
            values = {"task": ids[task], "key": "loss", "first": first, "last": last}
            connection.execute(FILL, values)
            # Reading a series updates its precomputed summaries, as writing it does every 50,000
            # points.
            client.transport.get(f"tasks/{task}/metrics", key="loss", points=1000)
        for other in others:
            values = {"task": ids[other], "key": "loss", "first": 1, "last": 100_000}
            connection.execute(FILL, values)
        connection.execute("VACUUM ANALYZE metric_points")
    progress(f"{large} points in {time.perf_counter() - began:.0f} s")
    times: list[float] = []
    for number in range(200):
        window: dict[str, int] = {}
        if number % 2:
            width = int(10 ** random.uniform(3, 7) * large / LARGE)
            first = random.randrange(1, large - width + 1) if width < large else 1
            window = {"first": first, "last": first + width}
        began = time.perf_counter()
        answer = client.transport.get(f"tasks/{task}/metrics", key="loss", points=1000, **window)
        times.append(time.perf_counter() - began)
        found = len(answer["series"]["loss"])
        if not 2 <= found <= 1000:
            raise RuntimeError(f"{found} points were drawn")
    figure("metrics.chart.p50", percentile(times, 0.5) * 1000, "ms")
    figure("metrics.chart.p95", percentile(times, 0.95) * 1000, "ms", target="<= 100")

    times = []
    headers = {"Accept-Encoding": "identity"}
    for other in others:
        began = time.perf_counter()
        answer = client.transport.request(
            "GET", f"tasks/{other}/metrics", params={"limit": 100_000}, headers=headers
        )
        times.append(time.perf_counter() - began)
        if answer.content.count(b"[") < 100_000:
            raise RuntimeError("not the whole history")
    figure(
        "metrics.history.p50", percentile(times, 0.5) * 1000, "ms", target="<= 300",
        baseline=3000, baseline_name="MLflow 3.17",
    )  # fmt: skip
    figure("metrics.history.p95", percentile(times, 0.95) * 1000, "ms", target="<= 300")

    compare = f"projects/{project}/metrics"
    client.transport.get(compare, task=others, key="loss", points=500)
    times = []
    for _ in range(50):
        began = time.perf_counter()
        client.transport.get(compare, task=others, key="loss", points=500)
        times.append(time.perf_counter() - began)
    figure("metrics.compare_20.p95", percentile(times, 0.95) * 1000, "ms")


if __name__ == "__main__":
    sys.exit(main())
