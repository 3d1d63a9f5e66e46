"""Artifacts that external runs upload. Artifacts of other tasks are stored when they end."""

from sqlalchemy import delete, func, literal, or_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit, storage
from aiplatform.server.core.errors import InvalidFilePath
from aiplatform.server.core.spool import Spooled, disk_space_required
from aiplatform.server.core.storage import BlobRef, StoredFile
from aiplatform.server.execution.errors import TooManyArtifacts
from aiplatform.server.execution.rules.artifacts import MAX_ARTIFACTS, path_fault
from aiplatform.server.execution.service.external import require_open
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.service import quotas
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.queue import lock


def check_path(path: str) -> None:
    """Refuse a path that no artifact can have.

    Raises:
        InvalidFilePath: with the reason.
    """
    fault = path_fault(path)
    if fault is not None:
        raise InvalidFilePath(path=path[:200], reason=fault.en, reason_zh=fault.zh)


def add_artifact(
    session: Session, context: ProjectContext, task: Task, path: str, spooled: Spooled
) -> StoredFile:
    """Store a file of an external run, replacing an earlier one with the same path.

    Raises:
        NotReportedHere: when a worker runs the task, and so stores its files.
        TaskFinished: when the run has ended, unless it was ended because of its silence.
        InvalidFilePath: when the path is used as a folder by another file, or the reverse.
        TooManyArtifacts: when the run has ``MAX_ARTIFACTS`` files already.
        QuotaExceeded: when the project has no storage left for it.
        InsufficientStorage: when the disk is full.
    """
    task = lock(session, task.id)
    require_open(session, task).renewals += 1
    own = BlobRef.task_id == task.id
    folders = [path[:place] for place, letter in enumerate(path) if letter == "/"]
    clash = or_(BlobRef.path.in_(folders), func.starts_with(BlobRef.path, literal(f"{path}/")))
    if session.scalar(select(BlobRef.id).where(own, clash).limit(1)) is not None:
        raise InvalidFilePath(
            path=path[:200],
            reason="another file of the run uses this path as a folder, or a part of it as a file",
            reason_zh="与该运行的另一文件冲突（同名文件夹）",
        )
    session.execute(delete(BlobRef).where(own, BlobRef.path == path))
    if (session.scalar(select(func.count()).where(own)) or 0) >= MAX_ARTIFACTS:
        raise TooManyArtifacts(limit=MAX_ARTIFACTS)
    file = StoredFile(path, spooled.sha256, spooled.size)
    quotas.charge_storage(session, context.project_id, file.size)
    with disk_space_required():
        storage.store_file(session, spooled.path, file.sha256, file.size, move=True)
    storage.add_reference(session, file, project_id=context.project_id, task_id=task.id)
    audit.record(
        session,
        context.actor,
        AuditAction.TASK_ARTIFACT_UPLOADED,
        "task",
        task.uuid,
        project=context.project_uuid,
        path=path,
        size=file.size,
        sha256=file.sha256,
    )
    session.flush()
    return file
