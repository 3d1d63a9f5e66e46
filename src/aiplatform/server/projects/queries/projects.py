"""Statements for projects."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, exists, false, literal, or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import Role, User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import (
    Project,
    ProjectPermission,
)
from aiplatform.server.projects.rules import DELETED

not_in_bin = Project.status.is_distinct_from(DELETED)
"""Condition for projects that are not in the bin, including those with a null status."""


_READERS = array([WILDCARD, f"projects:{WILDCARD}", Permission.PROJECTS_READ.value])


def uuid_of(session: Session, project_id: int | None) -> UUID | None:
    """Return the uuid of a project, or None if there is no such project."""
    return session.scalar(select(Project.uuid).where(Project.id == project_id))


def visible_projects(
    principal: Principal, *, name: str | None = None, status: str | None = None
) -> Select[*tuple[Any, ...]]:
    """Select the projects that the principal may see.

    Each row has the owner (or None), and True if the principal may read the project. An API key for
    one project may see that project as long as the key's owner is a member, whatever its scopes,
    because programs know the project's name and need its uuid. To read more, the key needs the
    permission.

    Args:
        principal: the caller.
        name: a part of the project's name, ignoring case.
        status: the status that the projects must have.
    """
    grant = and_(
        ProjectPermission.project_id == Project.id,
        ProjectPermission.user_id == principal.user_id,
        Role.id == ProjectPermission.role_id,
    )
    mine = Project.owner_id == principal.user_id
    in_scope = principal.in_scope(Permission.PROJECTS_READ)
    everywhere = literal(principal.reaches_all_projects)
    reads = or_(everywhere, mine, exists().where(grant, Role.permissions.has_any(_READERS)))
    readable = and_(literal(in_scope), reads)
    statement = (
        select(Project, User, readable.label("readable"))
        .outerjoin(User, User.id == Project.owner_id)
        .where(not_in_bin)
    )
    if principal.key is not None and principal.key.project_id is not None:
        is_in = or_(everywhere, mine, exists().where(grant))
        statement = statement.where(Project.id == principal.key.project_id, is_in)
    elif not in_scope:
        statement = statement.where(false())
    elif not principal.reaches_all_projects:
        statement = statement.where(reads)
    if name is not None:
        statement = statement.where(Project.name.icontains(name, autoescape=True))
    if status is not None:
        statement = statement.where(Project.status == status)
    return statement


def get_project(
    session: Session, context: ProjectContext, *, lock: bool = False
) -> tuple[Project, User | None]:
    """Return the context's project and its owner; with ``lock``, locked for the transaction.

    Raises:
        NotFound: when the project was deleted after the guard checked access.
    """
    statement = (
        select(Project, User)
        .outerjoin(User, User.id == Project.owner_id)
        .where(Project.id == context.project_id, not_in_bin)
    )
    if lock:  # as in :func:`lock_project`
        statement = statement.with_for_update(of=Project, key_share=True)
    row = session.execute(statement.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound(resource="project")
    return row[0], row[1]


def name_in_use(
    session: Session, owner_id: int | None, name: str, *, excluding: UUID | None = None
) -> bool:
    """Return True if the owner has a project with this name, other than ``excluding``.

    Names of projects in the bin don't count.
    """
    named = exists().where(Project.owner_id == owner_id, Project.name == name, not_in_bin)
    if excluding is not None:
        named = named.where(Project.uuid != excluding)
    return bool(session.scalar(select(named)))


def lock_names(session: Session, owner_id: int) -> None:
    """Lock the names of an owner's projects against changes by other transactions."""
    session.execute(select(User.id).where(User.id == owner_id).with_for_update(key_share=True))


def reachable_project(session: Session, principal: Principal, uuid: UUID) -> int:
    """Return the id of a project in which the principal has permissions; keep it from deletion.

    Raises:
        NotFound: for any other project.
    """
    statement = select(Project.id).where(Project.uuid == uuid, not_in_bin)
    if not principal.reaches_all_projects:
        member = exists().where(
            ProjectPermission.project_id == Project.id,
            ProjectPermission.user_id == principal.user_id,
        )
        statement = statement.where(or_(Project.owner_id == principal.user_id, member))
    found = session.scalar(statement.with_for_update(read=True, key_share=True))
    if found is None:
        raise NotFound(resource="project")
    return found


def lock_project(session: Session, project_id: int) -> Project:
    """Lock a project against other changes, but not against new rows that refer to it.

    A transaction that ends a project's tasks holds this lock while workers that finish those tasks
    write such rows. A stronger lock would cause a deadlock.

    Raises:
        NotFound: when the project has since been deleted.
    """
    project = session.scalar(
        select(Project)
        .where(Project.id == project_id, not_in_bin)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if project is None:
        raise NotFound(resource="project")
    return project
