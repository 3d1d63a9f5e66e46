"""The log of an attempt: limits its rate, stores segments, and keeps the end of the log."""

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
"""Largest age in seconds of the end of the log in the task's row."""


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
        """Return the chunks that become rows. Segments are put into the blob store before."""
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
        """Return the end of the log if it is time to write it to the task's row, else None."""
        old = time.monotonic() - self._tail_written >= TAIL_SECONDS
        return self.tail if final or (kept and old) else None

    def written(self, kept: list[Chunk], tail: str | None) -> None:
        """Record that the chunks, and the end of the log if given, are in the database."""
        self.seq += len(kept)
        if tail is not None:
            self._tail_written = time.monotonic()

    def _store_segment(self, chunk: Chunk) -> None:
        """Put the segment of a chunk into the blob store, before the chunk's row is written."""
        if chunk.segment is None:
            return
        if chunk.segment_file is None:
            chunk.segment["sha256"] = None
            return
        path, chunk.segment_file = chunk.segment_file, None
        chunk.segment["sha256"] = self._write.keep(path, move=True).sha256
