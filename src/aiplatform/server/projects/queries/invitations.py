"""SELECT statements for invitations to projects."""

from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import Role, User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project, ProjectInvitation, ProjectPermission
from aiplatform.server.projects.queries.projects import not_in_bin


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
