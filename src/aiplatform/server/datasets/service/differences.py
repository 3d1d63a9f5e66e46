"""Differences between versions: an index made once by a program of its own, read by the page."""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from anyio import to_thread

from aiplatform.data import diff
from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.server.core.files import open_file
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import room_needed
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.ingest import Gone, answer_of

LAYOUT = "1"
"""Of the index; raised when the same versions would give another one."""

PAGE_BYTES = 8 << 20


async def index_of(before: StoredFile, after: StoredFile, key: str | None, gone: Gone) -> Path:
    """The index of two files, made if it is not there; the spool's sweep takes it away when nobody
    has read it for a day.

    Raises:
        MalformedFile: there is no such key column.
        UploadAborted, InsufficientStorage, IngestFailed: see :func:`service.ingest.ingest`.
    """
    about = dumps([LAYOUT, before.sha256, after.sha256, key]).encode()
    directory = get_settings().spool_dir
    index = directory / f"diff-{hashlib.sha256(about).hexdigest()}.parquet"
    job = directory / f"{uuid4().hex}.job"

    def prepare() -> bool:
        try:
            os.utime(index)
        except FileNotFoundError:
            pass
        else:
            return True
        with room_needed():
            facts = {
                "before": str(local_rows(before)),
                "after": str(local_rows(after)),
                "output": str(index),
                "key": key,
            }
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            job.write_text(dumps(facts))
        return False

    if not await to_thread.run_sync(prepare):
        command = [sys.executable, "-P", "-m", "aiplatform.data.diff", "--job", str(job)]
        try:
            await answer_of(command, directory, gone)
        finally:
            job.unlink(missing_ok=True)
    return index


def page(
    index: Path,
    before: StoredFile,
    after: StoredFile,
    *,
    offset: int,
    limit: int,
    kinds: Sequence[str] | None,
) -> tuple[dict[str, Any], list[dict[str, Any]], int | None]:
    """The summary, entries from ``offset`` on, and the offset of the next page."""
    entries, following = diff.page(
        index,
        open_file(before) or local_rows(before),
        open_file(after) or local_rows(after),
        offset=offset,
        limit=limit,
        kinds=None if kinds is None else set(kinds),
    )
    items: list[dict[str, Any]] = []
    size = 0
    for entry in entries:
        if size >= PAGE_BYTES:
            following = offset + len(items)
            break
        size += len(dumps(entry))
        items.append(jsonable(entry))
    return diff.summary_of(index), items, following
