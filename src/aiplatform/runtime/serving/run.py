"""Inference jobs, which serve a model until a stop is requested."""

import asyncio
import contextlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from aiplatform.protocol.messages import Job, ServingAddress
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.serving.engines import start_engine
from aiplatform.runtime.serving.engines.base import Server

SHUTDOWN_SECONDS = 5
"""Seconds that answers in progress may take after a stop has been requested."""

IDLE_SECONDS = 2.0
"""Seconds without a request after which a replaced server exits.

Requests that were sent to it just before it was replaced may still arrive.
"""

MAX_SOCKET_PATH = 103
"""Longest path of a Unix socket on macOS, in bytes; Linux allows 107."""


def run_serving(job: Job, report: Reporter) -> dict[str, Any]:
    """Load the model, report that the server is ready, and serve until a stop is requested.

    Raises:
        JobError: The model can't be served, or the engine has failed.
        JobStopped: A stop was requested, and answers in progress had a few seconds to finish.
    """
    spec = job.spec
    assert isinstance(spec, InferenceSpec)
    if job.serving is None:
        raise JobError("The job names no address to serve on.")
    if len(os.fsencode(job.serving.socket or "")) > MAX_SOCKET_PATH:
        raise JobError(f"The socket's path is too long for the system: {job.serving.socket}")
    report.phase("load")
    # Not delayed, because loading a model may take long, and a stop meanwhile must end the job
    # immediately.
    app, engine = start_engine(job, spec, job.serving.token, report.stop)
    with report.stop.delay():
        try:
            with listening(job.serving) as (listener, endpoint):
                uvloop.run(_serve(app, engine, listener, report, endpoint))
        finally:
            engine.close()
    report.stop.raise_if_requested()
    return {}


@contextlib.contextmanager
def listening(address: ServingAddress) -> Iterator[tuple[socket.socket, str]]:
    """Yield a socket bound to ``address``, and the endpoint to announce.

    A Unix socket is removed afterwards.
    """
    if address.socket is not None:
        path = Path(address.socket)
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            path.unlink()  # left by a killed attempt
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            # A chmod after bind() would be too late, because other users could connect in between.
            mask = os.umask(0o177)
            try:
                listener.bind(str(path))
            finally:
                os.umask(mask)
            try:
                yield listener, f"unix:{path}"
            finally:
                path.unlink(missing_ok=True)
        return
    host = address.host or "127.0.0.1"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((host, 0))
        shown = f"[{host}]" if ":" in host else host
        yield listener, f"http://{shown}:{listener.getsockname()[1]}"


class _Uvicorn(uvicorn.Server):
    """A Uvicorn server without signal handlers, because :class:`StopRequest` handles SIGTERM.

    The event ``listens`` is set once the server accepts connections.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing, so that the job's handlers remain installed."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening and set ``listens``."""
        await super().startup(sockets)
        self.listens.set()


class InProgress:
    """An ASGI application that wraps another and counts the requests in progress."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.count = 0
        self.changed = time.monotonic()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request, which counts as in progress until the last byte of its response."""
        self.count += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self.count -= 1
            self.changed = time.monotonic()

    def is_idle(self, since: float) -> bool:
        """Return True if there has been no request for ``IDLE_SECONDS``, counted from ``since``."""
        now = time.monotonic()
        return self.count == 0 and now - max(self.changed, since) >= IDLE_SECONDS


async def _serve(
    app: Any, engine: Server, listener: socket.socket, report: Reporter, endpoint: str
) -> None:
    progress = InProgress(app)
    server = _Uvicorn(
        uvicorn.Config(
            progress,
            log_config=None,
            access_log=False,
            lifespan="off",
            http="httptools",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            timeout_keep_alive=600,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    started = asyncio.create_task(server.listens.wait())
    await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
    if not started.done():
        started.cancel()
        await serving  # raises the error that kept it from listening
    report.ready(endpoint)
    report.phase("serve")
    since = time.monotonic()
    failure = None
    draining_since: float | None = None
    while not serving.done() and not server.should_exit:
        # Neither a signal handler nor an engine can wake the event loop, so poll.
        await asyncio.wait({serving}, timeout=0.1)
        if report.stop.draining:
            draining_since = draining_since or time.monotonic()
            report.stop.requested = report.stop.requested or progress.is_idle(draining_since)
        failure = engine.failure()
        server.should_exit = report.stop.requested or failure is not None
    await serving
    report.event("served", seconds=round(time.monotonic() - since, 1))
    if failure is not None and not report.stop.requested:
        raise JobError(failure)
