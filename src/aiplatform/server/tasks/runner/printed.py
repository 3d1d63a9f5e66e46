"""What a child prints, on its way to the log: kept within its rate, stored, its tail remembered."""

import time
from collections import deque
from pathlib import Path
from typing import Any

from aiplatform.protocol.enums import LogStream
from aiplatform.server.core.settings import Settings
from aiplatform.server.tasks.rules import LOG_TAIL_CHARACTERS
from aiplatform.server.tasks.runner.output import Output
from aiplatform.server.tasks.runner.writes import Writes
from aiplatform.server.tasks.service import figures
from aiplatform.server.tasks.service.attempts import Chunk

TAIL_SECONDS = 5.0
"""How old the tail in the task's row may be."""


class Printed:
    """The log of one attempt. ``seq`` is the number of the last chunk that was written."""

    def __init__(self, directory: Path, settings: Settings, write: Writes) -> None:
        self.seq = 0
        self.tail = ""
        self.last_stderr: deque[str] = deque(maxlen=20)
        self._tail_written = 0.0
        self._write = write
        self._output = Output(
            directory,
            rate=settings.log_bytes_per_second,
            burst=settings.log_burst_bytes,
            most=settings.log_overflow_bytes,
        )

    def take(
        self, chunks: list[Chunk], events: list[tuple[str, dict[str, Any]]], *, final: bool
    ) -> list[Chunk]:
        """What of the output becomes rows; what they stand for is stored before."""
        for chunk in chunks:
            if chunk.stream is LogStream.STDERR:
                self.last_stderr.extend(chunk.text[-4000:].splitlines())
        figures.LOG_BYTES.inc(sum(len(chunk.text) for chunk in chunks))
        flooded = self._output.flooded
        kept = self._output.take(chunks)
        if final:
            kept += self._output.finish()
        if self._output.flooded and not flooded:
            events.append(("log_flooded", {"bytes_per_second": self._output.rate}))
        for chunk in kept:
            self._store_segment(chunk)
            self.tail = (self.tail + chunk.text)[-LOG_TAIL_CHARACTERS:]
        return kept

    def due_tail(self, kept: list[Chunk], *, final: bool) -> str | None:
        """The tail for the task's row, when it is time to write it."""
        old = time.monotonic() - self._tail_written >= TAIL_SECONDS
        return self.tail if final or (kept and old) else None

    def written(self, kept: list[Chunk], tail: str | None) -> None:
        """They are rows now."""
        self.seq += len(kept)
        if tail is not None:
            self._tail_written = time.monotonic()

    def _store_segment(self, chunk: Chunk) -> None:
        """Put what a chunk stands for into the blob store, before its row is written."""
        if chunk.segment is None:
            return
        if chunk.segment_file is None:
            chunk.segment["sha256"] = None
            return
        path, chunk.segment_file = chunk.segment_file, None
        chunk.segment["sha256"] = self._write.keep(path, move=True).sha256
