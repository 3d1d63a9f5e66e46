"""SELECT statements for tasks' artifacts."""

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import clean_text
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import Blob, BlobRef, StoredFile
from aiplatform.server.execution.rules import Cores


def artifacts_after(session: Session, task_id: int, path: str, *, limit: int) -> list[StoredFile]:
    """Return a task's files whose paths come after ``path``, sorted by path."""
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
        NotFound: the task has no such file.
    """
    row = session.execute(
        select(BlobRef.path, Blob.sha256, Blob.size)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .where(BlobRef.task_id == task_id, BlobRef.path == clean_text(path))
    ).one_or_none()
    if row is None:
        raise NotFound(resource="artifact")
    return StoredFile(*row)


_CORES = text("""
SELECT w.cpus AS total, h.cpus AS own,
       COALESCE((
           SELECT sum(o.cpus) FROM held_leases o
           WHERE o.worker_id = h.worker_id AND o.task_id <> h.task_id
       ), 0) AS others
FROM held_leases h JOIN workers w ON w.id = h.worker_id
WHERE h.task_id = :task_id AND h.fence = :fence
LIMIT 1
""")


def cores_of(session: Session, task_id: int, fence: int) -> Cores | None:
    """Return the cores of the worker that runs an attempt; None if the attempt holds no lease."""
    row = session.execute(_CORES, {"task_id": task_id, "fence": fence}).one_or_none()
    return None if row is None else Cores(float(row.total), float(row.own), float(row.others))
