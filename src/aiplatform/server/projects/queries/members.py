"""Statements for access to projects: members, invitations and API keys."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import ApiKey, Role, User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import (
    Project,
    ProjectInvitation,
    ProjectPermission,
)
from aiplatform.server.projects.queries.projects import not_in_bin


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


def list_memberships() -> Select[*tuple[Any, ...]]:
    """Select the account and the role of each membership."""
    return select(ProjectPermission.user_id, ProjectPermission.role_id)


class InvitationRow(NamedTuple):
    """An invitation with its project, role, and inviter (None if that account is deleted)."""

    invitation: ProjectInvitation
    project: Project
    role: Role
    inviter: User | None


def _rows() -> Select[*tuple[Any, ...]]:
    return (
        select(ProjectInvitation, Project, Role, User)
        .join(Project, Project.id == ProjectInvitation.project_id)
        .join(Role, Role.id == ProjectInvitation.role_id)
        .outerjoin(User, User.id == ProjectInvitation.invited_by)
        .where(not_in_bin)
    )


def list_invitations(context: ProjectContext) -> Select[*tuple[Any, ...]]:
    """Select the open invitations of a project, as :class:`InvitationRow`."""
    return _rows().where(ProjectInvitation.project_id == context.project_id)


def list_my_invitations(user_id: int) -> Select[*tuple[Any, ...]]:
    """Select the open invitations of a user, as :class:`InvitationRow`."""
    return _rows().where(ProjectInvitation.user_id == user_id)


def lock_my_invitation(session: Session, user_id: int, uuid: UUID) -> InvitationRow:
    """Lock one of the user's invitations and return it.

    Raises:
        NotFound: when the user has no such invitation.
    """
    statement = list_my_invitations(user_id).where(ProjectInvitation.uuid == uuid)
    row = session.execute(statement.with_for_update(of=ProjectInvitation)).one_or_none()
    if row is None:
        raise NotFound(resource="invitation", resource_zh="邀请")
    return InvitationRow(*row)


def lock_invitation(
    session: Session, context: ProjectContext, username: str
) -> ProjectInvitation | None:
    """Lock a project's open invitation by the invited user's name; None if there is none."""
    return session.scalar(
        select(ProjectInvitation)
        .where(
            ProjectInvitation.project_id == context.project_id,
            ProjectInvitation.username == username,
        )
        .with_for_update()
    )


def count_invitations(session: Session, context: ProjectContext) -> int:
    """Return the number of the project's open invitations."""
    mine = ProjectInvitation.project_id == context.project_id
    counted = select(func.count()).select_from(ProjectInvitation).where(mine)
    return session.scalar(counted) or 0


def is_member(session: Session, project_id: int, user_id: int) -> bool:
    """Return True if the user has a role in the project."""
    grant = select(ProjectPermission.id).where(
        ProjectPermission.project_id == project_id, ProjectPermission.user_id == user_id
    )
    return session.scalar(grant.limit(1)) is not None


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
