"""The child process of an attempt: its environment, its pipes and its exit.

The child has pipes for messages, control, stdout and stderr.
"""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import structlog
from pydantic import ValidationError

from aiplatform.protocol.enums import LogStream
from aiplatform.protocol.messages import (
    MAX_LINE_BYTES,
    SCRIPT_USER_FILE,
    Begin,
    ControlMessage,
    Hello,
    RuntimeMessage,
    Warm,
    encode,
    parse_runtime_message,
)
from aiplatform.protocol.validation_errors import message_of
from aiplatform.server.core.settings import Settings
from aiplatform.server.execution.service.attempts import Chunk

log = structlog.get_logger(__name__)
RUNTIME = [sys.executable, "-m", "aiplatform.runtime"]
QUEUE_ITEMS = 2000
"""Largest number of messages that may wait to be stored; beyond that, the child is blocked."""

LOG_READ_BYTES = 64 * 1024
SILENCE_SECONDS = 10.0
"""Seconds without output after which the pipes of an exited child are no longer read.

Another process may keep the pipes open.
"""

KILL_SECONDS = 5.0
"""Seconds for which :func:`kill_leftovers` keeps trying before it gives up."""

SPARE = "spare-"
"""Prefix for the home directories of spares."""


stopping = threading.Event()
"""Event set when this worker shuts down; attempts then save checkpoints and requeue their tasks."""


def stop_everything() -> None:
    """Ask all attempts of this process to write a checkpoint and requeue their tasks."""
    stopping.set()


@dataclass(frozen=True, slots=True)
class Malformed:
    """An invalid message from the child; ``reason`` says what is wrong."""

    reason: str


Item = RuntimeMessage | Chunk | Malformed

