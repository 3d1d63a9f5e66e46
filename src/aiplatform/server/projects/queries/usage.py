"""Statements for a project's stored bytes and running tasks."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from aiplatform.server.core.storage import Blob, BlobRef
from aiplatform.server.projects.models import (
    BinEntry,
    ProjectUsage,
)
from aiplatform.server.projects.queries.bin import VERSIONS


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """A project's stored bytes by kind. Content that is stored once but used twice counts twice."""

    datasets: int
    models: int
    checkpoints: int
    artifacts: int
    bin: int

    @property
    def total(self) -> int:
        """The sum of all kinds, which the storage quota limits."""
        return self.datasets + self.models + self.checkpoints + self.artifacts + self.bin


def stored_bytes(session: Session, project_id: int) -> StoredBytes:
    """Return the project's stored bytes by kind."""
    of_dataset, of_model = aliased(BinEntry), aliased(BinEntry)
    binned = or_(of_dataset.id.is_not(None), of_model.id.is_not(None))

    def total(condition: Any) -> Any:
        return func.coalesce(func.sum(Blob.size).filter(condition), 0)

    row = session.execute(
        select(
            total(and_(BlobRef.dataset_version_id.is_not(None), ~binned)),
            total(and_(BlobRef.model_id.is_not(None), ~binned)),
            total(BlobRef.checkpoint_id.is_not(None)),
            total(or_(BlobRef.task_id.is_not(None), BlobRef.bundle_id.is_not(None))),
            total(binned),
        )
        .select_from(BlobRef)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .outerjoin(VERSIONS.table, VERSIONS.c.id == BlobRef.dataset_version_id)
        .outerjoin(of_dataset, of_dataset.dataset_id == VERSIONS.c.dataset_id)
        .outerjoin(of_model, of_model.model_id == BlobRef.model_id)
        .where(BlobRef.project_id == project_id)
    ).one()
    return StoredBytes(*(int(value) for value in row))


def running_usage(session: Session, project_id: int) -> tuple[int, int]:
    """Return the number of the project's running tasks and of the GPUs that they hold."""
    row = session.execute(
        select(ProjectUsage.running, ProjectUsage.gpus).where(ProjectUsage.project_id == project_id)
    ).one_or_none()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def lock_running_usage(session: Session, project_id: int) -> tuple[int, int]:
    """Lock and return the project's :func:`running_usage`.

    No task of the project starts or ends until the commit.
    """
    row = insert(ProjectUsage).values(project_id=project_id)
    session.execute(row.on_conflict_do_nothing(index_elements=["project_id"]))
    locked = select(ProjectUsage.project_id).where(ProjectUsage.project_id == project_id)
    session.execute(locked.with_for_update())
    return running_usage(session, project_id)
