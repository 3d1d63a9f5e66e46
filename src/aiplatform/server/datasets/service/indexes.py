"""Index files that child processes build once and that are kept while in use."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from anyio import to_thread

from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import disk_space_required
from aiplatform.server.datasets.service.ingest import WaitForDisconnect, run_row_program


async def get_or_build_index(
    name: str,
    module: str,
    make_input: Callable[[], dict[str, Any]],
    disconnected: WaitForDisconnect,
) -> Path:
    """Return the path of the index ``name``, which ``module`` builds if it does not exist.

    The index appears at its path only once it is complete, even if several processes build it at
    the same time or one of them fails. It is deleted when nobody has read it for a day.

    Args:
        name: the file name of the index in the spool.
        module: the program that builds it.
        make_input: returns the program's input, to which the output path is added.
        disconnected: returns when the client has disconnected.

    Raises:
        MalformedFile, UploadAborted, InsufficientStorage, IngestFailed: see
            :func:`aiplatform.server.datasets.service.ingest.ingest`.
    """
    directory = get_settings().spool_dir
    index = directory / name
    job = directory / f"{uuid4().hex}.job"
    # The partial file belongs to this call alone, because others may be building the same index.
    partial = job.with_suffix(".partial")

    def prepare() -> bool:
        try:
            os.utime(index)
        except FileNotFoundError:
            pass
        else:
            return True
        with disk_space_required():
            known = {**make_input(), "output": str(partial)}
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            job.write_text(dumps(known))
        return False

    if not await to_thread.run_sync(prepare):
        command = [sys.executable, "-P", "-m", module, "--job", str(job)]
        try:
            await run_row_program(command, directory, disconnected)
            partial.replace(index)
        finally:
            job.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
    return index
