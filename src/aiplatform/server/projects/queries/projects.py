"""Named selects of projects and members, scoped to what somebody may see."""

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

stands = Project.status.is_distinct_from(DELETED)
"""Projects that are not in the bin; a status that another program left empty is none."""

_READERS = array([WILDCARD, f"projects:{WILDCARD}", Permission.PROJECTS_READ.value])


def visible_projects(
    principal: Principal, *, name: str | None = None, status: str | None = None
) -> Select[*tuple[Any, ...]]:
    """Select the projects that the principal may see: each with its owner (or None) and whether
    the principal may read it.

    An API key for one project sees that project as long as its owner is in it, whatever its scopes:
    programs are told the project's name and need its uuid. More than that takes the permission.
    ``name`` is looked for anywhere in the project's name, in either case.
    """
    grant = and_(
        ProjectPermission.project_id == Project.id,
        ProjectPermission.user_id == principal.user_id,
        Role.id == ProjectPermission.role_id,
    )
    mine = Project.owner_id == principal.user_id
    in_scope = principal.in_scope(Permission.PROJECTS_READ)
    everywhere = literal(principal.crosses)
    reads = or_(everywhere, mine, exists().where(grant, Role.permissions.has_any(_READERS)))
    readable = and_(literal(in_scope), reads)
    statement = (
        select(Project, User, readable.label("readable"))
        .outerjoin(User, User.id == Project.owner_id)
        .where(stands)
    )
    if principal.key is not None and principal.key.project_id is not None:
        is_in = or_(everywhere, mine, exists().where(grant))
        statement = statement.where(Project.id == principal.key.project_id, is_in)
    elif not in_scope:
        statement = statement.where(false())
    elif not principal.crosses:
        statement = statement.where(reads)
    if name is not None:
        statement = statement.where(Project.name.icontains(name, autoescape=True))
    if status is not None:
        statement = statement.where(Project.status == status)
    return statement


def get_project(
    session: Session, context: ProjectContext, *, lock: bool = False
) -> tuple[Project, User | None]:
    """The project of the context and its owner; locked until the transaction ends if asked to.

    Raises:
        NotFound: when it was deleted since the guard saw it.
    """
    statement = select(Project).where(Project.id == context.project_id, stands)
    if lock:
        statement = statement.with_for_update(key_share=True)  # as in :func:`lock_project`
    project = session.scalar(statement.execution_options(populate_existing=True))
    if project is None:
        raise NotFound(resource="project")
    owner = None if project.owner_id is None else session.get(User, project.owner_id)
    return project, owner


def name_in_use(
    session: Session, owner_id: int | None, name: str, *, but: UUID | None = None
) -> bool:
    """Whether the owner has a project of that name, ``but`` one. The bin gives names away."""
    named = exists().where(Project.owner_id == owner_id, Project.name == name, stands)
    if but is not None:
        named = named.where(Project.uuid != but)
    return bool(session.scalar(select(named)))


def lock_names(session: Session, owner_id: int) -> None:
    """One naming of an owner's projects at a time."""
    session.execute(select(User.id).where(User.id == owner_id).with_for_update(key_share=True))


def list_members(context: ProjectContext) -> Select[*tuple[Any, ...]]:
    """The grants of the project, each with its user and role."""
    return (
        select(ProjectPermission, User, Role)
        .join(User, User.id == ProjectPermission.user_id)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(ProjectPermission.project_id == context.project_id)
    )


def get_grant(
    session: Session, context: ProjectContext, user_id: int, *, lock: bool = True
) -> tuple[ProjectPermission, Role] | None:
    """What a user was granted in the project, locked; None when nothing."""
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
    """An API key, whose it is, and the uuid of the one project that it reaches, if it is one."""

    key: ApiKey
    owner: User
    project: UUID | None


def list_keys(owner: User, *, revoked: bool = False) -> Select[*tuple[Any, ...]]:
    """The keys of an account as :class:`KeyRow`; with ``revoked``, those too."""
    statement = (
        select(ApiKey, User, Project.uuid)
        .join(User, User.id == ApiKey.user_id)
        .outerjoin(Project, Project.id == ApiKey.project_id)
        .where(ApiKey.user_id == owner.id)
    )
    return statement if revoked else statement.where(ApiKey.revoked_at.is_(None))


def get_key(session: Session, owner: User, uuid: UUID, *, lock: bool = False) -> KeyRow:
    """A key of that account.

    Raises:
        NotFound: when it has none of that uuid.
    """
    statement = list_keys(owner, revoked=True).where(ApiKey.uuid == uuid)
    if lock:
        statement = statement.with_for_update(of=ApiKey, key_share=True)
    row = session.execute(statement.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound(resource="API key")
    return KeyRow(*row)


def living_keys(session: Session, user_id: int) -> Sequence[tuple[ApiKey, bool]]:
    """The keys of an account that were not revoked, and of each whether it has expired."""
    expired = func.coalesce(ApiKey.expires_at <= func.clock_timestamp(), False)
    rows = session.execute(
        select(ApiKey, expired).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    )
    return [(row[0], row[1]) for row in rows]


def holdings(
    session: Session, principal: Principal, project_id: int | None
) -> Sequence[tuple[bool, list[str] | None]]:
    """Of each project that the principal owns or is a member of (of the one, if one is given):
    whether they own it, and what their role there holds."""
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
    """The id of a project in which the principal has anything at all; locked against deletion.

    Raises:
        NotFound: for any other.
    """
    statement = select(Project.id).where(Project.uuid == uuid, stands)
    if not principal.crosses:
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
    """A project, locked against other changes of it, but not against rows that refer to it.

    Whoever ends the tasks of a project holds this lock while workers that finish them write such
    rows; a stronger one would have the two wait for each other.

    Raises:
        NotFound: when it was deleted meanwhile.
    """
    project = session.scalar(
        select(Project)
        .where(Project.id == project_id, stands)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if project is None:
        raise NotFound(resource="project")
    return project
