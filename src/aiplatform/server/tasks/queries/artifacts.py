"""SELECT statements for the artifacts of tasks."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import Blob, BlobRef, StoredFile


def artifacts_after(session: Session, task_id: int, path: str, *, limit: int) -> list[StoredFile]:
    """Return a task's files whose path follows ``path``, sorted by path."""
    rows = session.execute(
        select(BlobRef.path, Blob.sha256, Blob.size)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .where(BlobRef.task_id == task_id, BlobRef.path > clean_text(path))
        .order_by(BlobRef.path)
        .limit(limit)
    )
    return [StoredFile(*row) for row in rows]


def get_artifact(session: Session, task_id: int, path: str) -> StoredFile:
    """Return the task's file with this path.

    Raises:
        NotFound: when the task has no such file.
    """
    row = session.execute(
        select(BlobRef.path, Blob.sha256, Blob.size)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .where(BlobRef.task_id == task_id, BlobRef.path == clean_text(path))
    ).one_or_none()
    if row is None:
        raise NotFound(resource="artifact")
    return StoredFile(*row)
