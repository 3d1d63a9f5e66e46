"""A job of type inference: serve the model until asked to stop."""

import asyncio
import contextlib
import queue
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from aiplatform.protocol.messages import Job, ServingAddress
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.serving.app import BASE, MODEL, ChatServer
from aiplatform.runtime.serving.engines.base import Engine, Generation, Piece

FINISH_SECONDS = 5.0
"""How long running answers may go on after a stop was asked for."""


def run_serving(job: Job, report: Reporter) -> dict[str, Any]:
    """Load the model, listen, say ready, and serve. Returns only by being stopped."""
    spec = job.spec
    assert isinstance(spec, InferenceSpec)
    if job.serving is None:
        raise JobError("The job names no address to serve on.")
    with report.stop.held(), listening(job.serving) as (listener, endpoint):
        app, engine = _application(job, spec, job.serving.token)
        try:
            asyncio.run(_serve(app, listener, report, endpoint))
        finally:
            engine.close()
    report.stop.obey()
    return {}


def _application(job: Job, spec: InferenceSpec, token: str) -> tuple[Any, Any]:
    model, base = Path(job.inputs["model"]), job.inputs.get("base_model")
    if spec.engine == "vllm":
        from aiplatform.runtime.serving.engines.vllm import VllmEngine, VllmProxy

        server = VllmEngine(model, None if base is None else Path(base), spec)
        return VllmProxy(server, token).app(), server
    from aiplatform.runtime.serving.engines.transformers import TransformersEngine

    engine = TransformersEngine(
        model,
        None if base is None else Path(base),
        max_length=spec.max_length,
        max_batch_size=spec.max_batch_size,
        precision=spec.precision,
    )
    warm_up(engine)
    names = {MODEL, BASE} if engine.tuned else {MODEL}
    return ChatServer(engine, token, names).app(), engine


def warm_up(engine: Engine) -> None:
    """Answer once, so that the first caller does not wait for what happens only once.

    Raises:
        JobError: when the model can't even do that.
    """
    pieces: queue.Queue[Piece] = queue.Queue()
    prompt = engine.encode([{"role": "user", "content": "Hello"}])
    engine.submit(
        Generation(
            prompt=prompt,
            adapted=True,
            max_tokens=2,
            temperature=0,
            top_p=1,
            seed=0,
            stop=[],
            deliver=pieces.put,
        )
    )
    while (piece := pieces.get()).finish_reason is None:
        pass
    if piece.finish_reason == "error":
        raise JobError("The model fails to answer; the log has the cause.")


@contextlib.contextmanager
def listening(address: ServingAddress) -> Iterator[tuple[socket.socket, str]]:
    """A bound socket at ``address`` and how it is announced; a unix socket is removed after."""
    if address.socket is not None:
        path = Path(address.socket)
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
            path.chmod(0o600)
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


class _Server(uvicorn.Server):
    """Leaves signals alone: SIGTERM sets the job's stop request."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def _serve(app: Any, listener: socket.socket, report: Reporter, endpoint: str) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        http="httptools",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=round(FINISH_SECONDS),
        timeout_keep_alive=600,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110  (uvicorn offers no event)
        await asyncio.sleep(0.01)
    if serving.done():
        await serving
    report.ready(endpoint)
    started = time.time()
    while not serving.done():
        if report.stop.requested:
            server.should_exit = True
            break
        await asyncio.sleep(0.1)  # set by a signal handler, which can wake nobody safely
    await serving
    report.event("served", seconds=round(time.time() - started, 1))
