"""Rows that a finding of the report is about: an index made once by a program of its own."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from anyio import to_thread

from aiplatform.data.browse import Found
from aiplatform.data.findings import places_of
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.rows import Condition
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import room_needed
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets.service import content
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.ingest import answer_of

LAYOUT = "1"
"""Of the index; raised when the same rows would give another one."""

NEAR = "near_duplicates"


async def _never() -> None:
    await asyncio.Event().wait()


async def index_of(rows: StoredFile, finding: str) -> Path:
    """The index of a version's findings, made if it is not there; the spool's sweep takes it away
    when nobody has read it for a day.

    It goes on when whoever asked has gone: the next one finds it made.

    Raises:
        InsufficientStorage, IngestFailed: see :func:`service.ingest.ingest`.
    """
    directory = get_settings().spool_dir
    kind = "near" if finding == NEAR else "all"
    index = directory / f"findings-{LAYOUT}-{kind}-{rows.sha256}.parquet"
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
                "rows": str(local_rows(rows)),
                "output": str(index),
                "near_duplicates": finding == NEAR,
            }
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            job.write_text(dumps(facts))
        return False

    if not await to_thread.run_sync(prepare):
        command = [sys.executable, "-P", "-m", "aiplatform.data.findings", "--job", str(job)]
        try:
            await answer_of(command, directory, _never)
        finally:
            job.unlink(missing_ok=True)
    return index


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
