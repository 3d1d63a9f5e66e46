"""Quotas: a project's limits and usage, and the check that usage stays within them.

Before a transaction increases the usage, it locks a row of the project and counts the usage. It
keeps the lock until it commits, so concurrent requests never jointly exceed the limit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.access import Principal
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries
from aiplatform.server.projects.errors import PriorityTooHigh, QuotaExceeded
from aiplatform.server.projects.models import Project, ProjectQuota, ProjectStorage

STORAGE = {"quota": "storage", "quota_name": "storage (in bytes)", "quota_name_zh": "存储（字节）"}
WARNING_SHARE = 0.9
"""Share of the storage limit at which a project's owner is notified."""

DEFAULT_PRIORITY = 5
"""Default priority of a task; no project's limit can be lower."""

GPUS = {"quota": "gpus", "quota_name": "GPUs", "quota_name_zh": "GPU"}
FREE_SPACE = {
    "remedy": "Delete what is not needed and purge the bin, or ask an administrator for more.",
    "remedy_zh": "请删除不需要的内容并清空回收站，或联系管理员提高配额。",
}
ASK_FOR_LESS = {
    "remedy": "Ask for fewer GPUs, or an administrator for more.",
    "remedy_zh": "请减少申请的 GPU 数量，或联系管理员提高配额。",
}


Limit = TypeVar("Limit", int, int | None)


@dataclass(frozen=True, slots=True)
class Quota:
    """A project's limits; None means no limit.

    The limits are stored bytes, tasks that run at the same time, GPUs that these tasks hold, and
    the highest priority of a task.
    """

    storage_bytes: int | None
    concurrent_tasks: int | None
    gpus: int | None
    max_priority: int


@dataclass(frozen=True, slots=True)
class Usage:
    """A project's limits and current usage."""

    quota: Quota
    stored: queries.StoredBytes
    running_tasks: int
    leased_gpus: int


def quota_of(session: Session, project_id: int) -> Quota:
    """Return the project's own limits, with the platform's defaults where it has none."""
    settings = get_settings()
    own = session.get(ProjectQuota, project_id, populate_existing=True)

    def limit(column: str, default: Limit) -> int | Limit:
        value: int | None = None if own is None else getattr(own, column)
        return default if value is None else value

    return Quota(
        storage_bytes=limit("storage_bytes", settings.quota_storage_bytes),
        concurrent_tasks=limit("concurrent_tasks", settings.quota_tasks),
        gpus=limit("gpus", settings.quota_gpus),
        max_priority=limit("max_priority", settings.quota_priority),
    )


def running(session: Session, project_id: int) -> tuple[int, int]:
    """Return the number of the project's running tasks, and of the GPUs that they hold."""
    return queries.running_usage(session, project_id)


def usage_of(session: Session, project_id: int) -> Usage:
    """Return the project's limits and usage."""
    tasks, gpus = running(session, project_id)
    return Usage(
        quota_of(session, project_id), queries.stored_bytes(session, project_id), tasks, gpus
    )


def lock_storage(session: Session, project_id: int) -> None:
    """Lock the project's storage, so that no other transaction stores more at the same time."""
    locked = (
        select(ProjectStorage.project_id)
        .where(ProjectStorage.project_id == project_id)
        .with_for_update()
    )
    if session.scalar(locked) is None:
        row = insert(ProjectStorage).values(project_id=project_id)
        session.execute(row.on_conflict_do_nothing(index_elements=[ProjectStorage.project_id]))
        session.execute(locked)


def check_storage_available(session: Session, project_id: int, size: int) -> None:
    """Reject an upload before its bytes are sent if :func:`charge_storage` would reject it later.

    Raises:
        QuotaExceeded: when ``size`` more bytes exceed the quota, or the quota is used up.
    """
    _check_storage(session, project_id, max(size, 1))


def charge_storage(session: Session, project_id: int | None, asked: int) -> None:
    """Check that ``asked`` more bytes fit into a project's quota, and lock its storage.

    Call this before you add references to blobs. Until the transaction ends, no other transaction
    can add any. Without a project, nothing is charged.

    Raises:
        QuotaExceeded: when they exceed the quota.
    """
    if project_id is None or quota_of(session, project_id).storage_bytes is None:
        return
    lock_storage(session, project_id)
    used = _check_storage(session, project_id, asked)
    _warn_if_nearly_full(
        session, project_id, used, used + asked, quota_of(session, project_id).storage_bytes
    )


