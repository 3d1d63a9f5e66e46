"""Claims among 100,000 waiting tasks, submissions over HTTP, and pages of long lists.

Claims: 50 workers, each a process with its own connection, claim a task every second from a queue
with 20 projects and 10 priorities. The time of a claim is that of its whole transaction including
the commit. The results of the claims show whether a task was claimed twice. Then the same 50
workers claim without pauses, which shows this machine's maximum. Both measurements start after the
audit entries of the submissions have been sealed.

Submissions: eight clients in this process submit quality report tasks, each on its own small
dataset, first one per request and then 50 per request. The platform has two API processes, no rate
limits, and no spare, because a spare would import torch in the meantime.

Lists: pages of 50 tasks in a project with 100,000 of 1,000,000 tasks, filtered by status and type,
as measured by a client.

Client, API, workers and PostgreSQL share the machine's cores. ``--quick`` does a tenth of the work.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import random
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import psycopg
from common.figures import figure, percentile, progress
from common.platform import Started, running_platform

from aiplatform import Client

CLAIMERS = 50
BATCH = 50
SUBMITTERS = 8
WARM = 8
WARM_SECONDS = 2.0
"""Seconds before a measurement for opening connections and preparing statements."""
SETTLE_SECONDS = 300
FILL = """
WITH fresh AS (
    INSERT INTO tasks (project_id, name, type, status, priority, config, created_at)
    SELECT (%(projects)s::integer[])[1 + n %% %(count)s], 'bench ' || n,
           CASE n %% 3 WHEN 0 THEN 'training' ELSE 'data_quality' END,
           %(status)s, 1 + (n / 7) %% 10,
           '{"type": "data_quality", "dataset": {"dataset": null}}',
           now() - n * interval '1 millisecond'
    FROM generate_series(1, %(rows)s) AS n RETURNING id
)
INSERT INTO task_scheduling (task_id, queue, cpus, memory_mb, gpus, max_attempts)
SELECT id, %(queue)s, 1, 0, 0, 3 FROM fresh
"""


def main() -> int:
    """Measure submissions, claims and lists on one platform."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parts = 10 if parser.parse_args().quick else 1
    settings = {
        "AIPLATFORM_API_WORKERS": "2",
        "AIPLATFORM_RATE_LIMIT_NORMAL": "off",
        "AIPLATFORM_WARM_RUNTIME": "off",
    }
    with running_platform(**settings) as (client, started):
        database = str(started.state["database_url"])
        projects = [client.projects.create(f"p{n}") for n in range(20)]
        with psycopg.connect(started.owner_url, autocommit=True) as connection:
            ids = [
                row[0]
                for row in connection.execute(
                    "SELECT id FROM projects WHERE uuid = ANY(%s)", ([p.uuid for p in projects],)
                )
            ]
            submissions(client, started, 10 / parts)
            fill(connection, ids, 100_000 // parts, "pending", "bench")
            settle(connection)
            claims(database, 20 / parts)
            fill(connection, ids[:10], 900_000 // parts, "completed", "bench")
            lists(client, str(projects[0].uuid), 400 // parts)
    return 0


def fill(
    connection: psycopg.Connection, projects: list[int], rows: int, status: str, queue: str
) -> None:
    """Insert tasks into the database, as if they had been submitted."""
    began = time.perf_counter()
    values = {
        "projects": projects,
        "count": len(projects),
        "rows": rows,
        "status": status,
        "queue": queue,
    }
    connection.execute(FILL, values)
    # Otherwise, autovacuum would run during a measurement.
    connection.execute("VACUUM ANALYZE")
    progress(f"{rows} rows of status {status} in {time.perf_counter() - began:.0f} s")


def settle(connection: psycopg.Connection) -> None:
    """Wait until all audit entries are sealed, so that sealing doesn't slow down the claims."""
    began = time.perf_counter()
    while connection.execute("SELECT FROM audit_unsealed LIMIT 1").fetchone() is not None:
        if time.perf_counter() - began > SETTLE_SECONDS:
            raise RuntimeError("the audit does not get done with sealing")
        time.sleep(0.5)
    progress(f"the audit was sealed {time.perf_counter() - began:.0f} s later")


def claims(database: str, seconds: float) -> None:
    """Measure the claims of 50 workers, first at one claim a second each, then without pauses."""
    os.environ["AIPLATFORM_DATABASE_URL"] = database
    # Imported after the variable is set, because settings are read only once, and before the
    # workers are forked.
    from aiplatform.server.composition import compose

    compose()
    for pause, name in ((1.0, "claim"), (0.0, "claim_burst")):
        lasting = seconds if pause else seconds / 4
        taken, times = _together(pause, lasting)
        progress(f"{name}: {len(times)} claims, {len(taken) - len(set(taken))} of them twice")
        figure(f"queue.{name}.p50", percentile(times, 0.5) * 1000, "ms")
        target = "<= 10" if pause else None
        figure(f"queue.{name}.p95", percentile(times, 0.95) * 1000, "ms", target=target)
        figure(f"queue.{name}.doubled", len(taken) - len(set(taken)), "tasks", target="<= 0")
        if not pause:
            figure(f"queue.{name}.rate", len(times) / lasting, "claims/s")


def _together(pause: float, seconds: float) -> tuple[list[int], list[float]]:
    """Run all workers; return the ids of the claimed tasks and the seconds of each claim."""
    forks = multiprocessing.get_context("fork")
    ready = forks.Barrier(CLAIMERS)
    answers: Any = forks.SimpleQueue()
    workers = [
        forks.Process(target=_claim, args=(f"bench-{n}-{pause}", pause, seconds, ready, answers))
        for n in range(CLAIMERS)
    ]
    for worker in workers:
        worker.start()
    taken: list[int] = []
    times: list[float] = []
    for _ in workers:
        ids, spent = answers.get()
        taken += ids
        times += spent
    for worker in workers:
        worker.join()
    return taken, times


def _claim(name: str, pause: float, seconds: float, ready: Any, answers: Any) -> None:
    """Claim tasks as one worker in its own process. The time of a claim includes its commit."""
    from aiplatform.server.core.database import transaction
    from aiplatform.server.execution.service import workers
    from aiplatform.server.queue.rules import Device
    from aiplatform.server.queue.service import claims

    offers = workers.Capacity(1e6, 1 << 20, tuple(Device(str(n)) for n in range(8)))
    with transaction() as session:
        worker_id = workers.register(session, name, ["bench"], offers)
    taken: list[int] = []
    times: list[float] = []

    def claim() -> None:
        began = time.perf_counter()
        with transaction() as session:
            claimed = claims.claim_next(session, worker_id, ["bench"])
        times.append(time.perf_counter() - began)
        if claimed is not None:
            taken.append(claimed.task_id)

    for _ in range(WARM):  # a real worker has had its connection and statements for a long time
        claim()
    times.clear()
    ready.wait()
    end = time.perf_counter() + seconds
    time.sleep(random.random() * pause)
    while (began := time.perf_counter()) < end:
        claim()
        if pause:
            time.sleep(max(0.0, began + pause - time.perf_counter()))
    answers.put((taken, times))


def submissions(client: Client, started: Started, seconds: float) -> None:
    """Measure how fast eight clients can submit quality report tasks to a queue without workers."""
    project = client.projects.create("submissions")
    datasets = [
        client.datasets.upload(
            f"tiny-{client_of}", [{"text": f"line {client_of} {n}"} for n in range(5)],
            project=project,
        ).wait_ready()
        for client_of in range(SUBMITTERS)
    ]  # fmt: skip
    with psycopg.connect(str(started.state["database_url"]), autocommit=True) as connection:
        # The platform's own worker must not claim the submitted tasks.
        connection.execute("UPDATE workers SET state = 'cordoned'")
    ones: list[dict[str, Any]] = [
        {"name": "bench",
         "spec": {"type": "data_quality", "dataset": {"dataset": str(dataset.uuid)}}}
        for dataset in datasets
    ]  # fmt: skip
    for name, path, bodies, tasks in (
        ("submit", "tasks", ones, 1),
        ("submit_batch", "tasks/batch", [{"tasks": [one] * BATCH} for one in ones], BATCH),
    ):
        where = f"projects/{project.uuid}/{path}"
        _posted(client, started, where, bodies, WARM_SECONDS)
        times = _posted(client, started, where, bodies, seconds)
        rate = len(times) * tasks / seconds
        target = ">= 150" if tasks == 1 else ">= 500"
        figure(f"queue.{name}.rate", rate, "tasks/s", target=target)
        figure(f"queue.{name}.p95", percentile(times, 0.95) * 1000, "ms")


def _posted(
    client: Client, started: Started, path: str, bodies: list[dict[str, Any]], seconds: float
) -> list[float]:
    """Send each body repeatedly from its own client; return the seconds of each request."""
    headers = {
        "Authorization": f"Bearer {client.transport.tokens.current()}",
        "Content-Type": "application/json",
    }
    address = urlsplit(started.url)
    times: list[float] = []
    failures: list[int] = []
    end = time.perf_counter() + seconds

    def work(content: str) -> None:
        # A minimal client, because it shares the cores with the platform.
        own = http.client.HTTPConnection(str(address.hostname), address.port)
        while (began := time.perf_counter()) < end:
            own.request("POST", f"/api/v1/{path}", content, headers)
            answer = own.getresponse()
            answer.read()
            times.append(time.perf_counter() - began)
            if answer.status != 202:
                failures.append(answer.status)
        own.close()

    threads = [threading.Thread(target=work, args=(json.dumps(body),)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(f"{len(failures)} submissions were refused, with {failures[0]}")
    return times


def lists(client: Client, project: str, calls: int) -> None:
    """Measure first and second pages of a project's tasks, filtered by status and type."""
    times: list[float] = []
    filters: list[dict[str, str]] = [
        {}, {"status": "pending"}, {"status": "completed"}, {"status": "failed"},
        {"type": "training"}, {"status": "completed", "type": "training"},
    ]  # fmt: skip
    for number in range(calls):
        params: dict[str, str | None] = dict(filters[number % len(filters)])
        began = time.perf_counter()
        page = client.transport.get(f"projects/{project}/tasks", **params)
        times.append(time.perf_counter() - began)
        if page["next_cursor"]:
            began = time.perf_counter()
            client.transport.get(f"projects/{project}/tasks", cursor=page["next_cursor"], **params)
            times.append(time.perf_counter() - began)
    figure("queue.list.p50", percentile(times, 0.5) * 1000, "ms")
    figure("queue.list.p95", percentile(times, 0.95) * 1000, "ms", target="<= 50")


if __name__ == "__main__":
    sys.exit(main())
