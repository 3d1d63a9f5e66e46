"""Stop requests, which a job receives as the signals SIGTERM and SIGUSR1.

Most jobs stop immediately, because the handler of SIGTERM raises :class:`JobStopped` in the main
thread. A job that must first finish something (such as a training checkpoint or a server's answers
in progress) delays the exception with :meth:`StopRequest.delay`, and checks ``requested`` at
suitable times.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class JobStopped(BaseException):
    """An exception that stops the job after a stop request.

    It is a BaseException, so that no ``except Exception`` in the job's code catches it.
    """


class StopRequest:
    """The state of this process's stop requests. Create one object, in the main thread."""

    def __init__(self) -> None:
        self.requested = False
        self.draining = False
        """True if a model server gets no new requests and must exit after its last answer."""
        self._delays = 0
        self._stopping = False

    def listen(self) -> None:
        """Install the handlers for SIGTERM and SIGUSR1."""
        signal.signal(signal.SIGTERM, lambda *_: self.request())
        signal.signal(signal.SIGUSR1, lambda *_: self.drain())

    def request(self) -> None:
        """Request a stop. In the main thread, raise :class:`JobStopped` unless it is delayed."""
        self.requested = True
        self.raise_if_requested()

    def drain(self) -> None:
        """Request that a model server exit after finishing the responses in progress."""
        self.draining = True

    @contextmanager
    def delay(self) -> Iterator[None]:
        """Delay the exception of a stop request while the context is active.

        Outside the main thread, this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._delays += 1
        try:
            yield
        finally:
            self._delays -= 1

    def raise_if_requested(self) -> None:
        """Raise :class:`JobStopped` if a stop was requested.

        The reporter calls this for every message, because an exception raised by a signal handler
        is lost if the signal arrives during a destructor or a callback from C code.

        Raises:
            JobStopped: A stop was requested and is not delayed.
        """
        main = threading.current_thread() is threading.main_thread()
        if self.requested and not self._delays and main and not self._stopping:
            raise JobStopped

    def mark_stopping(self) -> None:
        """Record that the job is stopping, so that :meth:`raise_if_requested` no longer raises."""
        self._stopping = True
