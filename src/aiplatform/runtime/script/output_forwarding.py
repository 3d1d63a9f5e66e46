"""Forwarding of the output of a script's processes, line by line and with the rank as prefix."""

import os
import re
import sys
import threading

LINES = re.compile(rb"(?<=\n)|(?<=\r)(?!\n)")
"""Pattern for the ends of lines; progress bars end their lines with a carriage return."""

MAX_LINE = 1 << 16
DRAIN_SECONDS = 5.0
"""Seconds to wait for the rest of the output in a pipe after its writers have exited."""


class OutputForwarder:
    """Threads that forward the output of the processes on this node."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._write_ends: list[int] = []

    def forward(self, rank: str) -> tuple[int, int]:
        """Start forwarding a process's output; lines of rank 0 get no prefix.

        Returns:
            Descriptors for the stdout and stderr of the new process. Call
            :meth:`close_write_ends` after starting it.
        """
        label = b"" if rank == "0" else f"[rank {rank}] ".encode()
        write_ends = []
        for target in (sys.stdout, sys.stderr):
            source, write_end = os.pipe()
            write_ends.append(write_end)
            arguments = (source, target.fileno(), label)
            self._threads.append(threading.Thread(target=self._run, args=arguments, daemon=True))
            self._threads[-1].start()
        self._write_ends += write_ends
        return write_ends[0], write_ends[1]

    def close_write_ends(self) -> None:
        """Close this process's copies of the descriptors.

        Call it after the processes have started or failed to start.
        """
        for write_end in self._write_ends:
            os.close(write_end)
        self._write_ends.clear()

    def finish(self) -> None:
        """Forward the remaining output after all processes have exited."""
        for thread in self._threads:
            thread.join(DRAIN_SECONDS)

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