INHERITED = (
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
TRANSPORTS = ("GLOO_", "NCCL_")
"""Prefixes of the variables that tell training nodes how to reach each other."""

NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def import_environment(settings: Settings) -> dict[str, str]:
    """Return the settings that a child needs to download something, as environment variables."""
    told = {
        "AIPLATFORM_HUB": settings.hub,
        "AIPLATFORM_MAX_UPLOAD_BYTES": str(settings.max_upload_bytes),
        "AIPLATFORM_OUTGOING_NETWORKS": ",".join(map(str, settings.outgoing_networks)),
        "AIPLATFORM_QUARANTINE_MAX_SHARE": str(settings.quarantine_max_share),
        "AIPLATFORM_INGEST_MEMORY_MB": str(settings.ingest_memory_mb),
        "AIPLATFORM_INGEST_CPU_SECONDS": str(settings.ingest_cpu_seconds),
        "AIPLATFORM_INGEST_RATIO": str(settings.ingest_ratio or ""),
        "AIPLATFORM_INGEST_MAX_UNPACKED_BYTES": str(settings.ingest_max_unpacked_bytes),
    }
    if settings.hub_endpoint is not None:
        told["HF_ENDPOINT"] = settings.hub_endpoint
    return told


def child_environment(
    home: Path, devices: tuple[str, ...], extra: Mapping[str, str], *, network: bool
) -> dict[str, str]:
    """Return a clean environment: no credentials, a separate home, and only the leased GPUs."""
    names = INHERITED + NETWORK if network else INHERITED
    environment = {name: os.environ[name] for name in names if name in os.environ}
    environment |= {name: os.environ[name] for name in os.environ if name.startswith(TRANSPORTS)}
    environment |= {
        "CUDA_VISIBLE_DEVICES": ",".join(devices),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(home),
        "TOKENIZERS_PARALLELISM": "true",
    }
    if not network:
        environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return environment | dict(extra)


def count_whole_characters(data: bytes) -> int:
    """Return the length of ``data`` in bytes, excluding an incomplete UTF-8 character at its end.

    If the data is not UTF-8, this is the full length.
    """
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            return len(data)
        if byte >= 0xC0:  # first byte of a character of 2, 3 or 4 bytes
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if back >= length else len(data) - back
    return len(data)


def fits_pipe(message: ControlMessage) -> bool:
    """Return True if the message fits into any system's pipe buffer, so writing never blocks."""
    return len(encode(message)) <= 16 * 1024


def record(directory: Path, child: "Child") -> None:
    """Write the process ids of child and worker to a file for :func:`jobs.end_leftovers`."""
    (directory / "launcher.pid").write_text(f"{child.pid} {os.getpid()}")


class Child:
    """A running child process. Its output arrives in :attr:`items`.

    A child that was started without a job is a spare. Its ``warm`` event is set when its imports
    are done, and :meth:`begin` gives it a job.
    """

    def __init__(
        self, job_file: Path | None, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.items: queue.Queue[Item] = queue.Queue(QUEUE_ITEMS)
        self.warm = threading.Event()
        self.is_spare = job_file is None
        self.scratch: Path | None = None
        """Directory that is deleted when the child is closed."""
        self._begun = threading.Event()
        self._silent_since = float("inf")
        messages_read, messages_write = os.pipe()
        control_read, self._control = os.pipe()
        os.set_blocking(self._control, False)
        self._control_lock = threading.Lock()
        try:
            self.process = subprocess.Popen(
                [
                    *RUNTIME,
                    *(["--spare"] if job_file is None else ["--job", str(job_file)]),
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

    def send(self, message: ControlMessage) -> None:
        """Send a control message; drop it if the child has exited or isn't reading."""
        with self._control_lock:
            if self._control < 0:
                return
            try:
                os.write(self._control, encode(message))
            except (BrokenPipeError, BlockingIOError) as error:
                log.warning("child does not read control messages", error=str(error))

    def begin(self, begin: Begin, within: float) -> bool:
        """Give a spare its job. Return False if it does not confirm within ``within`` seconds.

        In that case the spare may still start the job later, so close it before giving the job to
        another child.
        """
        # Output of the spare's imports is not part of the task's log.
        with contextlib.suppress(queue.Empty):
            while True:
                self.items.get_nowait()
        self.send(begin)
        deadline = time.monotonic() + within
        while not self._begun.wait(0.05):
            if self.gone or time.monotonic() > deadline:
                return False
        return True

    @property
    def gone(self) -> bool:
        """True if the child has exited and its pipes have been read to the end.

        A process that can't be killed may keep the pipes open. They then count as read after
        ``SILENCE_SECONDS`` without output.
        """
        if self.process.poll() is None:
            return False
        if not any(reader.is_alive() for reader in self._readers):
            return True
        now = time.monotonic()
        self._silent_since = min(self._silent_since, now)
        if not self.items.empty():
            self._silent_since = now
        return now - self._silent_since > SILENCE_SECONDS

    def abandon(self) -> None:
        """Close the control pipe. The launcher then kills the child's process group immediately."""
        with self._control_lock:
            if self._control >= 0:
                os.close(self._control)
                self._control = -1

    @property
    def finished(self) -> bool:
        """True if the child is gone and all its output has been taken."""
        return self.gone and self.items.empty()

    def close(self) -> int:
        """Stop the child if it is still running; return its exit code (negative for a signal)."""
        self.abandon()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            if self.scratch is not None:
                shutil.rmtree(self.scratch, ignore_errors=True)

    def _read_messages(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=1 << 16) as pipe:
            while line := pipe.readline(MAX_LINE_BYTES):
                try:
                    message = parse_runtime_message(line)
                except ValidationError as error:
                    self.items.put(Malformed(f"{message_of(error.errors()[0])}: {line[:200]!r}"))
                    return
                if isinstance(message, Warm):
                    self.warm.set()
                    continue
                if isinstance(message, Hello):
                    self._begun.set()
                self.items.put(message)

    def _read_log(self, pipe: IO[bytes], stream: LogStream) -> None:
        rest = b""
        while data := pipe.read1(LOG_READ_BYTES):  # type: ignore[attr-defined]
            data = rest + data
            # A chunk ends at the end of a line. A line that is longer than a chunk is cut between
            # two characters.
            end = data.rfind(b"\n") + 1
            if not end and len(data) >= LOG_READ_BYTES:
                end = count_whole_characters(data)
            rest = data[end:]
            if end:
                self._put_log(data[:end], stream)
        if rest:
            self._put_log(rest + b"\n", stream)

    def _put_log(self, data: bytes, stream: LogStream) -> None:
        self.items.put(Chunk(stream, data.decode("utf-8", "replace"), time.time()))


def explain_exit(code: int, last_lines: Iterable[str]) -> str:
    """Return a text for the task's author: how the child exited and what it printed last."""
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number:
        try:
            how = f"was killed by {signal.Signals(number).name}"
        except ValueError:
            how = f"ended with exit code {code}"
        if number == signal.SIGKILL:
            how += " (perhaps the machine ran out of memory)"
    else:
        how = f"ended with exit code {code} and without a result"
    printed = "\n".join(line for line in last_lines if line.strip())[-2000:]
    return f"The runtime {how}." + (f" Its last lines were:\n{printed}" if printed else "")


def kill_leftovers(directory: Path) -> list[int]:
    """Kill the processes that an attempt's script left behind; return the process ids that remain.

    The processes are found by their user, so this works only if the script ran as a separate user;
    a file in the attempt's directory then names that user. Usually the runtime has already killed
    the processes.
    """
    try:
        uid = int((directory / SCRIPT_USER_FILE).read_text())
    except (OSError, ValueError):
        return []
    deadline = time.monotonic() + KILL_SECONDS
    while left := processes_of(uid):
        if time.monotonic() > deadline:
            return sorted(process.pid for process in left)
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.02)
    return []


def processes_of(uid: int) -> list[psutil.Process]:
    """Return a user's processes, excluding zombies."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == uid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
