"""SELECT statements for the storage that dataset versions use.

In the result columns, ``logical`` counts the bytes of files as they are downloaded. ``charged``
counts each reference to a blob, as the quota does. ``stored`` counts each blob once. ``alone``
counts only blobs that no other version of the project uses. References to blobs by other projects
are not counted.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Row, cast, func, select
from sqlalchemy.orm import Session

from aiplatform.server.core.files import VersionFile
from aiplatform.server.core.storage import PARTS_FOLDER, Blob, BlobRef
from aiplatform.server.datasets.models import Dataset, DatasetVersion


def _references(project_id: int) -> Any:
    """Select each blob of each version once, with the number of versions that use it.

    All versions in the project count, including those in the bin.
    """
    return (
        select(
            BlobRef.dataset_version_id.label("version_id"),
            BlobRef.sha256,
            Blob.size,
            func.count().label("uses"),
            func.count().over(partition_by=BlobRef.sha256).label("versions"),
        )
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .where(BlobRef.project_id == project_id, BlobRef.dataset_version_id.is_not(None))
        .group_by(BlobRef.dataset_version_id, BlobRef.sha256, Blob.size)
        .cte("used")
    )


def _logical() -> Any:
    """Select the size of each version's files in bytes, as downloaded."""
    in_parts = select(VersionFile.dataset_version_id.label("version_id"), VersionFile.size)
    whole = (
        select(BlobRef.dataset_version_id, Blob.size)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .where(BlobRef.dataset_version_id.is_not(None), ~BlobRef.path.startswith(PARTS_FOLDER))
    )
    files = in_parts.union_all(whole).subquery()
    return (
        select(files.c.version_id, _bytes(files.c.size).label("size"))
        .group_by(files.c.version_id)
        .cte("files")
    )


def _bytes(size: Any) -> Any:
    return cast(func.coalesce(func.sum(size), 0), BigInteger)


def storage_by_dataset(session: Session, project_id: int) -> list[Row[Any]]:
    """Return the uuid, name, number of versions and bytes of each dataset, largest first.

    The module's docstring explains the columns ``logical``, ``charged`` and ``stored``.
    """
    used, files = _references(project_id), _logical()
    of_version = (
        select(used.c.version_id, _bytes(used.c.size * used.c.uses).label("charged"))
        .group_by(used.c.version_id)
        .cte("of_version")
    )
    once = (
        select(used.c.sha256, used.c.size, DatasetVersion.dataset_id)
        .join(DatasetVersion, DatasetVersion.id == used.c.version_id)
        .distinct()
        .subquery()
    )
    stored = (
        select(once.c.dataset_id, _bytes(once.c.size).label("size"))
        .group_by(once.c.dataset_id)
        .cte("stored")
    )
    statement = (
        select(
            Dataset.uuid,
            Dataset.name,
            func.count(DatasetVersion.id).label("version_count"),
            _bytes(files.c.size).label("logical"),
            _bytes(of_version.c.charged).label("charged"),
            func.coalesce(func.max(stored.c.size), 0).label("stored"),
        )
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .outerjoin(files, files.c.version_id == DatasetVersion.id)
        .outerjoin(of_version, of_version.c.version_id == DatasetVersion.id)
        .outerjoin(stored, stored.c.dataset_id == Dataset.id)
        .where(Dataset.project_id == project_id)
        .group_by(Dataset.id, Dataset.uuid, Dataset.name)
    )
    rows = session.execute(statement).all()
    return sorted(rows, key=lambda row: (-row.stored, row.name))


def deduplicated_bytes(session: Session, project_id: int) -> int:
    """Return the bytes of a project's datasets outside the bin, counting each blob once."""
    blobs = (
        select(BlobRef.sha256, Blob.size)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .join(DatasetVersion, DatasetVersion.id == BlobRef.dataset_version_id)
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .where(BlobRef.project_id == project_id, Dataset.project_id == project_id)
        .distinct()
        .subquery()
    )
    return int(session.scalar(select(_bytes(blobs.c.size))) or 0)


def storage_by_version(session: Session, project_id: int, dataset: UUID) -> list[Row[Any]]:
    """Return the label and bytes of each version of a dataset, newest first.

    The module's docstring explains the columns ``logical``, ``charged`` and ``alone``.
    """
    used, files = _references(project_id), _logical()
    return list(
        session.execute(
            select(
                DatasetVersion.version,
                func.coalesce(func.max(files.c.size), 0).label("logical"),
                _bytes(used.c.size * used.c.uses).label("charged"),
                cast(
                    func.coalesce(func.sum(used.c.size).filter(used.c.versions == 1), 0),
                    BigInteger,
                ).label("alone"),
            )
            .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
            .outerjoin(used, used.c.version_id == DatasetVersion.id)
            .outerjoin(files, files.c.version_id == DatasetVersion.id)
            .where(Dataset.uuid == dataset, Dataset.project_id == project_id)
            .group_by(DatasetVersion.id, DatasetVersion.version)
            .order_by(DatasetVersion.id.desc())
        ).all()
    )
