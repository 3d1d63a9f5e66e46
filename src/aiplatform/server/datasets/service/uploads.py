"""The upload of a file, from its bytes on disk to the version made from it.

Plain uploads, resumable uploads and imports use this module. They differ in how the bytes arrive
and in what else the commit's transaction does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from anyio import to_thread
from sqlalchemy.orm import Session

from aiplatform.data.parts import Packed
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.reading_options import KEYED_MODES, Reading, UploadMode
from aiplatform.server.core.database import transaction
from aiplatform.server.core.spool import Spooled, disk_space_required
from aiplatform.server.datasets.errors import KeyColumnRequired
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.datasets.rules import safe_filename
from aiplatform.server.datasets.service.changes import (
    BaseVersion,
    TransformedRows,
    change_rows,
    with_transformed_rows,
)
from aiplatform.server.datasets.service.commits import Upload, add_version, create_dataset
from aiplatform.server.datasets.service.ingest import Ingested, WaitForDisconnect, ingest
from aiplatform.server.datasets.service.storage import (
    pack_upload,
    previous_column_types,
    reusable_files,
)
from aiplatform.server.projects.access import ProjectContext, confirm

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UploadParameters:
    """Properties of a file as stated by its uploader. ``digest`` is a hexadecimal SHA-256."""

    filename: str | None = None
    format: DataFormat | None = None
    message: str | None = None
    base_model: UUID | None = None
    max_length: int | None = None
    digest: str | None = None
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True, slots=True)
class Target:
    """The target of an upload: a new dataset called ``name``, or a new version of ``dataset``.

    ``mode`` says how the file's rows change those of the version ``parent``, by default the current
    one. ``key`` is the column by which some modes match rows.

    Raises:
        KeyColumnRequired: the mode matches rows by a key column, but none is given.
    """

    name: str | None = None
    dataset: UUID | None = None
    mode: UploadMode = "replace"
    key: str | None = None
    parent: str | None = None
    allow_identical: bool = False

    def __post_init__(self) -> None:
        if self.mode in KEYED_MODES and self.key is None:
            raise KeyColumnRequired(mode=self.mode)

    @property
    def changes_rows(self) -> bool:
        """True if the file's rows change the parent's rows instead of replacing them all."""
        return self.dataset is not None and self.mode != "replace"

    def operation(self, ingested: Ingested) -> dict[str, Any]:
        """Return the operation that applies a parsed file to the parent's rows."""
        do: dict[str, Any] = {"operation": self.mode, "rows": str(ingested.path)}
        if self.mode in KEYED_MODES:
            do["key"] = self.key
        if self.mode != "delete" and (types := ingested.found.get("types")):
            renamed = ingested.found.get("renamed") or {}
            do["explicit_columns"] = [renamed.get(name, name) for name in types]
        return do

    def apply(self, upload: Upload, rows: TransformedRows) -> Upload:
        """Return the upload with the rows that resulted from :meth:`operation`."""
        key = {} if self.key is None else {"key": self.key}
        return with_transformed_rows(upload, rows, {"operation": self.mode, **rows.made_by, **key})


async def take_upload(
    context: ProjectContext,
    target: Target,
    parameters: UploadParameters,
    spooled: Spooled,
    *,
    prefix: Path,
    disconnected: WaitForDisconnect,
    finish: Callable[[Session, Dataset], T],
) -> T:
    """Parse a file that has arrived and commit it; return what ``finish`` returns.

    Args:
        context: what the caller may do in the project; it is checked again before the commit.
        target: the dataset or version that receives the rows.
        parameters: properties of the file as stated by its sender.
        spooled: the file.
        prefix: prefix of the paths of all created files, which the caller deletes.
        disconnected: returns when the client has disconnected.
        finish: called with the dataset in the commit's transaction.

    Raises:
        MalformedFile: the content does not match the format.
        UploadAborted, InsufficientStorage, IngestFailed: see :func:`ingest`.
        Problem: the commit is refused; see :func:`commit_upload`.
    """
    upload = await _parse(context, target, parameters, spooled, prefix, disconnected)

    def commit(base: BaseVersion | None = None, rows: TransformedRows | None = None) -> T:
        del base
        with transaction() as session:
            confirm(session, context, Permission.DATASETS_WRITE)
            whole = upload if rows is None else target.apply(upload, rows)
            return finish(session, commit_upload(session, context, target, whole))

    if not target.changes_rows:
        return await to_thread.run_sync(commit)
    assert target.dataset is not None
    do = target.operation(upload.ingested)
    return await change_rows(context, target.dataset, target.parent, do, commit, disconnected)


def commit_upload(
    session: Session, context: ProjectContext, target: Target, upload: Upload
) -> Dataset:
    """Commit a parsed upload and return the dataset, whose current version is the new one.

    Raises:
        NameTaken, TooManyRows: see :func:`create_dataset`.
        IdenticalContent, StaleParentVersion, NotFound: see :func:`add_version`.
    """
    if target.dataset is None:
        return create_dataset(session, context, name=target.name or "", upload=upload)
    made_from = None if upload.made_by is None else str(upload.made_by["from"])
    dataset, _ = add_version(
        session,
        context,
        target.dataset,
        upload,
        allow_identical=target.allow_identical,
        parent_label=made_from or target.parent,
        expected=made_from if target.parent is None else None,
    )
    return dataset


def packed_upload(
    context: ProjectContext,
    target: Target,
    parameters: UploadParameters,
    ingested: Ingested,
    spooled: Spooled | None,
) -> Upload:
    """Return an upload with its file cut into parts, reusing parts of the current version."""
    filename = None if spooled is None else safe_filename(parameters.filename or "")
    with disk_space_required():
        before = reusable_files(context, target.dataset)
        packed: dict[str, Packed] = pack_upload(ingested, spooled, filename, before)
    return Upload(
        filename=filename,
        spooled=spooled,
        ingested=ingested,
        message=parameters.message,
        base_model=parameters.base_model,
        max_length=parameters.max_length,
        packed=packed,
    )


async def _parse(
    context: ProjectContext,
    target: Target,
    parameters: UploadParameters,
    spooled: Spooled,
    prefix: Path,
    disconnected: WaitForDisconnect,
) -> Upload:
    """Parse a file and cut it into parts.

    Columns keep the types they have in the parent where the values allow it.
    """
    types = await to_thread.run_sync(previous_column_types, context, target.dataset, target.parent)
    ingested = await ingest(
        spooled.path,
        prefix.with_suffix(".parquet"),
        filename=safe_filename(parameters.filename or ""),
        format=parameters.format,
        disconnected=disconnected,
        reading=parameters.reading,
        previous_types=types,
        project=context.project_uuid,
    )
    return await to_thread.run_sync(packed_upload, context, target, parameters, ingested, spooled)
