"""Differences between two versions: a child process builds an index from which pages are read."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiplatform.data import diff
from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.server.core.files import open_file
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.indexes import get_or_build_index
from aiplatform.server.datasets.service.ingest import WaitForDisconnect

LAYOUT = "1"
"""Version of the index layout; increase it when the same input would give a different index."""

PAGE_BYTES = 8 << 20


async def get_or_build(
    before: StoredFile, after: StoredFile, key: str | None, disconnected: WaitForDisconnect
) -> Path:
    """Return the path of the index of two files; see :func:`get_or_build_index`.

    Raises:
        MalformedFile: the files have no column ``key``.
        UploadAborted, InsufficientStorage, IngestFailed: see :func:`get_or_build_index`.
    """
    about = dumps([LAYOUT, before.sha256, after.sha256, key]).encode()

    def make_input() -> dict[str, Any]:
        return {"before": str(local_rows(before)), "after": str(local_rows(after)), "key": key}

    name = f"diff-{hashlib.sha256(about).hexdigest()}.parquet"
    return await get_or_build_index(name, "aiplatform.data.diff", make_input, disconnected)


def page(
    index: Path,
    before: StoredFile,
    after: StoredFile,
    *,
    offset: int,
    limit: int,
    kinds: Sequence[str] | None,
) -> tuple[dict[str, Any], list[dict[str, Any]], int | None]:
    """Return the summary, entries from ``offset`` on, and the next page's offset or None."""
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
