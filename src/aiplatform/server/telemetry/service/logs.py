"""Line-by-line search and download of logs, including lines in segments (moved to blobs)."""

import io
import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import zstandard
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import LogLevel, LogStream
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import get_store
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.models import LogChunk
from aiplatform.server.telemetry.rules import Level, Parser, levels_of, lines_of

SEARCH_SECONDS = 2.0
"""Seconds after which a search returns the lines found so far and where to continue."""
WINDOW = 1000
"""Number of chunks read with one statement."""
DOWNLOAD_ROWS = 200


@dataclass(frozen=True, slots=True)
class Line:
    """A log line. ``seq`` is that of its chunk; ``number`` counts from 0 within the chunk."""

    seq: int
    number: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """The conditions of a search. ``level`` is the lowest level; ``text`` is case-insensitive."""

    text: str | None = None
    level: LogLevel | None = None
    stream: LogStream | None = None
    attempt: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def least(self) -> Level:
        """The lowest level as a number; ``NONE`` if there is no condition on the level."""
        return Level.NONE if self.level is None else Level[self.level.name]

    def match(self, line: Line) -> bool:
        """Return True if a line meets all conditions."""
        if self.least and (line.level is None or Level[line.level.name] < self.least):
            return False
        if self.stream is not None and line.stream is not self.stream:
            return False
        if self.since is not None and line.time < self.since:
            return False
        if self.until is not None and line.time >= self.until:
            return False
        return self.text is None or self.text.lower() in line.text.lower()


Place = tuple[int, int]
"""The position where a search continues: the ``seq`` of a chunk and a line number in it."""


def search(
    session: Session, task_id: int, filters: Filters, after: Place, limit: int
) -> tuple[list[Line], Place | None]:
    """Return up to ``limit`` matching lines from ``after`` on, and where to continue.

    The place to continue is None if the end of the log was reached. In a long log, the search may
    stop early with few lines or none; see :data:`SEARCH_SECONDS`.
    """
    deadline = time.monotonic() + SEARCH_SECONDS
    last = queries.last_chunk(session, task_id)
    found: list[Line] = []
    seq, number = after
    while seq <= last:
        until = seq + WINDOW
        for row in session.scalars(
            queries.chunks_between(
                task_id,
                seq,
                until,
                text=filters.text,
                level=int(filters.least),
                stream=filters.stream,
                attempt=filters.attempt,
                since=filters.since,
                until_time=filters.until,
            )
        ):
            first = number if row.seq == seq else 0
            for line in lines_in(row):
                if line.number >= first and filters.match(line):
                    if len(found) == limit:
                        return found, (row.seq, line.number)
                    found.append(line)
            if time.monotonic() >= deadline and row.seq < last:
                return found, (row.seq + 1, 0)
        seq, number = until, 0
        if time.monotonic() >= deadline and seq <= last:
            return found, (seq, 0)
    return found, None


def lines_in(row: LogChunk) -> Iterator[Line]:
    """Yield the lines of a chunk, or of its segment if it has one."""
    segment = row.segment
    if segment is not None and segment.get("sha256") is not None:
        yield from _lines_of_segment(row, segment["sha256"])
        if not segment.get("lost_bytes"):
            return
    lines = lines_of(row.text)
    first = 0 if segment is None else int(segment.get("lines", 0))
    for number, (text, level) in enumerate(
        zip(lines, levels_of(row.levels, len(lines)), strict=True), start=first
    ):
        yield _line(row, number, LogStream(row.stream), level, text, row.recorded_at)


def _lines_of_segment(row: LogChunk, sha256: str) -> Iterator[Line]:
    parsers: dict[LogStream, Parser] = {}
    numbers = count()
    for stream, moment, text in read_segment(get_store().read(sha256)):
        parser = parsers.setdefault(stream, Parser())
        recorded = datetime.fromtimestamp(moment, UTC)
        for line in lines_of(text):
            yield _line(row, next(numbers), stream, parser.level(line), line, recorded)


def _line(
    row: LogChunk, number: int, stream: LogStream, level: Level, text: str, moment: datetime
) -> Line:
    named = None if level is Level.NONE else LogLevel(level.name.lower())
    return Line(row.seq, number, row.attempt, stream, named, text, moment)


class _IteratorReader(io.RawIOBase):
    """A readable file whose content comes from an iterator of bytes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def read_segment(pieces: Iterator[bytes]) -> Iterator[tuple[LogStream, float, str]]:
    """Yield the stream, time (seconds since the epoch) and text of each chunk in a segment."""
    packed = io.BufferedReader(_IteratorReader(pieces))
    with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        plain = io.BufferedReader(reader, 1 << 17)
        while head := plain.readline():
            facts = json.loads(head)
            text = plain.read(facts["bytes"]).decode("utf-8", "replace")
            yield LogStream(facts["stream"]), facts["time"], text


def download(
    task_id: int, *, stream: LogStream | None, times: bool, packed: bool
) -> Iterator[bytes]:
    """Yield the whole log as text, in pages; with ``packed``, compressed with gzip.

    With ``times``, each line begins with its time, stream and level.
    """
    packer = zlib.compressobj(6, zlib.DEFLATED, 31) if packed else None
    for data in _pages(task_id, stream, times=times):
        out = data if packer is None else packer.compress(data)
        if out:
            yield out
    if packer is not None:
        yield packer.flush()


def _pages(task_id: int, stream: LogStream | None, *, times: bool) -> Iterator[bytes]:
    after = 0
    while True:
        # Each page has its own transaction, because a slow reader must not keep one open.
        with transaction() as session:
            rows = session.scalars(queries.chunks_after(task_id, after, limit=DOWNLOAD_ROWS)).all()
        for row in rows:
            yield from _texts(row, stream, times=times)
        if len(rows) < DOWNLOAD_ROWS:
            return
        after = rows[-1].seq


def _texts(row: LogChunk, stream: LogStream | None, *, times: bool) -> Iterator[bytes]:
    if times:
        batch = []
        for line in lines_in(row):
            if stream is None or line.stream is stream:
                level = "-" if line.level is None else line.level.value
                moment = line.time.isoformat(timespec="milliseconds")
                batch.append(f"{moment} {line.stream.value} {level} {line.text}\n")
            if len(batch) == 1000:
                yield "".join(batch).encode("utf-8", "replace")
                batch.clear()
        yield "".join(batch).encode("utf-8", "replace")
        return
    segment = row.segment or {}
    if segment.get("sha256") is not None:
        for of, _, text in read_segment(get_store().read(segment["sha256"])):
            if stream is None or of is stream:
                yield text.encode("utf-8", "replace")
        if not segment.get("lost_bytes"):
            return
    if stream is None or row.stream == stream.value:
        yield row.text.encode("utf-8", "replace")
