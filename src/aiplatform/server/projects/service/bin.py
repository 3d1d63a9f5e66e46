"""The bin: what was deleted stays for a while, out of sight, and can be restored.

Everything is selected by its project, so a deleted dataset or model is moved to the project that
the bin is, which nobody can enter, and a deleted project gets a status that no guard lets through.
Its row, its files and what they count for stay until it is purged.
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
PURGED_AT_ONCE = 100
NAMES_TRIED = 100
RESTORED = {
    "dataset": AuditAction.DATASET_RESTORED,
    "model": AuditAction.MODEL_RESTORED,
    PROJECT: AuditAction.PROJECT_RESTORED,
}
PURGED = {
    "dataset": AuditAction.DATASET_PURGED,
    "model": AuditAction.MODEL_PURGED,
    PROJECT: AuditAction.PROJECT_PURGED,
}


class BinKind(ABC):
    """What a higher domain does with its own things in the bin; registered by compositions."""

    kind: ClassVar[str]
    reads: ClassVar[Permission]
    writes: ClassVar[Permission]

    @abstractmethod
    def restore(self, session: Session, entry: BinEntry, name: str | None) -> str:
        """Move it back to where it came from. Returns what it is called now.

        Without a ``name`` it gets its own, or one like it when that was given away.

        Raises:
            NameTaken: when ``name`` is in use.
        """

    @abstractmethod
    def purge(self, session: Session, entry: BinEntry) -> None:
        """Delete it for good.

        Raises:
            StillUsed: when something that is not in the bin stands on it.
        """


_kinds: dict[str, BinKind] = {}


def register_kind(kind: BinKind) -> None:
    """Let a higher domain's things be restored and purged."""
    _kinds[kind.kind] = kind


def put(
    session: Session,
    actor: Actor,
    *,
    kind: str,
    project_id: int,
    resource_uuid: UUID,
    name: str,
    **columns: Any,
) -> BinEntry:
    """Note what was deleted and until when it can be restored; the caller moves it out of sight."""
    config = session.scalars(select(Project.config).where(Project.id == project_id)).one()
    days = days_in_bin(config, get_settings().bin_days)
    entry = BinEntry(
        kind=kind,
        project_id=project_id,
        resource_uuid=resource_uuid,
        name=name,
        deleted_by=actor.user_id,
        purge_after=queries.after_days(session, days),
        **columns,
    )
    session.add(entry)
    session.flush()
    if days == 0:
        purge(session, actor, entry)
    return entry


def free_name(
    session: Session, former: str, name: str | None, take: Callable[[str], None], taken: NameTaken
) -> str:
    """Give what is restored ``name``, or its former one, or one like that; returns which.

    Args:
        session: the caller's.
        former: what it was called.
        name: what somebody asks it to be called.
        take: moves it to where it came from, under a name.
        taken: says that the name is in use.

    Raises:
        NameTaken: when ``name`` is in use, or so many like the former one are.
    """
    for attempt in range(1 if name is not None else NAMES_TRIED):
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
    """Bring a dataset or model back into its project. Returns its former entry and its name.

    Raises:
        NotFound: when it is not in the project's bin.
        PermissionDenied: for those who may not write what it is.
        NameTaken: when ``name`` is in use.
    """
    entry = _item(session, context, uuid)
    restored = _kinds[entry.kind].restore(session, entry, name)
    _forget(session, context.actor, entry, context.project_uuid, restored)
    return entry, restored


def purge_item(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Delete a dataset or model from the project's bin for good.

    Raises:
        NotFound, PermissionDenied: as for :func:`restore_item`.
        StillUsed: when something stands on it.
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
    """Bring a deleted project back with all that was in it; its tasks stay cancelled.

    Raises:
        NotFound: when it is not in the bin (any more).
        NameTaken: when its owner has a project called ``name``.
    """
    entry = queries.lock_bin_entry(session, context.project_id, context.project_uuid)
    project = session.scalars(
        select(Project)
        .where(Project.id == entry.project_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one()
    project.name = _free_name(session, project.owner_id, entry.name, name)
    project.status = entry.was_status or "active"
    session.flush()
    _forget(session, context.actor, entry, project.uuid, project.name)
    return project, entry


def _free_name(session: Session, owner_id: int | None, before: str, wanted: str | None) -> str:
    """What a project that comes back is called: as ``wanted``, as before, or much like it.

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
    """Delete a project in the bin for good, with all that belongs to it.

    Raises:
        NotFound: when it is not in the bin (any more).
        StillUsed: when something of another project stands on it.
    """
    entry = queries.lock_bin_entry(session, context.project_id, context.project_uuid)
    purge(session, context.actor, entry)


def purge(session: Session, actor: Actor, entry: BinEntry) -> None:
    """Delete what a locked entry stands for, in this transaction: all of it, or nothing.

    Raises:
        StillUsed: see :meth:`BinKind.purge`.
    """
    project = session.scalar(select(Project.uuid).where(Project.id == entry.project_id))
    audit.record(
        session,
        actor,
        PURGED[entry.kind],
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
        # The schema's own foreign keys decide what goes with it and what is only let go.
        gone = delete(Project).where(Project.id == entry.project_id)
        session.execute(gone.execution_options(synchronize_session=False))
    if entry in session:
        # The foreign keys have taken its row.
        session.expunge(entry)


def purge_overdue() -> int:
    """Purge what has been in the bin for its time, each in a transaction. Returns how many.

    A process that dies at it has purged what it had committed, and the next one goes on. What is
    still used stays, however long, and keeps nothing else from going.
    """
    purged = last = 0
    while True:
        with transaction() as session:
            due = queries.overdue(session, PURGED_AT_ONCE, after=last)
        if not due:
            return purged
        for last in due:
            try:
                with transaction() as session:
                    entry = queries.lock_overdue(session, last)
                    if entry is None:
                        continue
                    purge(session, audit.SYSTEM, entry)
            except Conflict as used:
                log.info("not purged yet", entry=last, reason=str(used))
                continue
            purged += 1


def _forget(session: Session, actor: Actor, entry: BinEntry, project: UUID, restored: str) -> None:
    audit.record(
        session,
        actor,
        RESTORED[entry.kind],
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
    """The kinds that the context may see in the project's bin."""
    return [kind.kind for kind in _kinds.values() if context.may(kind.reads)]
