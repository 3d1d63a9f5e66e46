"""The engine that runs llama.cpp's server as a child process, with the model as a GGUF file.

The program is the operator's ``llama-server`` or the server in the package ``xllamacpp``. A tuned
model is served with its merged weights, because llama.cpp does not put requests with different
adapters into one batch. The base is a second server, which is started at the first request for it.
"""

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.protocol.validation_errors import error_text, place_of
from aiplatform.runtime.artifacts import WEIGHTS
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.loading import is_tuned
from aiplatform.runtime.serving.app import BASE, MAX_REQUESTS, MODEL, Refusal
from aiplatform.runtime.serving.engines.relay import Relay, Upstream
from aiplatform.runtime.serving.gguf.architectures import obstacle
from aiplatform.runtime.serving.gguf.cache import (
    ConversionFailed,
    Converted,
    NotConvertible,
    converted,
)
from aiplatform.runtime.serving.gguf.samples import Samples, fold_system
from aiplatform.runtime.serving.schemas import StructuredChatRequest
from aiplatform.runtime.stop import StopRequest

PROGRAM = "llama-server"
PACKAGE = "xllamacpp"

NUMBER_FORMATS = {
    "auto": "q8_0",
    "q8_0": "q8_0",
    "fp16": "f16",
    "bf16": "bf16",
    "fp32": "f32",
}
"""Format of the matrices in the GGUF file by the precision in the spec."""

CONTEXT_STEP = 256
"""llama.cpp rounds the context of a slot up to a multiple of this number of tokens."""

START_SECONDS = 900.0
"""Seconds that the server may take to load the model."""

SCHEMA_ERROR = "JSON schema error"
"""Part of llama.cpp's message about a schema that it can't turn into a grammar."""

MAX_SOCKET_PATH = 103
"""Longest path of a Unix socket on macOS, in bytes; Linux allows 107."""


def start(
    job: Job, model: Path, base: Path | None, spec: InferenceSpec, token: str, stop: StopRequest
) -> tuple[Starlette, "LlamaEngine"]:
    """Convert the model if necessary and start llama.cpp; return the application and the engine."""
    engine = LlamaEngine(job, model, base, spec, stop)
    return LlamaProxy(engine, token).app(), engine


def find_program(configured: str | None) -> list[str] | None:
    """Return the command that starts llama.cpp's server, or None if there is none.

    ``configured`` is the operator's program from the settings. Without it, a ``llama-server`` on
    the PATH is used, or else the package.
    """
    found = configured or shutil.which(PROGRAM)
    if found is not None:
        return [found]
    if importlib.util.find_spec(PACKAGE) is not None:
        return [sys.executable, "-m", "aiplatform.runtime.serving.llama_server"]
    return None


