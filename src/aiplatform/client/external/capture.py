"""What a program prints, in its run's log besides where it went before."""

import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from aiplatform.protocol.enums import LogStream

Write = Callable[[str, LogStream], None]


class Tee:
    """A stream in place of another: all goes to that one, and whole lines to ``write`` as well.

    Of a line that was written over by carriage returns, as progress bars do, the last state counts.
    """

    def __init__(self, original: TextIO, stream: LogStream, write: Write) -> None:
        self.original = original
        self._stream = stream
        self._write = write
        self._rest = ""
        self._finished = False
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write to both."""
        written = self.original.write(text)
        with self._lock:
            if self._finished:
                return written
            *lines, self._rest = (self._rest + text).split("\n")
            # A bar that never ends its line is not remembered from its beginning.
            ending = "\r" if self._rest.endswith("\r") else ""
            self._rest = _shown(self._rest) + ending
        if lines:
            self._write("\n".join(map(_shown, lines)), self._stream)
        return written

    def writelines(self, lines: Any) -> None:
        """Write several."""
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        """The run hears no more; whoever has kept this stream, as log handlers do, writes on."""
        with self._lock:
            self._finished = True
            rest, self._rest = self._rest, ""
        if rest:
            self._write(_shown(rest), self._stream)

    def __getattr__(self, name: str) -> Any:
        """All else is the original's."""
        return getattr(self.original, name)


def _shown(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


class Capture:
    """Standard output and standard error of this program, from its making until :meth:`stop`."""

    def __init__(self, write: Write) -> None:
        self._out = Tee(sys.stdout, LogStream.STDOUT, write)
        self._err = Tee(sys.stderr, LogStream.STDERR, write)
        sys.stdout, sys.stderr = self._out, self._err

    def stop(self) -> None:
        """Give the streams back, unless somebody has put others in their place since."""
        if sys.stdout is self._out:
            sys.stdout = self._out.original
        if sys.stderr is self._err:
            sys.stderr = self._err.original
        self._out.finish()
        self._err.finish()
