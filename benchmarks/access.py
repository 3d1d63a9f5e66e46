"""Requests from 64 simultaneous clients for a small resource, and the cost of permission checks.

A member of a project reads the project, ``GET /api/v1/projects/{project}``, over 64 open
connections to one API process. Client, API and database share the machine.

To measure the cost of authentication and permission checks, two API processes serve the same
application from the same database. In one of them, this route's guard is replaced by a constant
(``common/api_process.py``). The two are measured in turns. The main comparison is of CPU time per
request in the API and the database, which other work on the machine doesn't affect; requests per
second are compared, too.

The real guard hashes the token from the header. It reads the session or key, the account, the
global role, the project and the membership in one statement, and computes the permissions from
them. The measurement includes the cost of the thread in which the guard runs.
"""

import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import uvloop
from common.figures import figure, percentile, progress
from common.platform import Started, descendants, running_platform

from aiplatform import Client
from aiplatform.embedded.ports import claim_port

CLIENTS = 64
TURNS, TURN_SECONDS, WARM_SECONDS = 8, 5.0, 3.0
PASSWORD = "a password for readers"
TICK = os.sysconf("SC_CLK_TCK")
HERE = Path(__file__).parent


@dataclass
class ApiProcess:
    """An API process and its measurements."""

    url: str
    pid: int
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    api_cpu: list[float] = field(default_factory=list)
    database_cpu: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """The median CPU seconds per request in the API, plus the median in the database."""
        return statistics.median(self.api_cpu) + statistics.median(self.database_cpu)


async def send_requests(url: str, path: str, token: str, until: float) -> list[float]:
    """Send requests on all connections, one at a time on each; return the durations in seconds."""
    where = urlsplit(url)
    head = (
        f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {token}\r\n\r\n"
    ).encode()
    taken: list[float] = []

    async def send_on_one_connection() -> None:
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        while time.monotonic() < until:
            began = time.perf_counter()
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"{url} answered {answer[:300]!r}")
            length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            taken.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(send_on_one_connection() for _ in range(CLIENTS)))
    return taken


def load(url: str, path: str, token: str, seconds: float) -> list[float]:
    """Run :func:`send_requests` for ``seconds``; called in a process of its own."""
    return uvloop.run(send_requests(url, path, token, time.monotonic() + seconds))


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU seconds that the processes have used so far."""
    used = 0.0
    for pid in pids:
        with suppress(FileNotFoundError):  # exited since it was listed
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used += sum(map(int, fields[11:15])) / TICK  # includes exited child processes
    return used


def measure(api: ApiProcess, database: int, path: str, token: str) -> None:
    """Send requests to one API process for a turn, and record its speed and CPU time."""
    before = cpu_seconds([api.pid]), cpu_seconds([database, *descendants(database)])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        taken = pool.apply(load, (api.url, path, token, TURN_SECONDS))
    after = cpu_seconds([api.pid]), cpu_seconds([database, *descendants(database)])
    api.seconds += taken
    api.rates.append(len(taken) / TURN_SECONDS)
    api.api_cpu.append((after[0] - before[0]) / len(taken))
    api.database_cpu.append((after[1] - before[1]) / len(taken))


@contextmanager
def running_api(kind: str, started: Started) -> Iterator[ApiProcess]:
    """Start an additional API process of the platform and stop it afterwards."""
    state = started.state
    port = claim_port("127.0.0.1", 0)
    environment = os.environ | {
        "AIPLATFORM_HOME": state["home"],
        "AIPLATFORM_DATABASE_URL": state["database_url"],
        "AIPLATFORM_BROKER_URL": state["broker_url"],
        "AIPLATFORM_STORAGE_URL": state["storage_url"],
        "AIPLATFORM_RATE_LIMIT_NORMAL": "1000000000/minute",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "common.api_process", kind, str(port)],
        cwd=HERE,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, process)
            yield ApiProcess(url, process.pid)
        finally:
            process.terminate()


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the API process responds."""
    deadline = time.monotonic() + 60
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the API of the benchmark did not start")
        with suppress(httpx.HTTPError):
            if httpx.get(f"{url}/api/v1/health").is_success:
                return
        time.sleep(0.1)


def create_reader(client: Client, url: str, project: str) -> str:
    """Create a member of the project with the role viewer, and return an access token."""
    client.users.create("reader", "reader@example.com", PASSWORD)
    client.projects.set_member(project, "reader", "viewer")
    return Client(url, token="none").login("reader", PASSWORD).access_token()


def main() -> int:
    """Measure the real and the constant guard in turns."""
    with running_platform() as (client, started):
        project = client.projects.create("small")
        token = create_reader(client, started.url, "small")
        path = f"/api/v1/projects/{project.uuid}"
        database = started.pids("postgres")[0]
        with running_api("real", started) as real, running_api("constant", started) as constant:
            for api in (real, constant):
                load(api.url, path, token, WARM_SECONDS)
            for turn in range(TURNS):
                for api in (real, constant) if turn % 2 else (constant, real):
                    measure(api, database, path, token)
                progress(f"{real.rates[-1]:.0f} and {constant.rates[-1]:.0f} requests/s")
    figure("access.rate", statistics.median(real.rates), "requests/s")
    figure("access.p95", percentile(real.seconds, 0.95) * 1000, "ms")
    for name, part, other in (
        ("api", real.api_cpu, constant.api_cpu),
        ("database", real.database_cpu, constant.database_cpu),
    ):
        figure(
            f"access.{name}_cpu",
            statistics.median(part) * 1000,
            "ms",
            baseline=statistics.median(other) * 1000,
            baseline_name="guard left out",
        )
    figure("access.share", (1 - constant.cpu / real.cpu) * 100, "%", target="<= 15")
    figure(
        "access.share_of_rate",
        statistics.median(
            (1 - with_it / without) * 100
            for with_it, without in zip(real.rates, constant.rates, strict=True)
        ),
        "%",
        target="<= 15",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
