"""Named selects of projects and members, scoped to what somebody may see."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import Role, User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project, ProjectPermission

_READERS = array([WILDCARD, f"projects:{WILDCARD}", Permission.PROJECTS_READ.value])


def visible_projects(
    principal: Principal, *, name: str | None = None, status: str | None = None
) -> Select[*tuple[Any, ...]]:
    """Projects that the principal may read, each with its owner (or None).

    ``name`` is looked for anywhere in the project's name, in either case.
    """
    statement = select(Project, User).outerjoin(User, User.id == Project.owner_id)
    if not principal.is_superuser:
        member = exists().where(
            ProjectPermission.project_id == Project.id,
            ProjectPermission.user_id == principal.user_id,
            Role.id == ProjectPermission.role_id,
            Role.permissions.has_any(_READERS),
        )
        statement = statement.where(or_(Project.owner_id == principal.user_id, member))
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
    statement = select(Project).where(Project.id == context.project_id)
    if lock:
        statement = statement.with_for_update()
    project = session.scalar(statement.execution_options(populate_existing=True))
    if project is None:
        raise NotFound(resource="project")
    owner = None if project.owner_id is None else session.get(User, project.owner_id)
    return project, owner


def name_in_use(
    session: Session, owner_id: int | None, name: str, *, but: UUID | None = None
) -> bool:
    """Whether the owner has a project of that name, ``but`` one."""
    statement = select(exists().where(Project.owner_id == owner_id, Project.name == name))
    if but is not None:
        statement = select(
            exists().where(Project.owner_id == owner_id, Project.name == name, Project.uuid != but)
        )
    return bool(session.scalar(statement))


def list_members(context: ProjectContext) -> Select[*tuple[Any, ...]]:
    """The grants of the project, each with its user and role."""
    return (
        select(ProjectPermission, User, Role)
        .join(User, User.id == ProjectPermission.user_id)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(ProjectPermission.project_id == context.project_id)
    )


def get_grant(
    session: Session, context: ProjectContext, user_id: int
) -> tuple[ProjectPermission, Role] | None:
    """What a user was granted in the project, locked; None when nothing."""
    row = session.execute(
        select(ProjectPermission, Role)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(
            ProjectPermission.project_id == context.project_id,
            ProjectPermission.user_id == user_id,
        )
        .with_for_update(of=ProjectPermission)
    ).one_or_none()
    return None if row is None else (row[0], row[1])
