"""Reading what a version holds: pages of rows, and rows as JSON Lines."""

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from aiplatform.data import canonical
from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.datasets.errors import ExportFailed
from aiplatform.server.datasets.service.ingest import ending, environment

PAGE_BYTES = 4 << 20
"""A page ends before its limit when its rows are long."""

FIRST_STEP = 8
"""A row may have 16 MiB: a few tell how many more to read at once."""

EXPORT = """
import pathlib, sys
from aiplatform.data.canonical import export_jsonl
for chunk in export_jsonl(pathlib.Path(sys.argv[1])):
    sys.stdout.buffer.write(chunk)
"""
EXPORTS_AT_ONCE = 8
CHUNK_BYTES = 1 << 18

_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def local_rows(file: StoredFile) -> Path:
    """The file on this machine's disk: in the store, or a copy that the spool's sweep takes away
    when nobody has read it for a day.
    """
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
            get_store().fetch(file.sha256, partial)
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
    path = local_rows(file)
    rows: list[dict[str, Any]] = []
    size = 0
    step = FIRST_STEP
    while len(rows) < limit and size < PAGE_BYTES:
        more = canonical.read_rows(path, offset + len(rows), min(step, limit - len(rows)))
        if not more:
            break
        for row in more:
            size += len(dumps(row))
            rows.append(jsonable(row))
            if size >= PAGE_BYTES:
                break
        fitting = (PAGE_BYTES - size) * len(rows) // max(size, 1)
        step = max(1, min(step * 8, fitting))
    following = offset + len(rows)
    return rows, following if rows and following < row_count else None


async def as_jsonl(path: Path) -> AsyncIterator[bytes]:
    """The rows as JSON Lines, made while they are read.

    By a child process, since making text of gigabytes in this one would hold up everybody else's
    requests. It is killed when nobody reads on.

    Raises:
        ExportFailed: when it breaks off; the answer then ends without its end.
    """
    loop = asyncio.get_running_loop()
    async with _turns.setdefault(loop, asyncio.Semaphore(EXPORTS_AT_ONCE)):
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", EXPORT, str(path)),
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
