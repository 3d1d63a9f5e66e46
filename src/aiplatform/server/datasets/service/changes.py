"""New versions made from old ones: a child process rewrites the rows, which are then committed."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from anyio import to_thread
from sqlalchemy.orm import Session

from aiplatform.data.parts import Packed
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import disk_space_required, upload_prefix
from aiplatform.server.core.storage import StoredFile
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.errors import StaleParentVersion
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.datasets.service.commits import Upload, add_version
from aiplatform.server.datasets.service.content import local_rows
from aiplatform.server.datasets.service.ingest import (
    Ingested,
    WaitForDisconnect,
    ingested_of,
    run_row_program,
)
from aiplatform.server.datasets.service.storage import pack_rows
from aiplatform.server.projects.access import ProjectContext, confirm

T = TypeVar("T")

COUNTS = ("added", "changed", "deleted")

MAX_ATTEMPTS = 5
"""Maximum number of attempts to apply a change.

An attempt fails if another commit is faster; the next attempt starts from that commit.
"""


@dataclass(frozen=True, slots=True)
class BaseVersion:
    """The version from which new rows are made."""

    dataset: UUID
    name: str
    label: str
    is_current: bool
    rows: StoredFile


@dataclass(frozen=True, slots=True)
class TransformedRows:
    """New rows, cut into parts, with a record of how they were made."""

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


def with_transformed_rows(upload: Upload, rows: TransformedRows, made_by: dict[str, Any]) -> Upload:
    """Return a copy of an upload that contains the rows resulting from its operation."""
    return replace(
        upload,
        ingested=replace(rows.ingested, found={**upload.ingested.found, **rows.ingested.found}),
        packed={**(upload.packed or {}), **rows.packed},
        made_by=made_by,
    )


async def change_rows(
    context: ProjectContext,
    dataset: UUID,
    parent: str | None,
    do: dict[str, Any],
    commit: Callable[[BaseVersion, TransformedRows], T],
    disconnected: WaitForDisconnect,
) -> T:
    """Apply an operation to a version, commit the rows, and return the result of ``commit``.

    Without ``parent``, the operation is applied to the current version. If another commit is
    faster, it is applied again to the version that is then current.
    """
    attempts = MAX_ATTEMPTS
    while True:
        attempts -= 1
        base = await to_thread.run_sync(base_version, context, dataset, parent)
        async with transformed_rows(base, do, disconnected) as made:
            try:
                return await to_thread.run_sync(commit, base, made[0])
            except StaleParentVersion:
                if parent is not None or not attempts:
                    raise


def make_committer(
    context: ProjectContext,
    dataset: UUID,
    parent: str | None,
    message: str | None,
    made_by: dict[str, Any],
    finish: Callable[[Session, Dataset], T],
) -> Callable[[BaseVersion, TransformedRows], T]:
    """Return a function that commits changed rows and returns the result of ``finish``.

    ``finish`` is called with the dataset in the transaction of the commit.
    """

    def commit(base: BaseVersion, made: TransformedRows) -> T:
        upload = Upload(
            filename=None,
            spooled=None,
            ingested=made.ingested,
            message=message,
            packed=made.packed,
            made_by={**made_by, **made.made_by},
        )
        with transaction() as session:
            confirm(session, context, Permission.DATASETS_WRITE)
            head, _ = add_version(
                session,
                context,
                dataset,
                upload,
                parent_label=base.label,
                expected=base.label if parent is None else None,
            )
            return finish(session, head)

    return commit


@asynccontextmanager
async def transformed_rows(
    base: BaseVersion, do: dict[str, Any], disconnected: WaitForDisconnect
) -> AsyncIterator[list[TransformedRows]]:
    """Yield the rows that an operation makes from a version. Their files are deleted afterwards.

    The operations are those of :mod:`aiplatform.data.row_operations`.

    Raises:
        MalformedFile: the operation is impossible with these rows.
        UploadAborted, InsufficientStorage, IngestFailed: see :func:`.ingest.ingest`.
    """
    async with upload_prefix(get_settings().spool_dir) as prefix:
        yield await transform_rows(base, do, prefix, disconnected)


async def transform_rows(
    base: BaseVersion, do: dict[str, Any], prefix: Path, disconnected: WaitForDisconnect
) -> list[TransformedRows]:
    """Return the rows that an operation makes from a version, as :func:`transformed_rows` does.

    The paths of all created files begin with ``prefix``. The caller deletes these files.
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
