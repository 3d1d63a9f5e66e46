"""Running the program that parses uploads, as an isolated child process without credentials."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import structlog
from anyio import sleep_forever, to_thread

from aiplatform.data.errors import MalformedData
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import DataFormat, DataShape
from aiplatform.protocol.reading_options import PreviousColumnTypes, Reading
from aiplatform.server.core.errors import InsufficientStorage
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import UploadAborted
from aiplatform.server.datasets.errors import IngestFailed, MalformedFile

POLL_SECONDS = 0.05
"""Seconds between two attempts to get a slot that another process may have released."""

_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def ingest_slot(project: UUID | None = None) -> AsyncIterator[None]:
    """Hold one of the slots that limit the number of child processes on this machine.

    If a project is named, first get one of the slots that limit the project's own processes.
    Within a process, requests are served in order of arrival. A project that waits for its own
    slots delays no other project.
    """
    settings = get_settings()
    machine = settings.ingest_at_once or max(1, (os.cpu_count() or 1) // 2)
    if project is None:
        async with _slot(settings.ingest_locks_dir, "machine", machine):
            yield
        return
    own = min(machine, settings.ingest_at_once_per_project or max(1, machine // 2))
    name = hashlib.sha256(project.bytes).hexdigest()[:16]
    async with (
        _slot(settings.ingest_locks_dir, name, own),
        _slot(settings.ingest_locks_dir, "machine", machine),
    ):
        yield


@asynccontextmanager
async def _slot(directory: Path, name: str, count: int) -> AsyncIterator[None]:
    """Hold one of the ``count`` lock files ``NAME.0``, ``NAME.1`` … in a directory."""
    await to_thread.run_sync(lambda: directory.mkdir(parents=True, exist_ok=True, mode=0o700))
    queues = _queues.setdefault(asyncio.get_running_loop(), {})
    async with queues.setdefault(f"{directory}/{name}/{count}", asyncio.Semaphore(count)):
        while (lock := _try_lock(directory, name, count)) is None:  # noqa: ASYNC110  (other processes)
            await asyncio.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            os.close(lock)


def _try_lock(directory: Path, name: str, count: int) -> int | None:
    """Lock a free slot and return its file descriptor; None if all slots are taken."""
    for number in range(count):
        file = os.open(directory / f"{name}.{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
        else:
            return file
    return None


log = structlog.get_logger(__name__)

INHERITED_VARIABLES = ("PATH", "PYTHONPATH", "SYSTEMROOT", "TZ")
"""Environment variables that the child process inherits.

