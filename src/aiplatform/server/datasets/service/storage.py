"""Storage of versions in parts: cut files, store new parts, report usage, collect garbage."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.data.blobs import BlobDamagedError
from aiplatform.data.canonical import row_group_starts
from aiplatform.data.parts import Packed, blob_reader, line_ends, pack, row_group_ends
from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.reading_options import PreviousColumnTypes
from aiplatform.protocol.storage import (
    Collected,
    DatasetStorage,
    StorageReport,
    VersionPart,
    VersionParts,
    VersionStorage,
)
from aiplatform.server.core import audit, garbage_collection
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.spool import Spooled
from aiplatform.server.core.storage import StoredFile, get_store
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersionDetails
from aiplatform.server.datasets.queries import storage as storage_queries
from aiplatform.server.datasets.rules import QUARANTINE_PATH, ROWS_PATH, UPLOAD_FOLDER
from aiplatform.server.datasets.service.ingest import Ingested
from aiplatform.server.identity.access import Principal
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
    """Cut a canonical Parquet file into parts, reusing those of ``before``, and return them.

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


def parts_of(session: Session, context: ProjectContext, uuid: UUID, name: str) -> VersionParts:
    """Return the parts of a version's canonical Parquet file.

    A file that was stored as a whole is a single part.

    Raises:
        NotFound: when there is no such dataset or version.
    """
    dataset = queries.get_dataset(session, context, uuid)
    version = queries.get_version(session, dataset, name)
    file = queries.rows_file(session, version.id)
    if file is None:
        raise NotFound(resource="dataset version")
    parts = [VersionPart(start=p.start, size=p.size, sha256=p.content) for p in file.parts]
    if not parts:
        parts = [VersionPart(start=0, size=file.size, sha256=file.sha256)]
    return VersionParts(
        dataset=dataset.uuid,
        version=version.version,
        file_hash=file.sha256,
        file_size=file.size,
        parts=parts,
    )


def project_report(session: Session, context: ProjectContext) -> StorageReport:
    """Return the storage used by a project's datasets."""
    datasets = [
        DatasetStorage(
            dataset=row.uuid,
            name=row.name,
            logical=row.logical,
            charged=row.charged,
            stored=row.stored,
            version_count=row.version_count,
        )
        for row in storage_queries.storage_by_dataset(session, context.project_id)
    ]
    return StorageReport(
        logical=sum(dataset.logical for dataset in datasets),
        charged=sum(dataset.charged for dataset in datasets),
        stored=storage_queries.deduplicated_bytes(session, context.project_id),
        datasets=datasets,
    )


def dataset_report(session: Session, context: ProjectContext, uuid: UUID) -> DatasetStorage:
    """Return the storage used by a dataset and its versions.

    Raises:
        NotFound: when the project has no such dataset.
    """
    queries.get_dataset(session, context, uuid)
    rows = storage_queries.storage_by_dataset(session, context.project_id)
    found = next(row for row in rows if row.uuid == uuid)
    versions = storage_queries.storage_by_version(session, context.project_id, uuid)
    return DatasetStorage(
        dataset=found.uuid,
        name=found.name,
        logical=found.logical,
        charged=found.charged,
        stored=found.stored,
        version_count=found.version_count,
        versions=[
            VersionStorage(
                version=row.version, logical=row.logical, charged=row.charged, alone=row.alone
            )
            for row in versions
        ],
    )


def collect(session: Session, principal: Principal, *, dry_run: bool) -> Collected:
    """Mark and delete unreferenced blobs; see :mod:`~aiplatform.server.core.garbage_collection`."""
    if dry_run:
        return garbage_collection.preview_collection()
    done = garbage_collection.collect_with_report()
    audit.record(
        session,
        principal.actor,
        AuditAction.STORAGE_COLLECTED,
        "storage",
        marked=done.marked.model_dump(),
        deleted=done.deleted.model_dump(),
    )
    return done
