"""Single-threaded waiting for stop signals and for child processes to exit."""

import contextlib
import select
import signal
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequestedError(Exception):
    """The supervisor was asked to stop: by Ctrl-C, by ``down`` or by the end of a login session."""


class Signals:
    """Signal handlers that count stop requests.

    A stop request wakes :meth:`wait`, and so does the exit of a child process.
    """

    def __init__(self) -> None:
        self.stop_requests = 0
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._before: dict[int, object] = {}
        self._wakeup_before = -1

    def __enter__(self) -> Self:
        self._wakeup_before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            # nohup makes a process ignore SIGHUP; don't change that.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._stop)
        self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._ignore)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        signal.set_wakeup_fd(self._wakeup_before)
        self._read.close()
        self._write.close()

    def wait(self, seconds: float) -> None:
        """Sleep until a signal arrives, for at most ``seconds``."""
        select.select([self._read], [], [], max(seconds, 0))
        for _ in self._drain():
            pass

    def _drain(self) -> Iterator[bytes]:
        with contextlib.suppress(BlockingIOError):
            while chunk := self._read.recv(4096):
                yield chunk

    def _stop(self, *_: object) -> None:
        self.stop_requests += 1

    def _ignore(self, *_: object) -> None:
        """Do nothing: Python writes to the wake-up descriptor only if a handler exists."""