They include no settings, and so no credentials for the database, broker or store.
"""

NO_SPACE = b"[Errno 28]"

WaitForDisconnect = Callable[[], Awaitable[None]]
"""Async function that returns when the client has stopped waiting for the response."""


async def never_disconnected() -> None:
    """Never return; for work that must continue even if the client disconnects."""
    await sleep_forever()


@dataclass(frozen=True, slots=True)
class Ingested:
    """A canonical Parquet file, with details found in its source file."""

    path: Path
    sha256: str
    size: int
    rows: int
    format: DataFormat
    shape: DataShape
    columns: list[Any]
    found: dict[str, Any]

    @property
    def quarantine(self) -> Path | None:
        """The file with the rows that were set aside as unreadable; None if there are none."""
        aside = self.path.with_name(f"{self.path.name}.quarantine")
        return aside if self.found.get("quarantined") and aside.exists() else None


async def ingest(
    source: Path,
    output: Path,
    *,
    filename: str,
    format: DataFormat | None,  # noqa: A002  (the name in the API)
    disconnected: WaitForDisconnect,
    reading: Reading | None = None,
    previous_types: PreviousColumnTypes | None = None,
    project: UUID | None = None,
) -> Ingested:
    """Make the canonical Parquet file ``output`` from an uploaded file.

    The child process is killed when this coroutine is cancelled or ``disconnected`` returns.
    ``previous_types`` are the column types of the previous version.

    Raises:
        MalformedFile: the content does not match the format; the messages say where.
        UploadAborted: the client has disconnected.
        InsufficientStorage: the disk is full.
        IngestFailed: the child process failed for a reason other than the file.
    """
    command = [
        *(sys.executable, "-P", "-m", "aiplatform.data.ingest"),
        *("--input", str(source), "--output", str(output), f"--filename={filename}"),
        *(() if format is None else ("--format", format.value)),
        *reading_arguments(reading or Reading()),
        *([] if previous_types is None else previous_types.arguments()),
        *limit_arguments(),
    ]
    answer = await run_row_program(command, output.parent, disconnected, project)
    return ingested_of(answer, output)


def reading_arguments(reading: Reading) -> list[str]:
    """Return the command-line arguments for the reading options and the limit for bad rows.

    For default options, the list is empty, so that the program need not load code for them.
    """
    if reading == Reading():
        return []
    share = get_settings().quarantine_max_share
    return [f"--reading={dumps(reading)}", f"--max-bad-share={share}"]


def limit_arguments() -> list[str]:
    """Return the command-line arguments that limit memory, CPU time and unpacked size."""
    settings = get_settings()
    ratio = settings.ingest_ratio
    return [
        f"--memory-mb={settings.ingest_memory_mb}",
        f"--cpu-seconds={settings.ingest_cpu_seconds}",
        f"--max-unpacked-bytes={settings.ingest_max_unpacked_bytes}",
        *([] if ratio is None else [f"--max-ratio={ratio}"]),
    ]


async def run_row_program(
    command: list[str], scratch: Path, disconnected: WaitForDisconnect, project: UUID | None = None
) -> dict[str, Any]:
    """Run a row program from :mod:`aiplatform.data` and return the JSON object that it prints.

    The child process is killed when this coroutine is cancelled or ``disconnected`` returns.

    Raises:
        MalformedFile, UploadAborted, InsufficientStorage, IngestFailed: see :func:`ingest`.
    """
    working = asyncio.ensure_future(_run_in_slot(command, scratch, project))
    watching = asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise UploadAborted
        answer = working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
    if not answer.pop("ok"):
        raise MalformedFile(**answer)
    return answer


def ingested_of(answer: dict[str, Any], output: Path) -> Ingested:
    """Return the Parquet file that a program's output describes; other details go to ``found``."""
    return Ingested(
        path=output,
        sha256=answer.pop("sha256"),
        size=answer.pop("size"),
        rows=answer.pop("rows"),
        format=DataFormat(answer.pop("format")),
        shape=DataShape(answer.pop("shape")),
        columns=answer.pop("columns"),
        found=answer,
    )


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment variables of the child process."""
    kept = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TMPDIR": str(scratch)}


async def _run_in_slot(command: list[str], scratch: Path, project: UUID | None) -> dict[str, Any]:
    async with ingest_slot(project):
        return await _run(command, scratch)


async def _run(command: list[str], scratch: Path) -> dict[str, Any]:
    """Run a child process and return the JSON object that it prints."""
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        cwd=scratch,
        env=environment(scratch),
        start_new_session=True,
    )
    try:
        stdout, stderr = await child.communicate()
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await asyncio.shield(child.wait())
    if child.returncode == 0:
        try:
            answer = json.loads(stdout)
            if isinstance(answer, dict) and isinstance(answer.get("ok"), bool):
                return answer
        except ValueError:
            pass
    if NO_SPACE in stderr:
        raise InsufficientStorage
    if child.returncode == -signal.SIGXCPU:
        # The kernel killed the child process, which therefore could not report the cause.
        limit = get_settings().ingest_cpu_seconds
        return {"ok": False, **MalformedData("cpu_time", limit=limit).as_dict()}
    log.error(
        "ingest failed",
        code=child.returncode,
        stdout=stdout[-500:].decode(errors="replace"),
        stderr=stderr[-4000:].decode(errors="replace"),
    )
    raise IngestFailed(ending=describe_exit(child.returncode))


def describe_exit(code: int | None) -> str:
    """Describe the exit code of a child process in words."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit status {code}"