def server_arguments(file: Path, host: str, spec: InferenceSpec, threads: int) -> list[str]:
    """Return the arguments of ``llama-server``, which give each slot the spec's whole context."""
    context = -(-spec.max_length // CONTEXT_STEP) * CONTEXT_STEP
    slots = spec.max_batch_size
    return [
        *("--model", str(file)),
        *("--host", host),
        *("--alias", MODEL),
        *("--ctx-size", str(context * slots)),
        *("--parallel", str(slots)),
        *("--threads", str(threads)),
        # A waiting request occupies a thread, too.
        *("--threads-http", str(slots + 16)),
        # By default, the server caches prompts in up to 8 GiB of memory that is not reserved.
        *("--cache-ram", "0"),
        # Other engines leave a model's reasoning in its answer.
        *("--reasoning-format", "none"),
        *("--log-verbosity", "1"),
        "--jinja",
    ]


def lease_threads() -> int:
    """Return the number of threads for this job, which the worker computed from its lease.

    If other tasks may use the same cores, one core is left to them. llama.cpp's threads wait for
    each other at every layer, so a thread without a core stops all threads. On two busy cores, two
    threads generated 2 to 3 tokens per second, and one thread 20 to 30. On the same cores without
    other load, two threads that wait passively were slower than one thread as well.
    """
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    threads = int(given) if given.isdigit() else os.cpu_count() or 1
    shared = os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE"
    return max(1, threads - 1 if shared else threads)


class LlamaServer:
    """A running server of llama.cpp with one model, at a Unix socket in a private directory."""

    def __init__(
        self,
        command: list[str],
        model: Converted,
        spec: InferenceSpec,
        directory: Path,
        check: Callable[[], None],
    ) -> None:
        self.samples: Samples = model.samples
        self.socket = directory / "llama.sock"
        arguments = server_arguments(model.file, str(self.socket), spec, lease_threads())
        # The package's server exits when its input is closed, as it is when the job is killed.
        self.process = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE)
        self.upstream = Upstream("llama.cpp", "http://llama", str(self.socket))
        try:
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=str(self.socket)),
                base_url="http://llama",
                timeout=30,
            ) as client:
                self._wait(client, check)
                compare(self.samples, client)
        except BaseException:
            self.process.kill()
            self.close()
            raise

    def failure(self) -> str | None:
        """Return why the server can no longer answer, or None while it can."""
        code = self.process.poll()
        if code is None:
            return None
        return f"llama.cpp ended with exit code {code}; the log has the cause."

    def close(self) -> None:
        """Stop the server; kill it if it takes more than ten seconds to exit."""
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait(self, client: httpx.Client, check: Callable[[], None]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            failure = self.failure()
            # The signal that requests a stop may stop the server, too, which is then no failure.
            check()
            if failure is not None:
                raise JobError(failure)
            try:
                if client.get("/health").is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise JobError(f"llama.cpp was not ready within {START_SECONDS:.0f} seconds.")


def compare(samples: Samples, client: httpx.Client) -> None:
    """Check that llama.cpp renders and encodes the samples as transformers does.

    Raises:
        JobError: llama.cpp's results differ, so that its answers would silently be worse.
    """
    for sample in samples.samples:
        if not samples.dated:
            rendered = client.post("/apply-template", json={"messages": sample.messages})
            if not rendered.is_success or rendered.json()["prompt"] != sample.prompt:
                raise JobError(_instead("llama.cpp reads the model's chat template differently"))
        body = {"content": sample.prompt, "add_special": False, "parse_special": True}
        encoded = client.post("/tokenize", json=body)
        if not encoded.is_success or encoded.json()["tokens"] != sample.tokens:
            raise JobError(_instead("llama.cpp divides texts into other tokens than the model"))


def _instead(reason: str) -> str:
    return f"The engine 'llama_cpp' can't serve this model: {reason}. Choose 'transformers'."


class LlamaEngine:
    """The servers of a model and, if it is tuned, of its base."""

    def __init__(
        self, job: Job, model: Path, base: Path | None, spec: InferenceSpec, stop: StopRequest
    ) -> None:
        command = find_program(job.llama_server)
        if command is None:
            raise JobError(
                f"This worker has no llama.cpp. Install AI Platform there with its extra 'llama', "
                f"or put a {PROGRAM} on its PATH, or choose the engine 'transformers'."
            )
        self.command = command
        self.spec = spec
        self.cache = Path(job.cache_dir or job.output_dir) / "gguf"
        self.tuned = base is not None and is_tuned(model)
        self._directories: list[tempfile.TemporaryDirectory[str]] = []
        self._base = base
        self._base_server: LlamaServer | None = None
        self._base_lock = threading.Lock()
        self._closing = False
        self.server = self._start(model, stop.raise_if_requested)

    def _start(self, model: Path, check: Callable[[], None]) -> LlamaServer:
        if (why := obstacle(model / WEIGHTS)) is not None:
            raise JobError(_instead(why))
        try:
            found = converted(model, NUMBER_FORMATS[self.spec.precision], self.cache, check)
        except NotConvertible as error:
            raise JobError(_instead(str(error))) from error
        except ConversionFailed as error:
            raise JobError(str(error)) from error
        directory = socket_directory()
        self._directories.append(directory)
        return LlamaServer(self.command, found, self.spec, Path(directory.name), check)

    def base_server(self) -> LlamaServer:
        """Return the server of the base; start it if it is not running.

        Raises:
            JobError: The server can't be started; the next request tries again.
        """
        with self._base_lock:
            self._check_open()
            if self._base_server is not None and self._base_server.failure() is not None:
                self._base_server = None
            if self._base_server is None:
                assert self._base is not None
                self._base_server = self._start(self._base, self._check_open)
            return self._base_server

    def failure(self) -> str | None:
        """Return why the engine can no longer answer, or None while it can."""
        return None if self._closing else self.server.failure()

    def close(self) -> None:
        """Stop the servers."""
        self._closing = True
        self.server.close()
        with self._base_lock:
            if self._base_server is not None:
                self._base_server.close()
        for directory in self._directories:
            directory.cleanup()

    def _check_open(self) -> None:
        if self._closing:
            raise JobError("The model server is stopping.")


def socket_directory() -> "tempfile.TemporaryDirectory[str]":
    """Return a new private directory whose path is short enough for a socket."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) + len("/llama-12345678/llama.sock") > MAX_SOCKET_PATH:
        parent = "/tmp"  # noqa: S108  (the directory below it is private)
    return tempfile.TemporaryDirectory(prefix="llama-", dir=parent, ignore_cleanup_errors=True)


class LlamaProxy(Relay):
    """A server that checks chat requests like the transformers engine, and forwards them."""

    def __init__(self, engine: LlamaEngine, token: str) -> None:
        super().__init__(token, [MODEL, BASE] if engine.tuned else [MODEL])
        self.llama = engine

    async def chat(self, request: Request) -> Response:
        """Answer a chat request, in one response or as server-sent events."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            wanted = await self._read_structured(request)
            server = await self._server(wanted.model)
            body = upstream_body(wanted, server.samples)
            return await self.forward(
                request, server.upstream, "/v1/chat/completions", json.dumps(body).encode()
            )
        except Refusal as refusal:
            return refusal.response()

    async def _read_structured(self, request: Request) -> StructuredChatRequest:
        if len(self.running) >= MAX_REQUESTS:
            raise Refusal(503, "Too many requests wait for answers.", code="overloaded")
        try:
            wanted = StructuredChatRequest.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors()[0]
            raise Refusal(400, error_text(first), param=place_of(first) or None) from error
        self.require_name(wanted.model)
        return wanted

    async def _server(self, name: str) -> LlamaServer:
        if name == MODEL or not self.llama.tuned:
            return self.llama.server
        try:
            return await asyncio.to_thread(self.llama.base_server)
        except JobError as error:
            raise Refusal(503, f"The base model can't be started: {error}") from error

    def refusal_of(self, status: int, body: bytes) -> Refusal | None:
        """Return an error of llama.cpp in the same form as the other engines' errors."""
        try:
            error = json.loads(body)["error"]
            message, kind = str(error["message"]), error.get("type")
        except (ValueError, KeyError, TypeError):
            return Refusal(502, "llama.cpp answered something that is no answer.")
        if kind == "exceed_context_size_error":
            return Refusal(
                400,
                f"The prompt has {error.get('n_prompt_tokens')} tokens; with an answer, "
                f"at most {error.get('n_ctx')} fit.",
                code="context_length_exceeded",
                param="messages",
            )
        if SCHEMA_ERROR in message:
            reason = message.partition(SCHEMA_ERROR)[2].strip()
            return Refusal(
                400,
                f"response_format: llama.cpp can't use this schema: {reason}",
                param="response_format",
            )
        return Refusal(status, message)


def upstream_body(wanted: StructuredChatRequest, samples: Samples) -> dict[str, Any]:
    """Return the body for llama.cpp, with OpenAI's defaults instead of llama.cpp's."""
    messages = [message.as_template_input() for message in wanted.messages]
    body: dict[str, Any] = {
        "model": MODEL,
        "messages": fold_system(messages) if samples.folds_system else messages,
        "temperature": 1.0 if wanted.temperature is None else wanted.temperature,
        "top_p": 1.0 if wanted.top_p is None else wanted.top_p,
        "top_k": 0,
        "min_p": 0.0,
        "stop": wanted.stops,
        "stream": bool(wanted.stream),
    }
    if wanted.limit is not None:
        body["max_tokens"] = wanted.limit
    if wanted.seed is not None:
        # With the largest 32-bit number, the server would choose the seed itself.
        body["seed"] = wanted.seed % 0xFFFFFFFF
    if wanted.stream_options is not None:
        body["stream_options"] = wanted.stream_options.model_dump()
    if wanted.logprobs:
        # Without alternatives, llama.cpp leaves out the probability of the chosen token as well.
        body |= {"logprobs": True, "top_logprobs": max(1, wanted.top_logprobs or 0)}
    if wanted.response_format is not None and wanted.response_format.type != "text":
        body["response_format"] = wanted.response_format.model_dump(by_alias=True)
    return body
