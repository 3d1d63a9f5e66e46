"""Statements for the bin, which holds deleted projects, datasets and models."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, case, exists, false, func, or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.database import AdvisoryLock
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import Blob, BlobRef
from aiplatform.server.core.views import View
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import Role, User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import (
    BinEntry,
    BinHome,
    Project,
    ProjectPermission,
)
from aiplatform.server.projects.rules import DELETED

VERSIONS = View("versions", "id", "dataset_id")
"""Columns of dataset versions, published by the domain ``datasets``."""


def bin_home(session: Session) -> int:
    """Return the id of the project that holds deleted datasets and models; create it if needed."""
    found: int | None = session.scalar(select(BinHome.project_id))
    if found is not None:
        return found
    session.execute(select(func.pg_advisory_xact_lock(int(AdvisoryLock.BIN))))
    found = session.scalar(select(BinHome.project_id))
    if found is None:
        home = Project(
            name="bin",
            description="Holds deleted datasets and models. Do not change.",
            status=DELETED,
        )
        session.add(home)
        session.flush()
        session.add(BinHome(project_id=home.id))
        session.flush()
        found = home.id
    return found


def _stored(*conditions: Any) -> Any:
    return (
        select(func.coalesce(func.sum(Blob.size), 0))
        .select_from(BlobRef)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .outerjoin(VERSIONS.table, VERSIONS.c.id == BlobRef.dataset_version_id)
        .where(*conditions)
        .correlate(BinEntry)
        .scalar_subquery()
    )


def _bytes() -> Any:
    return case(
        (BinEntry.kind == "dataset", _stored(VERSIONS.c.dataset_id == BinEntry.dataset_id)),
        (BinEntry.kind == "model", _stored(BlobRef.model_id == BinEntry.model_id)),
        else_=_stored(BlobRef.project_id == BinEntry.project_id),
    ).label("bytes")


def list_bin_entries(context: ProjectContext, kinds: list[str]) -> Select[*tuple[Any, ...]]:
    """Return a statement for the project's deleted resources.

    Each has its size in bytes and the user who deleted it.
    """
    return (
        select(BinEntry, _bytes(), User)
        .outerjoin(User, User.id == BinEntry.deleted_by)
        .where(BinEntry.project_id == context.project_id, BinEntry.kind.in_(kinds))
    )


def list_binned_projects(principal: Principal) -> Select[*tuple[Any, ...]]:
    """Return a statement for the deleted projects that the principal may restore.

    Each has its size in bytes and the user who deleted it.
    """
    statement = (
        select(BinEntry, _bytes(), User)
        .join(Project, Project.id == BinEntry.project_id)
        .outerjoin(User, User.id == BinEntry.deleted_by)
        .where(BinEntry.kind == "project")
    )
    if not principal.in_scope(Permission.PROJECTS_READ):
        return statement.where(false())
    if principal.key is not None and principal.key.project_id is not None:
        statement = statement.where(Project.id == principal.key.project_id)
    if principal.reaches_all_projects:
        return statement
    holds_everything = exists().where(
        ProjectPermission.project_id == Project.id,
        ProjectPermission.user_id == principal.user_id,
        Role.id == ProjectPermission.role_id,
        Role.permissions.has_any(array([WILDCARD])),
    )
    return statement.where(or_(Project.owner_id == principal.user_id, holds_everything))


def lock_bin_entry(session: Session, project_id: int, uuid: UUID) -> BinEntry:
    """Lock and return an entry in the project's bin, before it is restored or purged.

    Raises:
        NotFound: when the entry is not, or no longer, in the bin.
    """
    entry = session.scalar(
        select(BinEntry)
        .where(BinEntry.resource_uuid == uuid, BinEntry.project_id == project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if entry is None:
        raise NotFound(resource="bin item")
    return entry


def lock_bin_items(session: Session, project_id: int) -> Sequence[BinEntry]:
    """Lock the datasets and models that the project deleted before it was deleted itself."""
    return session.scalars(
        select(BinEntry)
        .where(BinEntry.project_id == project_id, BinEntry.kind != "project")
        .order_by(BinEntry.id)
        .with_for_update()
    ).all()


def overdue_entries(session: Session, limit: int, *, after: int = 0) -> Sequence[int]:
    """Return the ids of entries to purge now: those above ``after``, in ascending order."""
    return session.scalars(
        select(BinEntry.id)
        .where(BinEntry.purge_after <= func.clock_timestamp(), BinEntry.id > after)
        .order_by(BinEntry.id)
        .limit(limit)
    ).all()


def lock_overdue_entry(session: Session, entry_id: int) -> BinEntry | None:
    """Lock one of the entries from :func:`overdue_entries` and return it.

    Return None if another process has locked or purged it.
    """
    return session.scalar(
        select(BinEntry)
        .where(BinEntry.id == entry_id, BinEntry.purge_after <= func.clock_timestamp())
        .with_for_update(skip_locked=True)
    )


def time_in_days(session: Session, days: int) -> datetime:
    """Return the time ``days`` days from now, by the database's clock."""
    later: datetime = session.scalars(select(func.clock_timestamp() + timedelta(days=days))).one()
    return later
