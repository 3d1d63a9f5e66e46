"""Locks between processes on one machine: files that the operating system locks."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from aiplatform.client.errors import ClientError
from aiplatform.language import tr


@contextlib.contextmanager
def file_lock(path: Path, *, seconds: float | None = None) -> Iterator[None]:
    """Hold an exclusive lock on the file ``path``, which is created if it is missing.

    The operating system releases the lock if the process dies.

    Args:
        path: the lock file; its directory must exist.
        seconds: how long to wait for the lock; None waits without limit.

    Raises:
        ClientError: if another thread or process holds the lock for that long.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        began = time.monotonic()
        while not _try_lock(descriptor):
            if seconds is not None and time.monotonic() > began + seconds:
                raise ClientError(
                    tr(
                        "another process has locked {path} for {seconds:.0f} s",
                        path=path,
                        seconds=seconds,
                    )
                )
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)  # closing releases the lock


if os.name == "nt":  # pragma: no cover

    def _try_lock(descriptor: int) -> bool:
        import msvcrt  # noqa: PLC0415

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
