"""Copying of a program's output to the log of its external run."""

import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from aiplatform.protocol.enums import LogStream

Write = Callable[[str, LogStream], None]


class Tee:
    """A stream that writes all text to the one it replaces, and whole lines to ``write``.

    If a line was overwritten by carriage returns, as progress bars do, only its last state is
    passed to ``write``.
    """

    def __init__(self, original: TextIO, stream: LogStream, write: Write) -> None:
        self.original = original
        self._stream = stream
        self._write = write
        self._rest = ""
        self._finished = False
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write the text to the original stream, and its whole lines to ``write``."""
        written = self.original.write(text)
        with self._lock:
            if self._finished:
                return written
            *lines, self._rest = (self._rest + text).split("\n")
            # Forget overwritten text: a progress bar that never ends its line would make it grow
            # without limit.
            ending = "\r" if self._rest.endswith("\r") else ""
            self._rest = _shown(self._rest) + ending
        if lines:
            self._write("\n".join(map(_shown, lines)), self._stream)
        return written

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        """Stop passing lines to ``write``, but keep writing to the original stream.

        Log handlers, for example, may still hold this stream.
        """
        with self._lock:
            self._finished = True
            rest, self._rest = self._rest, ""
        if rest:
            self._write(_shown(rest), self._stream)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the original stream."""
        return getattr(self.original, name)


def _shown(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


class Capture:
    """The capture of standard output and standard error, from its creation to :meth:`stop`."""

    def __init__(self, write: Write) -> None:
        self._out = Tee(sys.stdout, LogStream.STDOUT, write)
        self._err = Tee(sys.stderr, LogStream.STDERR, write)
        sys.stdout, sys.stderr = self._out, self._err

    def stop(self) -> None:
        """Restore the original streams, unless other code has replaced them since."""
        if sys.stdout is self._out:
            sys.stdout = self._out.original
        if sys.stderr is self._err:
            sys.stderr = self._err.original
        self._out.finish()
        self._err.finish()
