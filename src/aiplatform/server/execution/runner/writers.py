"""Writers for an attempt's transactions, files and log.

The log has a rate limit. Lines within the limit become database rows. Lines beyond it go into a
compressed file, a *segment*, which becomes a blob. A single row refers to this blob; downloads and
searches read its lines. A child that prints endlessly therefore adds only one row every few
seconds.
"""

import json
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, BinaryIO

import structlog
import zstandard
from sqlalchemy.exc import DBAPIError, OperationalError

from aiplatform.data.blobs import hash_file
from aiplatform.protocol.enums import LogStream
from aiplatform.server.core import storage
from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import Settings
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.rules import LOG_TAIL_CHARACTERS
from aiplatform.server.telemetry.rules import Level, Parser
from aiplatform.server.telemetry.service import prometheus

log = structlog.get_logger(__name__)
DATABASE_RETRY_SECONDS = 0.5


class AttemptWriter:
    """A callable object that runs an attempt's transactions and stores its files.

    ``lost`` is set when the attempt has lost its lease.
    """

    def __init__(self, lost: threading.Event) -> None:
        self.lost = lost

    def __call__(self, action: Any) -> Any:
        """Run ``action`` in a transaction. If the database is unreachable, wait and retry.

        Raises:
            LostLease: the attempt loses its lease in the meantime.
        """
        while True:
            try:
                with transaction() as session:
                    return action(session)
            except OperationalError as error:
                self._wait_for_database(error)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._wait_for_database(error)

    def _wait_for_database(self, error: DBAPIError) -> None:
        log.warning("database unavailable, trying again", error=str(error.orig).strip()[:200])
        if self.lost.wait(DATABASE_RETRY_SECONDS):
            raise LostLease from error

    def store_file(self, path: Path, *, move: bool) -> StoredFile:
        """Put one file into the blob store."""
        sha256, size = hash_file(path)
        self(lambda session: storage.store_file(session, path, sha256, size, move=move))
        return StoredFile(path.name, sha256, size)

    def store_tree(self, directory: Path, *, move: bool) -> list[StoredFile]:
        """Put all files below ``directory`` into the blob store, each in its own transaction."""
        files: list[StoredFile] = []
        for path in sorted(directory.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            stored = self.store_file(path, move=move)
            place = path.relative_to(directory).as_posix()
            files.append(StoredFile(place, stored.sha256, stored.size))
        return files


MERGED_CHARACTERS = 64_000
SEGMENT_BYTES = 64 << 20
"""Largest size of a segment's text, before compression."""

SHOWN_BYTES = 16_384
"""Bytes at a segment's end that become rows as well, because they may show why output stopped."""

CALM_SECONDS = 2.0
"""Seconds for which the output must stay within the rate limit before lines become rows again."""

TAIL_SECONDS = 5.0
"""Seconds between updates of the log tail in the task's row."""


def merge_chunks(chunks: list[Chunk]) -> list[Chunk]:
    """Join adjacent chunks of a stream, so that many small writes become a few rows."""
    merged: list[Chunk] = []
    for chunk in chunks:
        last = merged[-1] if merged else None
        if (
            last is not None
            and last.stream is chunk.stream
            and len(last.text) + len(chunk.text) <= MERGED_CHARACTERS
        ):
            last.text += chunk.text
        else:
            merged.append(chunk)
    return merged


class Segment:
    """A compressed file with output beyond the rate limit.

    Each chunk is stored as a JSON line (stream, time, bytes) followed by that many bytes of text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.lines = 0
        self._file: BinaryIO = path.open("wb")
        self._writer = zstandard.ZstdCompressor(level=1).stream_writer(self._file)

    def write(self, chunk: Chunk) -> None:
        data = chunk.text.encode("utf-8", "replace")
        head = {"stream": chunk.stream.value, "time": chunk.time, "bytes": len(data)}
        self._writer.write(json.dumps(head).encode() + b"\n" + data)
        self.bytes += len(data)
        self.lines += data.count(b"\n")

    def close(self) -> None:
        """Finish the compressed file."""
        self._writer.close()  # type: ignore[no-untyped-call]


class RateLimiter:
    """The rate limit of one attempt's log.

    ``rate`` is in bytes per second, ``burst`` and ``overflow`` are in bytes. ``overflow`` limits
    what the attempt may write to segments; output beyond that is dropped and counted.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rate: float,
        burst: float,
        overflow: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self.rate = rate
        self.burst = burst
        self.overflow = overflow
        self.clock = clock
        self.flooded = False
        """True if the output has ever exceeded the rate limit."""
        self._allowance = burst
        self._refilled_at = clock()
        self._parsers: dict[LogStream, Parser] = {}
        self._segment: Segment | None = None
        self._segments = 0
        self._stored = 0
        self._lost_bytes = 0
        self._lost_lines = 0
        # Separate for each stream, because the last lines of stderr are often older than those of
        # stdout.
        self._held: defaultdict[LogStream, deque[Chunk]] = defaultdict(deque)
        self._held_bytes: Counter[LogStream] = Counter()
        self._calm_since = 0.0
        self._arrived = 0.0

    def take(self, chunks: list[Chunk]) -> list[Chunk]:
        """Accept the child's output; return the chunks that become rows, in order."""
        now = self.clock()
        self._allowance = min(self.burst, self._allowance + self.rate * (now - self._refilled_at))
        self._refilled_at = now
        kept: list[Chunk] = []
        for chunk in merge_chunks(chunks):
            size = len(chunk.text)
            if self._segment is None and size > self._allowance:
                kept.append(self._begin(now))
            if self._segment is None:
                self._allowance -= size
                kept.append(self._parsed(chunk))
            else:
                self._hold(chunk, size)
                if self._segment.bytes >= SEGMENT_BYTES:
                    kept += self._end(again=True)
        if self._segment is not None and self._is_calm(now):
            kept += self._end()
        return kept

    def finish(self) -> list[Chunk]:
        """Close the open segment after the child has exited; return its row and the last chunks."""
        return self._end() if self._segment is not None else []

    def _parsed(self, chunk: Chunk) -> Chunk:
        parser = self._parsers.setdefault(chunk.stream, Parser())
        highest, chunk.levels = parser.runs(chunk.text)
        chunk.level = int(highest)
        return chunk

    def _begin(self, now: float) -> Chunk:
        self.flooded = True
        self._open()
        self._calm_since, self._arrived = now, 0.0
        rate = f"{self.rate / 1000:.0f} kB/s"
        return _notice(
            f"The task prints more than {rate}. The excess is not shown here; downloads and "
            "searches contain it.",
            Level.WARNING,
        )

    def _open(self) -> None:
        self._segments += 1
        self._segment = Segment(self.directory / f"log-{self._segments}.zst")

    def _hold(self, chunk: Chunk, size: int) -> None:
        self._arrived += size
        held = self._held[chunk.stream]
        held.append(chunk)
        self._held_bytes[chunk.stream] += size
        while self._held_bytes[chunk.stream] - len(held[0].text) >= SHOWN_BYTES:
            oldest = held.popleft()
            self._held_bytes[chunk.stream] -= len(oldest.text)
            self._keep(oldest)

    def _keep(self, chunk: Chunk) -> None:
        assert self._segment is not None
        if self._stored < self.overflow:
            before = self._segment.bytes
            self._segment.write(chunk)
            self._stored += self._segment.bytes - before
        else:
            self._lost_bytes += len(chunk.text.encode("utf-8", "replace"))
            self._lost_lines += chunk.text.count("\n")

    def _is_calm(self, now: float) -> bool:
        """Return True if the output has stayed within the rate limit for ``CALM_SECONDS``."""
        if now - self._calm_since < CALM_SECONDS:
            return False
        calm = self._arrived <= self.rate * (now - self._calm_since)
        self._calm_since, self._arrived = now, 0.0
        return calm

    def _end(self, *, again: bool = False) -> list[Chunk]:
        """Close the segment; return the row that takes its place, followed by the last lines.

        With ``again``, open another segment afterwards.
        """
        assert self._segment is not None
        segment, self._segment = self._segment, None
        segment.close()
        ended: list[Chunk] = []
        if segment.bytes or self._lost_bytes:
            text = f"{segment.bytes:,} bytes in {segment.lines:,} lines are not shown here; "
            text += "downloads and searches contain them."
            if self._lost_bytes:
                text += (
                    f" {self._lost_bytes:,} bytes in {self._lost_lines:,} lines were dropped: the "
                    f"attempt has printed more than {self.overflow / 1e6:,.0f} MB."
                )
            chunk = _notice(text, Level.WARNING if self._lost_bytes else Level.INFO)
            chunk.segment = {
                "bytes": segment.bytes,
                "lines": segment.lines,
                "lost_bytes": self._lost_bytes,
                "lost_lines": self._lost_lines,
            }
            chunk.segment_file = segment.path if segment.bytes else None
            ended.append(chunk)
        self._lost_bytes = self._lost_lines = 0
        held = sorted(chain.from_iterable(self._held.values()), key=attrgetter("time"))
        ended += map(self._parsed, merge_chunks(held))
        self._held.clear()
        self._held_bytes.clear()
        self._allowance = 0.0
        if again:
            self._open()
        return ended


def _notice(text: str, level: Level) -> Chunk:
    chunk = Chunk(LogStream.SYSTEM, text + "\n", time.time())
    chunk.level, chunk.levels = int(level), [[0, int(level)]]
    return chunk


class LogWriter:
    """The log of one attempt. ``seq`` is the number of the last chunk written."""

    def __init__(self, directory: Path, settings: Settings, writer: AttemptWriter) -> None:
        self.seq = 0
        self.tail = ""
        self.last_stderr: deque[str] = deque(maxlen=20)
        self._tail_written = 0.0
        self._writer = writer
        self._limiter = RateLimiter(
            directory,
            rate=settings.log_bytes_per_second,
            burst=settings.log_burst_bytes,
            overflow=settings.log_overflow_bytes,
        )

    def take(
        self, chunks: list[Chunk], events: list[tuple[str, dict[str, Any]]], *, final: bool
    ) -> list[Chunk]:
        """Accept the child's output; return the chunks that become rows.

        Segments are put into the blob store first. The first time the output exceeds the rate
        limit, an event is added to ``events``. ``final`` is true if the child has exited.
        """
        for chunk in chunks:
            if chunk.stream is LogStream.STDERR:
                self.last_stderr.extend(chunk.text[-4000:].splitlines())
        prometheus.LOG_BYTES.inc(sum(len(chunk.text) for chunk in chunks))
        flooded = self._limiter.flooded
        kept = self._limiter.take(chunks)
        if final:
            kept += self._limiter.finish()
        if self._limiter.flooded and not flooded:
            events.append(("log_flooded", {"bytes_per_second": self._limiter.rate}))
        for chunk in kept:
            self._store_segment(chunk)
            self.tail = (self.tail + chunk.text)[-LOG_TAIL_CHARACTERS:]
        return kept

    def due_tail(self, kept: list[Chunk], *, final: bool) -> str | None:
        """Return the end of the log if it is time to write it to the task's row, otherwise None."""
        old = time.monotonic() - self._tail_written >= TAIL_SECONDS
        return self.tail if final or (kept and old) else None

    def written(self, kept: list[Chunk], tail: str | None) -> None:
        """Record that the chunks, and the log's end if given, are now in the database."""
        self.seq += len(kept)
        if tail is not None:
            self._tail_written = time.monotonic()

    def _store_segment(self, chunk: Chunk) -> None:
        """Put a chunk's segment into the blob store before the chunk's row is written."""
        if chunk.segment is None:
            return
        if chunk.segment_file is None:
            chunk.segment["sha256"] = None
            return
        path, chunk.segment_file = chunk.segment_file, None
        chunk.segment["sha256"] = self._writer.store_file(path, move=True).sha256
