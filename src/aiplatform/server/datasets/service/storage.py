"""The parts and storage usage of versions, and garbage collection in the store."""

from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.storage import (
    Collected,
    DatasetStorage,
    StorageReport,
    VersionPart,
    VersionParts,
    VersionStorage,
)
from aiplatform.server.core import audit, garbage_collection
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.queries import storage as storage_queries
from aiplatform.server.identity.access import Principal
from aiplatform.server.projects.access import ProjectContext


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
