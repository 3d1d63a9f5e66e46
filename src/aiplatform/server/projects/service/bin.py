"""The bin: deleted projects, datasets and models stay hidden for a while and can be restored.

All queries select by project. A deleted dataset or model is therefore moved to a hidden project
that nobody can access. A deleted project gets a status that makes guards respond as if the project
did not exist. Rows and files are kept, and count towards quotas, until they are purged.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import structlog
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Conflict, NameTaken
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import BinEntry, Project
from aiplatform.server.projects.rules import days_in_bin, restored_name

log = structlog.get_logger(__name__)
PROJECT = "project"
PURGE_BATCH_SIZE = 100
MAX_NAME_ATTEMPTS = 100
RESTORE_ACTIONS = {
    "dataset": AuditAction.DATASET_RESTORED,
    "model": AuditAction.MODEL_RESTORED,
    PROJECT: AuditAction.PROJECT_RESTORED,
}
PURGE_ACTIONS = {
    "dataset": AuditAction.DATASET_PURGED,
    "model": AuditAction.MODEL_PURGED,
    PROJECT: AuditAction.PROJECT_PURGED,
}


class BinKind(ABC):
    """A higher domain's operations on its resources in the bin; registered at startup."""

    kind: ClassVar[str]
    reads: ClassVar[Permission]
    writes: ClassVar[Permission]

    @abstractmethod
    def restore(self, session: Session, entry: BinEntry, name: str | None) -> str:
        """Move a resource back to its project and return its new name.

        Without ``name``, it gets its old name, or a similar one if that is in use.

        Raises:
            NameTaken: when ``name`` is in use.
        """

    @abstractmethod
    def purge(self, session: Session, entry: BinEntry) -> None:
        """Delete a resource permanently.

        Raises:
            StillUsed: when a resource outside the bin needs it.
        """


_kinds: dict[str, BinKind] = {}


def register_kind(kind: BinKind) -> None:
    """Register the bin operations of a higher domain."""
    _kinds[kind.kind] = kind


def add_entry(
    session: Session,
    actor: Actor,
    *,
    kind: str,
    project_id: int,
    resource_uuid: UUID,
    name: str,
    **columns: Any,
) -> BinEntry:
    """Create the bin entry for a deleted resource; the caller hides the resource itself.

    If the project's bin keeps resources for 0 days, the resource is purged immediately.
    """
    config = session.scalars(select(Project.config).where(Project.id == project_id)).one()
    days = days_in_bin(config, get_settings().bin_days)
    entry = BinEntry(
        kind=kind,
        project_id=project_id,
        resource_uuid=resource_uuid,
        name=name,
        deleted_by=actor.user_id,
        purge_after=queries.time_in_days(session, days),
        **columns,
    )
    session.add(entry)
    session.flush()
    if days == 0:
        purge(session, actor, entry)
    return entry


def restore_under_free_name(
    session: Session, former: str, name: str | None, take: Callable[[str], None], taken: NameTaken
) -> str:
    """Find a free name for a restored resource, move it back under that name and return the name.

    Args:
        session: the caller's session.
        former: the name before the deletion.
        name: the name that the caller asked for; None for the old name or a similar one.
        take: callback that moves the resource back under a name.
        taken: the error to raise if the name is in use.

    Raises:
        NameTaken: when ``name`` is in use, or too many similar names are.
    """
    for attempt in range(1 if name is not None else MAX_NAME_ATTEMPTS):
        wanted = name or (restored_name(former, attempt) if attempt else former)
        try:
            with session.begin_nested():
                take(wanted)
                session.flush()
        except IntegrityError:
            continue
        return wanted
    raise taken


def restore_item(
    session: Session, context: ProjectContext, uuid: UUID, name: str | None
) -> tuple[BinEntry, str]:
    """Restore a dataset or model to its project; return its bin entry and its new name.

    Raises:
        NotFound: when it is not in the project's bin.
        PermissionDenied: without the permission to write resources of this kind.
        NameTaken: when ``name`` is in use.
    """
    entry = _item(session, context, uuid)
    restored = _kinds[entry.kind].restore(session, entry, name)
    _remove_entry(session, context.actor, entry, context.project_uuid, restored)
    return entry, restored


