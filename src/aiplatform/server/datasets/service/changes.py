"""New versions made from old ones: a child process rewrites the rows, which are then committed."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from anyio import to_thread

from aiplatform.data.packing import Packed
from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import disk_space_required, upload_prefix
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.datasets.service.commits import Upload
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.ingest import (
    Ingested,
    WaitForDisconnect,
    ingested_of,
    run_row_program,
)
from aiplatform.server.datasets.service.packing import pack_rows
from aiplatform.server.projects.access import ProjectContext

COUNTS = ("added", "changed", "deleted")


@dataclass(frozen=True, slots=True)
class BaseVersion:
    """The version that new rows are made from."""

    dataset: UUID
    name: str
    label: str
    is_current: bool
    rows: StoredFile


@dataclass(frozen=True, slots=True)
class TransformedRows:
    """New rows, packed in parts, and a record of how they were made."""

    ingested: Ingested
    packed: dict[str, Packed]
    made_by: dict[str, Any]


def base_version(context: ProjectContext, dataset: UUID, name: str | None) -> BaseVersion:
    """Return a version by its label or tag, by default the current one.

    Raises:
        NotFound: when there is no such dataset or version.
    """
    with transaction() as session:
        head = queries.get_dataset(session, context, dataset)
        version = queries.get_version(session, head, name or head.version)
        rows = queries.rows_file(session, version.id)
        if rows is None:
            raise NotFound(resource="dataset version")
        return BaseVersion(
            head.uuid, head.name, version.version, version.version == head.version, rows
        )


def upload_operation(mode: str, ingested: Ingested, key: str | None) -> dict[str, Any]:
    """Return the operation that applies an uploaded file, see :func:`transformed_rows`."""
    do: dict[str, Any] = {"operation": mode, "rows": str(ingested.path)}
    if key is not None:
        do["key"] = key
    if mode != "delete" and (types := ingested.found.get("types")):
        renamed = ingested.found.get("renamed") or {}
        do["explicit_columns"] = [renamed.get(name, name) for name in types]
    return do


def with_transformed_rows(
    upload: Upload, rows: TransformedRows, mode: str, key: str | None
) -> Upload:
    """Return an upload with the rows that resulted from applying it to the version before."""
    by = {"operation": mode, **rows.made_by}
    return replace(
        upload,
        ingested=replace(rows.ingested, found={**upload.ingested.found, **rows.ingested.found}),
        packed={**(upload.packed or {}), **rows.packed},
        made_by=by if key is None else {**by, "key": key},
    )


@asynccontextmanager
async def transformed_rows(
    base: BaseVersion, do: dict[str, Any], disconnected: WaitForDisconnect
) -> AsyncIterator[list[TransformedRows]]:
    """Yield the rows that an operation makes from a version, on disk until the block ends.

    The operations are those of :mod:`aiplatform.data.row_operations`.

    Raises:
        MalformedFile: the operation is impossible with these rows.
        UploadAborted, InsufficientStorage, IngestFailed: see :func:`service.ingest.ingest`.
    """
    async with upload_prefix(get_settings().spool_dir) as prefix:
        yield await transform_rows(base, do, prefix, disconnected)


async def transform_rows(
    base: BaseVersion, do: dict[str, Any], prefix: Path, disconnected: WaitForDisconnect
) -> list[TransformedRows]:
    """Return the rows that an operation makes from a version, as :func:`transformed_rows` does.

    The names of all files begin with ``prefix``; the caller removes them.
    """
    job = prefix.with_suffix(".job")

    def write_job() -> None:
        with disk_space_required():
            local = local_rows(base.rows)
            job.write_text(dumps({"base": str(local), "output": str(prefix), "do": do}))

    await to_thread.run_sync(write_job)
    command = [sys.executable, "-P", "-m", "aiplatform.data.row_operations", "--job", str(job)]
    answer = await run_row_program(command, prefix.parent, disconnected)
    counts = {fact: answer[fact] for fact in COUNTS if fact in answer}

    def pack_all() -> list[TransformedRows]:
        made = []
        for output in answer["outputs"]:
            rows = ingested_of(output, Path(output.pop("path")))
            with disk_space_required():
                packed = {ROWS_PATH: pack_rows(rows, base.rows)}
            made.append(TransformedRows(rows, packed, {"from": base.label, **counts}))
        return made

    return await to_thread.run_sync(pack_all)
