"""A request to stop: what SIGTERM means to a job.

Most jobs end where they stand: the handler raises :class:`JobStopped` in the main thread. A job
with something to put away first (a training its checkpoint, a server its running answers) holds the
exception back with :meth:`StopRequest.held` and looks at ``requested`` where it suits it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class JobStopped(BaseException):
    """The job was asked to stop and obeys. No Exception: nothing on the way up may swallow it."""


class StopRequest:
    """Whether a stop was asked for. One per process, made in its main thread."""

    def __init__(self) -> None:
        self.requested = False
        self.draining = False
        """Nobody sends a server new requests: it ends when its answers are complete."""
        self._holds = 0
        self._obeyed = False

    def listen(self) -> None:
        """Take SIGTERM and SIGUSR1 from now on."""
        signal.signal(signal.SIGTERM, lambda *_: self.request())
        signal.signal(signal.SIGUSR1, lambda *_: self.drain())

    def request(self) -> None:
        """Ask for a stop; in the main thread, obey at once unless it is held back."""
        self.requested = True
        self.obey()

    def drain(self) -> None:
        """Take note that a server is to end when its answers are complete."""
        self.draining = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within, a stop is noted but not obeyed. Counts in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def obey(self) -> None:
        """Raise if a stop is due.

        Called again at every message: an exception out of a signal handler is lost when it strikes
        inside a destructor or a callback of C code.

        Raises:
            JobStopped: when a stop was requested and nothing holds it back.
        """
        main = threading.current_thread() is threading.main_thread()
        if self.requested and not self._holds and main and not self._obeyed:
            raise JobStopped

    def obeyed(self) -> None:
        """The job is on its way out: raise no more."""
        self._obeyed = True