def purge_item(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Delete a dataset or model from the project's bin permanently.

    Raises:
        NotFound, PermissionDenied: as for :func:`restore_item`.
        StillUsed: when a resource outside the bin needs it.
    """
    purge(session, context.actor, _item(session, context, uuid))


def _item(session: Session, context: ProjectContext, uuid: UUID) -> BinEntry:
    entry = queries.lock_bin_entry(session, context.project_id, uuid)
    needed = _kinds[entry.kind].writes
    if not context.may(needed):
        raise PermissionDenied(permission=needed.value)
    if entry.shared and not context.principal.is_superuser:
        raise PermissionDenied(permission="*")
    return entry


def restore_project(
    session: Session, context: ProjectContext, name: str | None
) -> tuple[Project, BinEntry]:
    """Restore a deleted project with all its content; its tasks remain cancelled.

    Raises:
        NotFound: when the project is not, or no longer, in the bin.
        NameTaken: when its owner has a project called ``name``.
    """
    entry = queries.lock_bin_entry(session, context.project_id, context.project_uuid)
    project = session.scalars(
        select(Project)
        .where(Project.id == entry.project_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    project.name = _free_project_name(session, project.owner_id, entry.name, name)
    project.status = entry.was_status or "active"
    session.flush()
    _remove_entry(session, context.actor, entry, project.uuid, project.name)
    return project, entry


def _free_project_name(
    session: Session, owner_id: int | None, before: str, wanted: str | None
) -> str:
    """Return a free name for a restored project: the wanted one, the old one, or a similar one.

    Raises:
        NameTaken: when ``wanted`` is in use.
    """
    if owner_id is None:
        return wanted or before
    queries.lock_names(session, owner_id)
    name, attempt = wanted or before, 0
    while queries.name_in_use(session, owner_id, name):
        if wanted is not None:
            raise NameTaken(resource="project", name=wanted)
        attempt += 1
        name = restored_name(before, attempt)
    return name


def purge_project(session: Session, context: ProjectContext) -> None:
    """Delete a project in the bin permanently, with all its content.

    Raises:
        NotFound: when the project is not, or no longer, in the bin.
        StillUsed: when another project needs one of its resources.
    """
    entry = queries.lock_bin_entry(session, context.project_id, context.project_uuid)
    purge(session, context.actor, entry)


def purge(session: Session, actor: Actor, entry: BinEntry) -> None:
    """Delete the resource of a locked entry completely, or raise an error and change nothing.

    Raises:
        StillUsed: see :meth:`BinKind.purge`.
    """
    project = session.scalar(select(Project.uuid).where(Project.id == entry.project_id))
    audit.record(
        session,
        actor,
        PURGE_ACTIONS[entry.kind],
        entry.kind,
        entry.resource_uuid,
        project=project,
        name=entry.name,
        version=entry.version,
        deleted_at=entry.deleted_at,
    )
    if entry.kind != PROJECT:
        _kinds[entry.kind].purge(session, entry)
    else:
        for item in queries.lock_bin_items(session, entry.project_id):
            purge(session, actor, item)
        session.flush()
        # The schema's foreign keys decide which rows are deleted with it and which are kept.
        gone = delete(Project).where(Project.id == entry.project_id)
        session.execute(gone.execution_options(synchronize_session=False))
    if entry in session:
        # The foreign keys have deleted the entry's row.
        session.expunge(entry)


def purge_overdue() -> int:
    """Purge all overdue resources, each in its own transaction, and return their number.

    If the process dies, committed purges persist, and the next run continues. Resources that are
    still in use remain in the bin and don't prevent others from being purged.
    """
    purged = last = 0
    while True:
        with transaction() as session:
            due = queries.overdue_entries(session, PURGE_BATCH_SIZE, after=last)
        if not due:
            return purged
        for last in due:
            try:
                with transaction() as session:
                    entry = queries.lock_overdue_entry(session, last)
                    if entry is None:
                        continue
                    purge(session, audit.SYSTEM, entry)
            except Conflict as used:
                log.info("not purged yet", entry=last, reason=str(used))
                continue
            purged += 1


def _remove_entry(
    session: Session, actor: Actor, entry: BinEntry, project: UUID, restored: str
) -> None:
    audit.record(
        session,
        actor,
        RESTORE_ACTIONS[entry.kind],
        entry.kind,
        entry.resource_uuid,
        project=project,
        name=restored,
        before=entry.name,
        version=entry.version,
    )
    session.delete(entry)
    session.flush()


def readable_kinds(context: ProjectContext) -> list[str]:
    """Return the kinds of resources that the caller may see in the project's bin."""
    return [kind.kind for kind in _kinds.values() if context.may(kind.reads)]
