"""Rows that a finding of the report is about: an index made once by a program of its own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiplatform.data.browse import Found
from aiplatform.data.finding_index import places_of
from aiplatform.protocol.rows import Condition
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.service import content
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.indexes import made_once

LAYOUT = "2"
"""Of the index; raised when the same rows would give another one."""

NEAR = "near_duplicates"


async def _never() -> None:
    await asyncio.Event().wait()


async def index_of(rows: StoredFile, finding: str) -> Path:
    """The index of a version's findings, see :func:`made_once`.

    It goes on when whoever asked has gone: the next one finds it made.

    Raises:
        InsufficientStorage, IngestFailed: see there.
    """

    def facts() -> dict[str, Any]:
        return {"rows": str(local_rows(rows)), "near_duplicates": finding == NEAR}

    kind = "near" if finding == NEAR else "all"
    name = f"findings-{LAYOUT}-{kind}-{rows.sha256}.parquet"
    return await made_once(name, "aiplatform.data.findings", facts, _never)


def page(
    index: Path,
    file: StoredFile,
    finding: str,
    offset: int,
    limit: int,
    *,
    text: str | None,
    where: Sequence[Condition],
) -> Found:
    """Rows of a finding from the place ``offset`` on, as :func:`content.find_rows` gives them."""
    among = places_of(index, finding)
    return content.find_rows(file, offset, limit, text=text, where=where, among=among)
