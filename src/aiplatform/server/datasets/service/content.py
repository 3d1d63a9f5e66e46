"""Reading the content of a version: pages of rows, searches, and rows as text."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import pyarrow.parquet as pq

from aiplatform.data import row_access
from aiplatform.data.errors import MalformedData
from aiplatform.data.row_access import Found
from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.protocol.rows import Condition
from aiplatform.server.core.files import fetch_file, open_file
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.datasets.errors import ExportFailed, MalformedFile
from aiplatform.server.datasets.service.ingest import describe_exit, environment

SEARCH_SECONDS = 1.5
"""Seconds after which a search returns the rows found so far."""

PAGE_BYTES = 4 << 20
"""Maximum bytes in a page; a page of long rows has fewer rows than requested."""

MAX_CACHED_FOOTERS = 32
"""Maximum number of cached Parquet footers; the footer for ten million rows takes 100 KiB."""

MAX_FOOTER_BYTES = 4 << 20

EXPORT_PROGRAM = """
import pathlib, sys
from aiplatform.data.exports import EXPORTS
for chunk in EXPORTS[sys.argv[2]](pathlib.Path(sys.argv[1])):
    sys.stdout.buffer.write(chunk)
"""
MAX_CONCURRENT_EXPORTS = 8
CHUNK_BYTES = 1 << 18

_footers: OrderedDict[str, pq.FileMetaData] = OrderedDict()
_footers_lock = Lock()
_export_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def local_rows(file: StoredFile) -> Path:
    """Return the path of the complete file on this machine's disk.

    This is the file in a local store, or a copy in the spool, which is deleted when it has not been
    read for a day.
    """
    if not file.parts:
        stored = get_store().local_path(file.sha256)
        if stored is not None:
            return stored
    directory = get_settings().spool_dir
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = directory / f"rows-{file.sha256}.parquet"
    try:
        os.utime(copy)
    except FileNotFoundError:
        partial = directory / f"{uuid4().hex}.partial"
        try:
            fetch_file(file, partial)
            partial.replace(copy)
        finally:
            partial.unlink(missing_ok=True)
    return copy


def page_of_rows(
    file: StoredFile, row_count: int, offset: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Return rows from ``offset`` on, and the offset of the next page, or None on the last page.

    The page has at least one row, and otherwise as many as fit into ``limit`` and
    :data:`PAGE_BYTES`.
    """
    source = open_file(file) or local_rows(file)
    rows: list[dict[str, Any]] = []
    size = 0
    found = row_access.rows_from(source, offset, footer=_footer_of(file, source))
    for row in islice(found, limit):
        size += len(dumps(row))
        rows.append(jsonable(row))
        if size >= PAGE_BYTES:
            break
    found.close()
    following = offset + len(rows)
    return rows, following if rows and following < row_count else None


def _footer_of(file: StoredFile, source: row_access.Source) -> pq.FileMetaData:
    """Return the footer of a version's rows from the cache, or read it.

    Reading a footer takes as long as reading a page of rows, because the footer is in a separate
    part, which must be decompressed, and describes every row group.
    """
    with _footers_lock:
        footer = _footers.get(file.sha256)
        if footer is not None:
            _footers.move_to_end(file.sha256)
            return footer
    footer = pq.read_metadata(source)
    if footer.serialized_size <= MAX_FOOTER_BYTES:
        with _footers_lock:
            _footers[file.sha256] = footer
            while len(_footers) > MAX_CACHED_FOOTERS:
                _footers.popitem(last=False)
    return footer


def find_rows(
    file: StoredFile,
    offset: int,
    limit: int,
    *,
    text: str | None,
    where: Sequence[Condition | str],
    among: "row_access.Positions | None" = None,
) -> Found:
    """Return up to ``limit`` rows from ``offset`` on that contain ``text`` and meet all conditions.

    With ``among``, only rows at these positions are considered. A long search ends early; the
    result then contains the position to continue from.

    Raises:
        MalformedFile: a condition can't be applied to these columns.
    """
    source = open_file(file) or local_rows(file)
    try:
        found = row_access.search(
            source,
            offset,
            limit,
            text=text,
            where=where,
            among=among,
            footer=_footer_of(file, source),
            seconds=SEARCH_SECONDS,
        )
    except MalformedData as error:
        raise MalformedFile(**error.as_dict()) from error
    return _truncate_to_page(found)


def draw_rows(
    file: StoredFile,
    row_count: int,
    count: int,
    seed: int,
    *,
    among: "row_access.Positions | None" = None,
) -> Found:
    """Return ``count`` rows drawn at random, in the version's order; fewer if rows are long.

    With ``among``, only rows at these positions are drawn, and ``row_count`` is their number.
    """
    positions = row_access.sample_positions(row_count, count, seed)
    if among is not None:
        positions = [int(among[position]) for position in positions]
    source = open_file(file) or local_rows(file)
    found = _truncate_to_page(
        Found(
            row_access.rows_at(source, positions, footer=_footer_of(file, source)), positions, None
        )
    )
    found.following = None
    return found


def _truncate_to_page(found: Found) -> Found:
    """Cut a result to the rows that fit into a page, but keep at least one."""
    kept = Found([], [], found.following)
    size = 0
    for row, position in zip(found.rows, found.positions, strict=True):
        if size >= PAGE_BYTES:
            kept.following = position
            break
        size += len(dumps(row))
        kept.rows.append(jsonable(row))
        kept.positions.append(position)
    return kept


async def export_rows(path: Path, kind: str) -> AsyncIterator[bytes]:
    """Yield the rows as ``jsonl`` or ``csv`` text, generated while it is read.

    A child process does this, because converting gigabytes in this process would delay all other
    requests. The child process is killed when the reader stops.

    Raises:
        ExportFailed: when the child process fails; the response is then incomplete.
    """
    loop = asyncio.get_running_loop()
    async with _export_slots.setdefault(loop, asyncio.Semaphore(MAX_CONCURRENT_EXPORTS)):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", EXPORT_PROGRAM, str(path), kind),
            stdin=DEVNULL,
            stdout=PIPE,
            env=environment(path.parent),
            start_new_session=True,
        )
        assert child.stdout is not None
        try:
            while chunk := await child.stdout.read(CHUNK_BYTES):
                yield chunk
            code = await child.wait()
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await asyncio.shield(child.wait())
    if code:
        raise ExportFailed(ending=describe_exit(code))
