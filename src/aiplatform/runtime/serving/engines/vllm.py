"""The engine that runs vLLM's server as a child process; adapters are applied to their base.

vLLM implements OpenAI's API itself, so requests are forwarded to it. Only the model's name in
responses is replaced by the name that the client used.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from aiplatform.protocol.specs import InferenceSpec
from aiplatform.runtime.artifacts import ADAPTER, WEIGHTS
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.loading import is_tuned
from aiplatform.runtime.serving.app import BASE, MODEL, Refusal
from aiplatform.runtime.serving.engines.relay import Relay, Upstream
from aiplatform.runtime.stop import StopRequest

START_SECONDS = 1800.0
"""Seconds that vLLM may take to start; large models take many minutes to load and compile."""


def start(
    model: Path, base: Path | None, spec: InferenceSpec, token: str, stop: StopRequest
) -> tuple[Starlette, "VllmEngine"]:
    """Start vLLM in a child process; return the forwarding application and the engine."""
    engine = VllmEngine(model, base, spec, stop)
    return VllmProxy(engine, token).app(), engine


class VllmEngine:
    """A running ``vllm serve`` on a port of the loopback interface."""

    def __init__(
        self, model: Path, base: Path | None, spec: InferenceSpec, stop: StopRequest
    ) -> None:
        program = shutil.which("vllm") or shutil.which(
            "vllm", path=str(Path(sys.executable).parent)
        )
        if program is None:
            raise JobError(
                "This worker has no vLLM. Install AI Platform there with its extra 'vllm', "
                "or choose the engine 'transformers'."
            )
        self.tuned = base is not None and is_tuned(model)
        self.port = _free_port()
        self.process = subprocess.Popen(
            [program, *vllm_arguments(model, base if self.tuned else None, spec, self.port)]
        )
        self._wait(stop)

    def failure(self) -> str | None:
        """Return why the engine can no longer answer, or None while it can."""
        code = self.process.poll()
        return None if code is None else f"vLLM ended with exit code {code}; the log has the cause."

    @property
    def url(self) -> str:
        """The URL at which vLLM listens."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop vLLM; kill it if it takes more than ten seconds to exit."""
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait(self, stop: StopRequest) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            failure = self.failure()
            # The signal that requests a stop also stops vLLM, which is not a failure in that case.
            # The stop is checked after vLLM, because the signal may arrive between the two checks.
            stop.raise_if_requested()
            if failure is not None:
                raise JobError(failure)
            try:
                if httpx.get(f"{self.url}/health", timeout=2, trust_env=False).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        self.close()
        raise JobError(f"vLLM was not ready within {START_SECONDS:.0f} seconds.")


def vllm_arguments(model: Path, base: Path | None, spec: InferenceSpec, port: int) -> list[str]:
    """Return the arguments of ``vllm``. With ``base``, the model is served as an adapter on it."""
    dtype = {"auto": "auto", "fp32": "float32", "bf16": "bfloat16"}[spec.precision]
    arguments = [
        "serve",
        str((base or model) / WEIGHTS),
        "--host=127.0.0.1",
        f"--port={port}",
        f"--served-model-name={MODEL if base is None else BASE}",
        f"--max-model-len={spec.max_length}",
        f"--max-num-seqs={spec.max_batch_size}",
        f"--dtype={dtype}",
    ]
    if base is not None:
        config = json.loads((model / ADAPTER / "adapter_config.json").read_text("utf-8"))
        arguments += [
            "--enable-lora",
            f"--max-lora-rank={_lora_rank(int(config.get('r', 16)))}",
            f"--lora-modules={MODEL}={model / ADAPTER}",
        ]
    return arguments


def _lora_rank(rank: int) -> int:
    """Return the smallest rank of at least ``rank`` for which vLLM has kernels."""
    return next((size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= rank), rank)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class VllmProxy(Relay):
    """A server that forwards chat requests to vLLM unchanged."""

    def __init__(self, engine: VllmEngine, token: str) -> None:
        super().__init__(token, [MODEL, BASE] if engine.tuned else [MODEL])
        self._upstream = Upstream("vLLM", engine.url)

    async def chat(self, request: Request) -> Response:
        """Forward a chat request to vLLM and return its response with the client's model name."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        body = await request.body()
        try:
            return await self.forward(request, self._upstream, "/v1/chat/completions", body)
        except Refusal as refusal:
            return refusal.response()
