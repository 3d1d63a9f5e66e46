"""What several processes of a script print, passed on by whole lines that say whose they are."""

import os
import re
import sys
import threading

LINES = re.compile(rb"(?<=\n)|(?<=\r)(?!\n)")
"""Progress bars end theirs by a carriage return."""

MAX_LINE = 1 << 16
LEFT_SECONDS = 5.0
"""For what is still in a pipe, whose writers have ended."""


class Printed:
    """The outputs of this node's processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._given: list[int] = []

    def of(self, rank: str) -> tuple[int, int]:
        """Pass on what a process prints; lines of rank 0 stay as they are.

        Returns:
            The descriptors that become its stdout and stderr; :meth:`started` closes them here.
        """
        label = b"" if rank == "0" else f"[rank {rank}] ".encode()
        given = []
        for target in (sys.stdout, sys.stderr):
            source, end = os.pipe()
            given.append(end)
            arguments = (source, target.fileno(), label)
            self._threads.append(threading.Thread(target=self._run, args=arguments, daemon=True))
            self._threads[-1].start()
        self._given += given
        return given[0], given[1]

    def started(self) -> None:
        """Close the writing ends, which the processes have by now, or never will."""
        for end in self._given:
            os.close(end)
        self._given.clear()

    def finish(self) -> None:
        """Pass on the rest, once all have ended."""
        for thread in self._threads:
            thread.join(LEFT_SECONDS)

    def _run(self, source: int, target: int, label: bytes) -> None:
        rest = b""
        while data := os.read(source, 1 << 16):
            *lines, rest = LINES.split(rest + data)
            if len(rest) > MAX_LINE:
                lines.append(rest + b"\n")
                rest = b""
            self._write(target, b"".join(label + line for line in lines))
        os.close(source)
        if rest:
            self._write(target, label + rest + b"\n")

    def _write(self, target: int, text: bytes) -> None:
        with self._lock:
            while text:
                text = text[os.write(target, text) :]
