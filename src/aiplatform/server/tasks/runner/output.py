"""What a child prints, on its way to the database: levels read, rate bounded, nothing lost.

Up to a rate, lines become rows. What exceeds it goes to a compressed file, a *segment*, which
becomes a blob; a row in its place says so, and downloads and searches read it there. So a child
that prints without end costs the database a row every few seconds.
"""

import json
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

import zstandard

from aiplatform.protocol.enums import LogStream
from aiplatform.server.tasks.rules.levels import Level, Parser
from aiplatform.server.tasks.service.attempts import Chunk

MERGED_CHARACTERS = 64_000
SEGMENT_BYTES = 64 << 20
"""Text of one segment, uncompressed."""

SHOWN_BYTES = 16_384
"""What comes last of a flood is shown all the same: it may be the reason why it ended."""

CALM_SECONDS = 2.0
"""The rate must have been kept this long before a flood counts as over."""


def merge_chunks(chunks: list[Chunk]) -> list[Chunk]:
    """Join neighbouring chunks of one stream, so that a chatty child makes few rows."""
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
    """A compressed file of what exceeded the rate.

    For each chunk: a line of JSON (stream, time, bytes), and that many bytes of text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self.lines = 0
        self._file: BinaryIO = path.open("wb")
        self._writer = zstandard.ZstdCompressor(level=1).stream_writer(self._file)

    def write(self, chunk: Chunk) -> None:
        """Add a chunk."""
        data = chunk.text.encode("utf-8", "replace")
        head = {"stream": chunk.stream.value, "time": chunk.time, "bytes": len(data)}
        self._writer.write(json.dumps(head).encode() + b"\n" + data)
        self.bytes += len(data)
        self.lines += data.count(b"\n")

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()  # type: ignore[no-untyped-call]


class Output:
    """One attempt's output. ``rate`` in bytes a second, ``burst`` and ``most`` in bytes.

    ``most`` bounds what an attempt may put into segments; what exceeds that, too, is dropped and
    counted.
    """

    def __init__(
        self,
        directory: Path,
        *,
        rate: float,
        burst: float,
        most: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self.rate = rate
        self.burst = burst
        self.most = most
        self.clock = clock
        self.flooded = False
        """Whether the rate was ever exceeded."""
        self._allowance = burst
        self._looked = clock()
        self._parsers: dict[LogStream, Parser] = {}
        self._segment: Segment | None = None
        self._segments = 0
        self._stored = 0
        self._lost_bytes = 0
        self._lost_lines = 0
        # By stream: what comes last of stderr is often earlier than what comes last of stdout.
        self._held: defaultdict[LogStream, deque[Chunk]] = defaultdict(deque)
        self._held_bytes: Counter[LogStream] = Counter()
        self._calm_since = 0.0
        self._arrived = 0.0

    @property
    def flooding(self) -> bool:
        """Whether lines go to a segment at this moment."""
        return self._segment is not None

    def take(self, chunks: list[Chunk]) -> list[Chunk]:
        """What of ``chunks`` becomes rows, in order."""
        now = self.clock()
        self._allowance = min(self.burst, self._allowance + self.rate * (now - self._looked))
        self._looked = now
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
        """What is still held when the child has ended."""
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
            f"The task prints more than {rate}. What exceeds it is kept, for downloads and "
            "searches, and not shown here.",
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
        if self._stored < self.most:
            before = self._segment.bytes
            self._segment.write(chunk)
            self._stored += self._segment.bytes - before
        else:
            self._lost_bytes += len(chunk.text.encode("utf-8", "replace"))
            self._lost_lines += chunk.text.count("\n")

    def _is_calm(self, now: float) -> bool:
        """Whether no more than the rate came for a while; time is looked at piece by piece."""
        if now - self._calm_since < CALM_SECONDS:
            return False
        calm = self._arrived <= self.rate * (now - self._calm_since)
        self._calm_since, self._arrived = now, 0.0
        return calm

    def _end(self, *, again: bool = False) -> list[Chunk]:
        """Close the segment: the row in its place, then what came last. ``again``: open another."""
        assert self._segment is not None
        segment, self._segment = self._segment, None
        segment.close()
        ended: list[Chunk] = []
        if segment.bytes or self._lost_bytes:
            text = f"Here are {segment.bytes:,} bytes in {segment.lines:,} lines that are kept "
            text += "for downloads and searches."
            if self._lost_bytes:
                text += (
                    f" {self._lost_bytes:,} bytes in {self._lost_lines:,} lines were dropped: the "
                    f"attempt has printed more than {self.most / 1e6:,.0f} MB."
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
