"""Reading what a version holds: pages of rows, what is found in them, and rows as text."""

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

from aiplatform.data import browse
from aiplatform.data.browse import Found
from aiplatform.data.errors import MalformedData
from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.protocol.rows import Condition
from aiplatform.server.core.files import fetch_file, open_file
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.datasets.errors import ExportFailed, MalformedFile
from aiplatform.server.datasets.service.ingest import ending, environment

SEARCH_SECONDS = 1.5
"""A search looks for so long before it answers with what it found."""

PAGE_BYTES = 4 << 20
"""A page ends before its limit when its rows are long."""

FOOTERS_KEPT = 32
"""Footers that are kept, of the versions read last; that of ten million rows has 100 KiB."""

LARGEST_FOOTER = 4 << 20

EXPORT = """
import pathlib, sys
from aiplatform.data.exports import EXPORTS
for chunk in EXPORTS[sys.argv[2]](pathlib.Path(sys.argv[1])):
    sys.stdout.buffer.write(chunk)
"""
EXPORTS_AT_ONCE = 8
CHUNK_BYTES = 1 << 18

_footers: OrderedDict[str, pq.FileMetaData] = OrderedDict()
_footers_lock = Lock()
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def local_rows(file: StoredFile) -> Path:
    """The whole file on this machine's disk: in the store, or a copy that the spool's sweep takes
    away when nobody has read it for a day.
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
    """Rows from ``offset`` on, and the offset of the next page; None on the last.

    At least one row, then as many as fit ``limit`` and :data:`PAGE_BYTES`.
    """
    source = open_file(file) or local_rows(file)
    rows: list[dict[str, Any]] = []
    size = 0
    found = browse.rows_from(source, offset, footer=_footer_of(file, source))
    for row in islice(found, limit):
        size += len(dumps(row))
        rows.append(jsonable(row))
        if size >= PAGE_BYTES:
            break
    found.close()
    following = offset + len(rows)
    return rows, following if rows and following < row_count else None


def _footer_of(file: StoredFile, source: browse.Source) -> pq.FileMetaData:
    """The footer of a version's rows. It is read once: it lies in a part of its own, and to unpack
    that and to read what it says of each row group takes as long as a page of rows.
    """
    with _footers_lock:
        footer = _footers.get(file.sha256)
        if footer is not None:
            _footers.move_to_end(file.sha256)
            return footer
    footer = pq.read_metadata(source)
    if footer.serialized_size <= LARGEST_FOOTER:
        with _footers_lock:
            _footers[file.sha256] = footer
            while len(_footers) > FOOTERS_KEPT:
                _footers.popitem(last=False)
    return footer


def find_rows(
    file: StoredFile,
    offset: int,
    limit: int,
    *,
    text: str | None,
    where: Sequence[Condition | str],
    among: "browse.Places | None" = None,
) -> Found:
    """``limit`` rows from the place ``offset`` on that have ``text`` and meet all conditions.

    Only those at the places ``among``, if there are any given.

    A search that would take long ends early, with the place to look on from.

    Raises:
        MalformedFile: a condition can't be judged on these columns.
    """
    source = open_file(file) or local_rows(file)
    try:
        found = browse.search(
            source,
            offset,
            limit,
            text=text,
            where=where,
            among=among,
            footer=_footer_of(file, source),
            seconds=SEARCH_SECONDS,
        )
    except MalformedData as fault:
        raise MalformedFile(**fault.as_dict()) from fault
    return _fitting(found)


def draw_rows(
    file: StoredFile,
    row_count: int,
    count: int,
    seed: int,
    *,
    among: "browse.Places | None" = None,
) -> Found:
    """``count`` rows drawn at random, in their order; fewer when they are long.

    Only those at the places ``among``, if there are any given; ``row_count`` is how many.
    """
    places = browse.drawn(row_count, count, seed)
    if among is not None:
        places = [int(among[place]) for place in places]
    source = open_file(file) or local_rows(file)
    found = _fitting(
        Found(browse.rows_at(source, places, footer=_footer_of(file, source)), places, None)
    )
    found.following = None
    return found


def _fitting(found: Found) -> Found:
    """As many rows as fit a page, at least one if there is any."""
    kept = Found([], [], found.following)
    size = 0
    for row, place in zip(found.rows, found.places, strict=True):
        if size >= PAGE_BYTES:
            kept.following = place
            break
        size += len(dumps(row))
        kept.rows.append(jsonable(row))
        kept.places.append(place)
    return kept


async def exported(path: Path, kind: str) -> AsyncIterator[bytes]:
    """The rows as ``jsonl`` or ``csv``, made while they are read.

    By a child process, since making text of gigabytes in this one would hold up everybody else's
    requests. It is killed when nobody reads on.

    Raises:
        ExportFailed: when it breaks off; the answer then ends without its end.
    """
    loop = asyncio.get_running_loop()
    async with _turns.setdefault(loop, asyncio.Semaphore(EXPORTS_AT_ONCE)):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", EXPORT, str(path), kind),
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
        raise ExportFailed(ending=ending(code))
