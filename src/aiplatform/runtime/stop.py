"""Stop requests: the reaction of a job to SIGTERM and SIGUSR1.

Most jobs end at once: the handler of SIGTERM raises :class:`JobStopped` in the main thread. A job
that must finish something before (a training its checkpoint, a server its running answers) delays
the exception with :meth:`StopRequest.delay`, and checks ``requested`` at a suitable time.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class JobStopped(BaseException):
    """An exception that ends the job after a stop request.

    A BaseException, so that no ``except Exception`` on the way catches it.
    """


class StopRequest:
    """The state of stop requests of this process; created once, in the main thread."""

    def __init__(self) -> None:
        self.requested = False
        self.draining = False
        """True if a model server gets no new requests and must end after its last answer."""
        self._delays = 0
        self._stopping = False

    def listen(self) -> None:
        """Install the handlers of SIGTERM and SIGUSR1."""
        signal.signal(signal.SIGTERM, lambda *_: self.request())
        signal.signal(signal.SIGUSR1, lambda *_: self.drain())

    def request(self) -> None:
        """Request a stop. In the main thread, raise :class:`JobStopped` unless it is delayed."""
        self.requested = True
        self.raise_if_requested()

    def drain(self) -> None:
        """Request that a model server ends after its running answers."""
        self.draining = True

    @contextmanager
    def delay(self) -> Iterator[None]:
        """Delay the exception of a stop request while the context is active.

        In other threads than the main thread, this does nothing.
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

        It is called at every message, too, because an exception of a signal handler is lost if the
        signal arrives in a destructor or in a callback of C code.

        Raises:
            JobStopped: If a stop was requested and is not delayed.
        """
        main = threading.current_thread() is threading.main_thread()
        if self.requested and not self._delays and main and not self._stopping:
            raise JobStopped

    def mark_stopping(self) -> None:
        """Record that the job is ending, so that :meth:`raise_if_requested` raises no more."""
        self._stopping = True