@contextmanager
def charge_added_storage(session: Session, project_id: int, *, at_least: int = 0) -> Iterator[None]:
    """Charge for blob references that the ``with`` block adds, if their size isn't known yet.

    Raises:
        QuotaExceeded: when the added bytes exceed the quota. It is raised before the block if
            ``at_least`` bytes already exceed it.
    """
    limit = quota_of(session, project_id).storage_bytes
    if limit is None:
        yield
        return
    lock_storage(session, project_id)
    before = queries.stored_bytes(session, project_id).total
    if before + at_least > limit:
        raise _storage_exceeded(limit, before, at_least)
    yield
    session.flush()
    total = queries.stored_bytes(session, project_id).total
    if total > limit:
        raise _storage_exceeded(limit, before, total - before)
    _warn_if_nearly_full(session, project_id, before, total, limit)


def _check_storage(session: Session, project_id: int, asked: int) -> int:
    """Return the bytes in use; 0 if there is no limit.

    Raises:
        QuotaExceeded: when ``asked`` more bytes exceed the quota.
    """
    limit = quota_of(session, project_id).storage_bytes
    if limit is None:
        return 0
    used = queries.stored_bytes(session, project_id).total
    if used + asked > limit:
        raise _storage_exceeded(limit, used, asked)
    return used


def _warn_if_nearly_full(
    session: Session, project_id: int, before: int, after: int, limit: int | None
) -> None:
    """Notify the owner once when storage passes :data:`WARNING_SHARE` of the limit."""
    if limit is None or not before < WARNING_SHARE * limit <= after:
        return
    project = session.get_one(Project, project_id)
    announce(
        session,
        NotificationType.QUOTA_NEAR,
        to=[project.owner_id],
        project=project.uuid,
        project_name=project.name,
        quota=STORAGE["quota_name"],
        quota_zh=STORAGE["quota_name_zh"],
        used=after,
        limit=limit,
    )


def _storage_exceeded(limit: int, used: int, asked: int) -> QuotaExceeded:
    return QuotaExceeded(limit=limit, used=used, asked=asked, **STORAGE, **FREE_SPACE)


def require_gpus(session: Session, project_id: int, asked: int) -> None:
    """Reject a task that could never run because it needs more GPUs than the project may hold.

    Raises:
        QuotaExceeded: when the quota is less than ``asked``.
    """
    limit = quota_of(session, project_id).gpus
    if asked and limit is not None and asked > limit:
        _, used = queries.running_usage(session, project_id)
        raise QuotaExceeded(limit=limit, used=used, asked=asked, **GPUS, **ASK_FOR_LESS)


def require_priority(session: Session, project_id: int, asked: int) -> None:
    """Refuse a priority above the project's limit, which is never below the default priority.

    Raises:
        PriorityTooHigh: its message names the limit and who can raise it.
    """
    if asked <= DEFAULT_PRIORITY:
        return
    limit = quota_of(session, project_id).max_priority
    if asked > limit:
        raise PriorityTooHigh(limit=limit, asked=asked)


def may_start(session: Session, project_id: int, gpus: int) -> bool:
    """Return True if another task with ``gpus`` GPUs may run; lock the project's usage row."""
    quota = quota_of(session, project_id)
    if quota.concurrent_tasks is None and quota.gpus is None:
        return True
    started, held = queries.lock_running_usage(session, project_id)
    if quota.concurrent_tasks is not None and started >= quota.concurrent_tasks:
        return False
    return quota.gpus is None or gpus == 0 or held + gpus <= quota.gpus


def may_hold(session: Session, project_id: int, gpus: int) -> bool:
    """Return True if a running task may get ``gpus`` more GPUs; lock the project's usage row."""
    limit = quota_of(session, project_id).gpus
    return limit is None or queries.lock_running_usage(session, project_id)[1] + gpus <= limit


def set_quota(session: Session, principal: Principal, uuid: UUID, limits: dict[str, Any]) -> Usage:
    """Set a project's own limits; None means the platform's default. Current usage is not reduced.

    Raises:
        NotFound: for a project that does not exist.
    """
    project = session.scalar(select(Project).where(Project.uuid == uuid, queries.not_in_bin))
    if project is None:
        raise NotFound(resource="project")
    before = session.get(ProjectQuota, project.id)
    old = {key: None if before is None else getattr(before, key) for key in limits}
    values = {**limits, "updated_by": principal.user_id}
    row = insert(ProjectQuota).values(project_id=project.id, **values)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[ProjectQuota.project_id],
            set_={**values, "updated_at": func.clock_timestamp()},
        )
    )
    session.expire_all()
    audit.record(
        session,
        principal.actor,
        AuditAction.PROJECT_QUOTA_CHANGED,
        "project",
        uuid,
        project=uuid,
        before=old,
        after=limits,
    )
    return usage_of(session, project.id)
