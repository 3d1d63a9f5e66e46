"""Cutting a version's files into parts, so that only new parts are stored."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.data.blobs import BlobDamagedError
from aiplatform.data.canonical import row_group_starts
from aiplatform.data.parts import Packed, blob_reader, line_ends, pack, row_group_ends
from aiplatform.protocol.reading_options import PreviousColumnTypes
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.spool import Spooled
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersionDetails
from aiplatform.server.datasets.rules import QUARANTINE_PATH, ROWS_PATH, UPLOAD_FOLDER
from aiplatform.server.datasets.service.ingest import Ingested
from aiplatform.server.projects.access import ProjectContext


@dataclass(frozen=True, slots=True)
class ReusableFiles:
    """The files of the previous version, whose parts can be reused."""

    rows: StoredFile | None = None
    upload: StoredFile | None = None


def reusable_files(context: ProjectContext, dataset: UUID | None) -> ReusableFiles:
    """Return the files of a dataset's current version."""
    if dataset is None:
        return ReusableFiles()
    with transaction() as session:
        version = queries.current_version(session, queries.get_dataset(session, context, dataset))
        if version is None:
            return ReusableFiles()
        return ReusableFiles(
            queries.rows_file(session, version.id), queries.upload_file(session, version.id)
        )


def previous_column_types(
    context: ProjectContext, dataset: UUID | None, parent: str | None
) -> PreviousColumnTypes | None:
    """Return the column types of a version, by default the current one.

    The result is None if there is no such version; the commit decides whether that is an error.
    """
    if dataset is None:
        return None
    with transaction() as session:
        head = queries.get_dataset(session, context, dataset)
        return column_types_of(session, head, parent)


def column_types_of(
    session: Session, dataset: Dataset, parent: str | None
) -> PreviousColumnTypes | None:
    """Return the column types of a version; see :func:`previous_column_types`."""
    try:
        version = queries.get_version(session, dataset, parent or dataset.version)
    except NotFound:
        return None
    details = session.get(DatasetVersionDetails, version.id)
    types = {
        str(column["name"]): str(column["type"])
        for column in ([] if details is None else details.columns)
        if isinstance(column, dict)
    }
    named = queries.named_types(session, version)
    return PreviousColumnTypes(
        types=types, named={n: label for n, label in named.items() if types.get(n, label) == label}
    )


def pack_rows(rows: Ingested, before: StoredFile | None) -> Packed:
    """Return the parts of the canonical Parquet file.

    Raises:
        BlobDamagedError: the file has changed since it was written.
    """
    ends = row_group_ends(row_group_starts(rows.path), rows.size)
    packed = _pack(rows.path, ends, before)
    if packed.sha256 != rows.sha256:
        raise BlobDamagedError(f"{rows.path} has the hash {packed.sha256}, not {rows.sha256}")
    return packed


def pack_upload(
    rows: Ingested, raw: Spooled | None, filename: str | None, before: ReusableFiles
) -> dict[str, Packed]:
    """Return the parts of the rows, the uploaded file and the unreadable rows, by path."""
    with ThreadPoolExecutor(1, thread_name_prefix="pack") as pool:
        uploaded = None
        if raw is not None:
            uploaded = pool.submit(lambda: _pack(raw.path, line_ends(raw.path), before.upload))
        packed = {ROWS_PATH: pack_rows(rows, before.rows)}
        if uploaded is not None:
            packed[f"{UPLOAD_FOLDER}{filename}"] = uploaded.result()
    if rows.quarantine is not None:
        packed[QUARANTINE_PATH] = _pack(rows.quarantine, line_ends(rows.quarantine), None)
    return packed


def _pack(path: Path, ends: Iterable[int], before: StoredFile | None) -> Packed:
    parts = () if before is None else before.parts
    return pack(path, ends, path, known=parts, read=blob_reader(get_store()))
