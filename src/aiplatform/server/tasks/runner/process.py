"""The child of an attempt and the pipes between: messages, control, stdout and stderr."""

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import structlog
from pydantic import ValidationError

from aiplatform.protocol.enums import LogStream
from aiplatform.protocol.messages import (
    MAX_LINE_BYTES,
    ControlMessage,
    RuntimeMessage,
    encode,
    parse_runtime_message,
)
from aiplatform.server.tasks.service.attempts import Chunk

log = structlog.get_logger(__name__)
RUNTIME = [sys.executable, "-m", "aiplatform.runtime"]
QUEUE_ITEMS = 2000
"""How far the child may be ahead of the database; then its pipes fill and it waits."""

LOG_READ_BYTES = 64 * 1024

stopping = threading.Event()
"""Set when this worker shuts down: attempts checkpoint and go back to the queue."""


def stop_everything() -> None:
    """Ask all attempts of this process to checkpoint and give their tasks back."""
    stopping.set()


@dataclass(frozen=True, slots=True)
class Malformed:
    """The child wrote something to the messages pipe that is not of the protocol."""

    reason: str


Item = RuntimeMessage | Chunk | Malformed

PASSED_ON = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "NVIDIA_DRIVER_CAPABILITIES",
    "PATH",
    "PYTHONPATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TZ",
    "VIRTUAL_ENV",
)
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def child_environment(
    home: Path, gpu_indices: tuple[int, ...], extra: Mapping[str, str], *, network: bool
) -> dict[str, str]:
    """The scrubbed environment: no credentials, no home of a person, only the leased GPUs."""
    names = PASSED_ON + NETWORK if network else PASSED_ON
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {
        "CUDA_VISIBLE_DEVICES": ",".join(str(index) for index in gpu_indices),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(home),
        "TOKENIZERS_PARALLELISM": "true",
    }
    if not network:
        environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return environment | dict(extra)


class Child:
    """A running child. Its output arrives in :attr:`items`; ``exited`` is set after the last."""

    def __init__(self, job_file: Path, directory: Path, environment: Mapping[str, str]) -> None:
        self.items: queue.Queue[Item] = queue.Queue(QUEUE_ITEMS)
        messages_read, messages_write = os.pipe()
        control_read, self._control = os.pipe()
        os.set_blocking(self._control, False)
        self._control_lock = threading.Lock()
        try:
            self.process = subprocess.Popen(
                [
                    *RUNTIME,
                    "--job",
                    str(job_file),
                    "--messages-fd",
                    str(messages_write),
                    "--control-fd",
                    str(control_read),
                ],
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(messages_write, control_read),
                start_new_session=True,
            )
        except OSError:
            os.close(messages_read)
            os.close(self._control)
            raise
        finally:
            os.close(messages_write)
            os.close(control_read)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=target, args=args, daemon=True, name=f"child-{name}")
            for name, target, args in (
                ("messages", self._read_messages, (messages_read,)),
                ("stdout", self._read_log, (self.process.stdout, LogStream.STDOUT)),
                ("stderr", self._read_log, (self.process.stderr, LogStream.STDERR)),
            )
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The launcher's process id."""
        return self.process.pid

    def say(self, message: ControlMessage) -> None:
        """Send a control message; a child that is gone or never reads is left to its fate."""
        with self._control_lock:
            if self._control < 0:
                return
            try:
                os.write(self._control, encode(message))
            except (BrokenPipeError, BlockingIOError) as error:
                log.warning("child does not take control messages", error=str(error))

    def abandon(self) -> None:
        """Close the control pipe: the launcher kills the child's process group at once."""
        with self._control_lock:
            if self._control >= 0:
                os.close(self._control)
                self._control = -1

    @property
    def finished(self) -> bool:
        """Whether the child is gone and everything it wrote was taken."""
        return (
            self.process.poll() is not None
            and not any(reader.is_alive() for reader in self._readers)
            and self.items.empty()
        )

    def close(self) -> int:
        """End what is left and return the exit code (negative: the signal)."""
        self.abandon()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _read_messages(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=1 << 16) as pipe:
            while line := pipe.readline(MAX_LINE_BYTES):
                try:
                    self.items.put(parse_runtime_message(line))
                except ValidationError as error:
                    self.items.put(Malformed(f"{error.errors()[0]['msg']}: {line[:200]!r}"))
                    return

    def _read_log(self, pipe: IO[bytes], stream: LogStream) -> None:
        rest = b""
        while data := pipe.read1(LOG_READ_BYTES):  # type: ignore[attr-defined]
            data = rest + data
            # A chunk ends with a line; a line longer than a chunk is cut.
            end = data.rfind(b"\n") + 1 or (len(data) if len(data) >= LOG_READ_BYTES else 0)
            rest = data[end:]
            if end:
                self._put_log(data[:end], stream)
        if rest:
            self._put_log(rest + b"\n", stream)

    def _put_log(self, data: bytes, stream: LogStream) -> None:
        self.items.put(Chunk(stream, data.decode("utf-8", "replace"), time.time()))
