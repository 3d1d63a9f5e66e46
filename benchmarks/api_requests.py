"""Common requests from eight clients, compared with MLflow 3.17 on the same machine.

Both servers have two processes, no rate limits, and a database in the same PostgreSQL server. They
are measured in turns of a few seconds, so that other work on the machine slows down both. The
clients are a single process that sends bytes over eight open connections; its cost is included.

MLflow checks no permissions, whereas the platform authenticates each request and writes audit
entries. MLflow is installed into its own directory; if that is not possible, there is no
comparison. ``--quick`` measures one short turn of each server.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import uvloop
from common import other_programs
from common.figures import figure, percentile, progress
from common.platform import Started, running_platform

from aiplatform import Client
from aiplatform.embedded.ports import claim_port

CLIENTS = 8
WARM_SECONDS = 1.5
POINTS = 1000
PEER = ("mlflow==3.17.*", "psycopg2-binary")


@dataclass(frozen=True)
class Call:
    """A request that is sent repeatedly. If it has several bodies, each client sends its own.

    ``units`` is the number of items that one call stores or reads.
    """

    url: str
    method: str
    path: str
    token: str | None = None
    bodies: Sequence[Any] = ()
    units: int = 1

    def head_and_body(self, client: int) -> bytes:
        """Return the bytes of a client's request."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}"]
        if self.token is not None:
            lines.append(f"Authorization: Bearer {self.token}")
        body = b""
        if self.bodies:
            body = json.dumps(self.bodies[client % len(self.bodies)]).encode()
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Pair:
    """A comparison: the platform's call, MLflow's call if there is one, and the target."""

    name: str
    ours: Call
    theirs: Call | None = None
    times: float | None = None
    least: float | None = None
    unit: str = "requests/s"


async def send_repeatedly(call: Call, until: float) -> list[float]:
    """Send the call on all connections, one at a time on each; return the durations in seconds."""
    where = urlsplit(call.url)
    taken: list[float] = []

    async def send_on_one_connection(client: int) -> None:
        request = call.head_and_body(client)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        while time.monotonic() < until:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 20"):
                raise RuntimeError(f"{call.path} answered {head[:80]!r} {body[:300]!r}")
            taken.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(send_on_one_connection(client) for client in range(CLIENTS)))
    return taken


def load(call: Call, seconds: float) -> list[float]:
    """Run :func:`send_repeatedly` for ``seconds``; called in a process of its own."""
    return uvloop.run(send_repeatedly(call, time.monotonic() + seconds))


def measure(pair: Pair, pool: Any, turns: int, seconds: float) -> None:
    """Measure both servers in turns and print the figure of the median turn."""
    calls = [call for call in (pair.ours, pair.theirs) if call is not None]
    rates: dict[str, list[float]] = {call.url: [] for call in calls}
    own: list[float] = []
    for call in calls:
        pool.apply(load, (call, WARM_SECONDS))
    for turn in range(turns):
        for call in calls if turn % 2 else reversed(calls):
            taken = pool.apply(load, (call, seconds))
            rates[call.url].append(len(taken) * call.units / seconds)
            if call is pair.ours:
                own += taken
    progress(f"{pair.name}: {', '.join(f'{statistics.median(r):.0f}' for r in rates.values())}")
    baseline = None if pair.theirs is None else statistics.median(rates[pair.theirs.url])
    least = pair.least
    if pair.times is not None and baseline is not None:
        least = pair.times * baseline
    figure(
        f"requests.{pair.name}",
        statistics.median(rates[pair.ours.url]),
        pair.unit,
        target=None if least is None else f">= {least:.0f}",
        baseline=baseline,
        baseline_name=None if baseline is None else "MLflow 3.17",
    )
    figure(f"requests.{pair.name}.p95", percentile(own, 0.95) * 1000, "ms")


