"""Limits on how many programs that parse uploads run at once, per machine and per project.

The API processes of a machine share a home directory, so a slot is a lock on a file there. The
kernel releases it when the process that holds it dies.
"""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID
from weakref import WeakKeyDictionary

from anyio import to_thread

from aiplatform.server.core.settings import get_settings

POLL_SECONDS = 0.05
"""Seconds between two attempts to get a slot that another process may have released."""

_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Semaphore]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def ingest_slot(project: UUID | None = None) -> AsyncIterator[None]:
    """Hold a slot on this machine and, if a project is named, first one of the project's slots.

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
