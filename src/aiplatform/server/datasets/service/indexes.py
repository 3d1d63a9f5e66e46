"""Indexes that are made once, by programs of their own, and kept while they are read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from anyio import to_thread

from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import room_needed
from aiplatform.server.datasets.service.ingest import Gone, answer_of


async def made_once(
    name: str, module: str, facts: Callable[[], dict[str, Any]], gone: Gone
) -> Path:
    """The index ``name``, made by ``module`` of ``facts`` and a path as ``output`` if it is not
    there; the spool's sweep takes it away when nobody has read it for a day.

    It is whole or not there, whoever else makes it meanwhile and however that ends.

    Raises:
        MalformedFile, UploadAborted, InsufficientStorage, IngestFailed: see
            :func:`aiplatform.server.datasets.service.ingest.ingest`.
    """
    directory = get_settings().spool_dir
    index = directory / name
    job = directory / f"{uuid4().hex}.job"
    # Of this call alone: others may be making the same index.
    partial = job.with_suffix(".partial")

    def prepare() -> bool:
        try:
            os.utime(index)
        except FileNotFoundError:
            pass
        else:
            return True
        with room_needed():
            known = {**facts(), "output": str(partial)}
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            job.write_text(dumps(known))
        return False

    if not await to_thread.run_sync(prepare):
        command = [sys.executable, "-P", "-m", module, "--job", str(job)]
        try:
            await answer_of(command, directory, gone)
            partial.replace(index)
        finally:
            job.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
    return index