@contextmanager
def running_peer(started: Started) -> Iterator[str | None]:
    """Start MLflow's server with its own database; yield its URL, or None if it is unavailable."""
    installation = other_programs.install("mlflow", *PEER)
    if installation is None:
        yield None
        return
    parts = urlsplit(started.owner_url)
    # Only the superuser of the private server may create databases.
    superuser = parts._replace(netloc="postgres@", path="/postgres").geturl()
    with psycopg.connect(superuser, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE mlflow OWNER {parts.username}")
    port = claim_port("127.0.0.1", 0)
    directory = Path(started.state["home"]).parent
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(installation),
        "HOME": str(directory),
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (directory / "mlflow.log").open("wb") as log, subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
         "--workers", "2", "--backend-store-uri", parts._replace(path="/mlflow").geturl(),
         "--default-artifact-root", str(directory / "artifacts")],
        cwd=directory,
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    ) as process:  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{url}/health", process, directory / "mlflow.log")
            yield url
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until the server responds, which it does after creating its tables."""
    deadline = time.monotonic() + 180
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"MLflow did not start: {log.read_text()[-2000:]}")
        with suppress(httpx.HTTPError):
            if httpx.get(url).is_success:
                return
        time.sleep(0.3)


def our_calls(client: Client, started: Started) -> dict[str, Call]:
    """Return the platform's calls, after creating a project, sixty runs and small datasets."""
    project = client.projects.create("requests")
    datasets = [
        client.datasets.upload(
            f"tiny-{n}", [{"text": f"line {n} {k}"} for k in range(5)], project=project
        )
        for n in range(CLIENTS)
    ]
    with psycopg.connect(started.owner_url, autocommit=True) as connection:
        # The platform's own worker must not claim tasks in the meantime.
        connection.execute("UPDATE workers SET state = 'cordoned'")
    runs = [
        client.transport.post(f"projects/{project.uuid}/runs", {"name": f"run {n}"})["uuid"]
        for n in range(60)
    ]
    api, where = "/api/v1", f"/api/v1/projects/{project.uuid}"
    token = str(client.transport.tokens.current())

    def call(method: str, path: str, bodies: Sequence[Any] = (), units: int = 1) -> Call:
        return Call(started.url, method, path, token, bodies, units)

    points = [{"key": "loss", "step": n, "value": 1 / (n + 1)} for n in range(POINTS)]
    specs = [{"type": "data_quality", "dataset": {"dataset": str(d.uuid)}} for d in datasets]
    return {
        "health": call("GET", f"{api}/health"),
        "task": call("GET", f"{api}/tasks/{runs[0]}"),
        "project": call("GET", where),
        "list": call("GET", f"{where}/tasks?limit=50"),
        "create_run": call("POST", f"{where}/runs", [{"name": "run"}]),
        "metrics": Call(
            started.url, "POST", f"{api}/tasks/{runs[1]}/metrics", token, [{"points": points}],
            POINTS,
        ),
        "submit": call("POST", f"{where}/tasks", [{"name": "one", "spec": s} for s in specs]),
    }  # fmt: skip


def peer_calls(url: str) -> dict[str, Call]:
    """Create runs in MLflow; return MLflow's calls."""
    api = "/api/2.0/mlflow"
    body = {"experiment_id": "0", "run_name": "run", "start_time": int(time.time() * 1000)}

    def create() -> str:
        answer = httpx.post(f"{url}{api}/runs/create", json=body, timeout=60).raise_for_status()
        return str(answer.json()["run"]["info"]["run_id"])

    metrics = [
        {"key": "loss", "value": 1 / (n + 1), "timestamp": 1_700_000_000_000 + n, "step": n}
        for n in range(POINTS)
    ]
    return {
        "get_run": Call(url, "GET", f"{api}/runs/get?run_id={create()}"),
        "create_run": Call(url, "POST", f"{api}/runs/create", None, [body]),
        "log_batch": Call(
            url, "POST", f"{api}/runs/log-batch", None,
            [{"run_id": create(), "metrics": metrics} for _ in range(CLIENTS)], POINTS,
        ),
    }  # fmt: skip


def main() -> int:
    """Measure all pairs on one platform."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    turns, seconds = (1, 1.5) if parser.parse_args().quick else (7, 3.0)
    settings = {
        "AIPLATFORM_API_WORKERS": "2",
        "AIPLATFORM_RATE_LIMIT_NORMAL": "off",
        "AIPLATFORM_RATE_LIMIT_INGEST": "off",
        "AIPLATFORM_RATE_LIMIT_ANONYMOUS": "off",
        "AIPLATFORM_WARM_RUNTIME": "off",
    }
    with (
        running_platform(**settings) as (client, started),
        running_peer(started) as url,
        multiprocessing.get_context("spawn").Pool(1) as pool,
    ):
        ours = our_calls(client, started)
        theirs = {} if url is None else peer_calls(url)
        get_run = theirs.get("get_run")
        for pair in (
            Pair("read_task", ours["task"], get_run, times=4),
            Pair("read_project", ours["project"], get_run, times=4),
            Pair("list_50_tasks", ours["list"], get_run, times=4),
            Pair("health", ours["health"], get_run),
            Pair("create_run", ours["create_run"], theirs.get("create_run"), times=3),
            Pair("metrics", ours["metrics"], theirs.get("log_batch"), times=8, unit="points/s"),
            Pair("submit", ours["submit"], least=150),
        ):
            measure(pair, pool, turns, seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
