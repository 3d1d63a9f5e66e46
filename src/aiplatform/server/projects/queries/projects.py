"""SELECT statements for projects, members and keys, limited to what a principal may see."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, exists, false, func, literal, or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import ApiKey, Role, User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.projects.rules import DELETED

not_in_bin = Project.status.is_distinct_from(DELETED)
"""Condition for projects that are not in the bin, including those with a null status."""

_READERS = array([WILDCARD, f"projects:{WILDCARD}", Permission.PROJECTS_READ.value])


def visible_projects(
    principal: Principal, *, name: str | None = None, status: str | None = None
) -> Select[*tuple[Any, ...]]:
    """Select the projects that the principal may see.

    Each has its owner (or None), and True if the principal may read the project. An API key for one
    project sees that project while the key's owner is a member, whatever its scopes: programs know
    the project's name and need its uuid. To read more, the key needs the permission.

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
        NotFound: when it was deleted after the guard saw it.
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


def list_members(context: ProjectContext) -> Select[*tuple[Any, ...]]:
    """Return a statement for the project's members: role grants, each with user and role."""
    return (
        select(ProjectPermission, User, Role)
        .join(User, User.id == ProjectPermission.user_id)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(ProjectPermission.project_id == context.project_id)
    )


def get_grant(
    session: Session, context: ProjectContext, user_id: int, *, lock: bool = True
) -> tuple[ProjectPermission, Role] | None:
    """Return a user's role in the project, locked by default, or None if the user has none."""
    statement = (
        select(ProjectPermission, Role)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(
            ProjectPermission.project_id == context.project_id,
            ProjectPermission.user_id == user_id,
        )
    )
    if lock:
        statement = statement.with_for_update(of=ProjectPermission)
    row = session.execute(statement).one_or_none()
    return None if row is None else (row[0], row[1])


class KeyRow(NamedTuple):
    """An API key with its owner, and the uuid of its project if it is limited to one."""

    key: ApiKey
    owner: User
    project: UUID | None


def list_keys(owner: User, *, revoked: bool = False) -> Select[*tuple[Any, ...]]:
    """Return a statement for the keys of an account, as :class:`KeyRow`.

    Revoked keys are only included if ``revoked`` is true.
    """
    statement = (
        select(ApiKey, User, Project.uuid)
        .join(User, User.id == ApiKey.user_id)
        .outerjoin(Project, Project.id == ApiKey.project_id)
        .where(ApiKey.user_id == owner.id)
    )
    return statement if revoked else statement.where(ApiKey.revoked_at.is_(None))


def get_key(session: Session, owner: User, uuid: UUID, *, lock: bool = False) -> KeyRow:
    """Return a key of an account.

    Raises:
        NotFound: when the account has no key with that uuid.
    """
    statement = list_keys(owner, revoked=True).where(ApiKey.uuid == uuid)
    if lock:
        statement = statement.with_for_update(of=ApiKey, key_share=True)
    row = session.execute(statement.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound(resource="API key")
    return KeyRow(*row)


def unrevoked_keys(session: Session, user_id: int) -> Sequence[tuple[ApiKey, bool]]:
    """Return an account's keys that are not revoked, each with True if it has expired."""
    expired = func.coalesce(ApiKey.expires_at <= func.clock_timestamp(), False)
    rows = session.execute(
        select(ApiKey, expired).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    )
    return [(row[0], row[1]) for row in rows]


def project_grants(
    session: Session, principal: Principal, project_id: int | None
) -> Sequence[tuple[bool, list[str] | None]]:
    """Return the principal's rights in each of their projects, or in the given one.

    Each item contains True if the principal owns the project, and the permissions of their role in
    it, or None without a role.
    """
    statement = (
        select(
            func.coalesce(Project.owner_id == principal.user_id, False),
            Role.permissions,
        )
        .outerjoin(
            ProjectPermission,
            and_(
                ProjectPermission.project_id == Project.id,
                ProjectPermission.user_id == principal.user_id,
            ),
        )
        .outerjoin(Role, Role.id == ProjectPermission.role_id)
    )
    if project_id is not None:
        statement = statement.where(Project.id == project_id)
    else:
        mine = Project.owner_id == principal.user_id
        statement = statement.where(or_(mine, ProjectPermission.id.is_not(None))).distinct()
    return [(row[0], row[1]) for row in session.execute(statement)]


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

    A transaction that ends the tasks of a project holds this lock while workers that finish them
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


def list_memberships() -> Select[*tuple[Any, ...]]:
    """Select the account and the role of each membership."""
    return select(ProjectPermission.user_id, ProjectPermission.role_id)
