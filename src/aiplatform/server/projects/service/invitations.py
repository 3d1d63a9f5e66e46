"""Invitations to projects: users become members once they accept.

Without this consent, anyone could add anyone to a project, and the names of its deployments could
then conflict with those of the user's own deployments.
"""

from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.service import ProjectRole
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.errors import InvitationGone, TooManyInvitations
from aiplatform.server.projects.models import ProjectInvitation
from aiplatform.server.projects.queries import InvitationRow
from aiplatform.server.projects.service.accounts import join_invited

MAX_INVITATIONS = 200
"""Maximum number of open invitations per project."""


def may_skip_consent(context: ProjectContext) -> bool:
    """Return True if the caller may make users members without their consent."""
    return context.principal.is_superuser and get_settings().administrators_add_members


def invite(
    session: Session, context: ProjectContext, name: str, user: User | None, role: Role
) -> InvitationRow:
    """Invite a user, replacing an earlier invitation. ``user`` is None if no account has the name.

    The invitation of an unknown name is stored like any other: the response must not reveal which
    accounts exist.

    Raises:
        TooManyInvitations: when the project already has :data:`MAX_INVITATIONS` open invitations.
    """
    shown = name if user is None else user.username
    row = queries.lock_invitation(session, context, shown)
    if row is None:
        if queries.count_invitations(session, context) >= MAX_INVITATIONS:
            raise TooManyInvitations(limit=MAX_INVITATIONS)
        row = ProjectInvitation(project_id=context.project_id, username=shown)
        session.add(row)
    row.user_id = None if user is None else user.id
    row.role_id = role.id
    row.invited_by = context.principal.user_id
    session.flush()
    session.refresh(row)
    audit.record(
        session,
        context.actor,
        AuditAction.MEMBER_INVITED,
        "member_invitation",
        row.uuid,
        project=context.project_uuid,
        username=shown,
        role=role.name,
    )
    if user is not None:
        announce(
            session,
            NotificationType.MEMBER_INVITED,
            to=[user.id],
            project=context.project_uuid,
            project_name=context.project_name,
            user=user.username,
            by=context.principal.username,
            role=role.name,
            invitation=row.uuid,
        )
    project, _ = queries.get_project(session, context)
    inviter = session.get(User, context.principal.user_id)
    return InvitationRow(row, project, role, inviter)


def withdraw(session: Session, context: ProjectContext, name: str, user: User | None) -> bool:
    """Withdraw a user's open invitation; return False if there was none."""
    row = queries.lock_invitation(session, context, name if user is None else user.username)
    if row is None:
        return False
    audit.record(
        session,
        context.actor,
        AuditAction.MEMBER_INVITATION_WITHDRAWN,
        "member_invitation",
        row.uuid,
        project=context.project_uuid,
        username=row.username,
    )
    session.delete(row)
    session.flush()
    return True


def accept(session: Session, principal: Principal, uuid: UUID) -> InvitationRow:
    """Accept an invitation and become a member. The inviter must still be able to grant the role.

    Raises:
        NotFound: when the caller has no such invitation.
        InvitationGone: when the inviter can no longer grant the role, or their account was deleted.
        ProjectArchived: when the project is archived.
    """
    found = queries.lock_my_invitation(session, principal.user_id, uuid)
    row, project, role, inviter = found
    user = session.get_one(User, principal.user_id)
    if inviter is None or not inviter.is_active:
        raise InvitationGone(project=project.name)
    # The user may have become a member in another way in the meantime.
    if project.owner_id != user.id and not queries.is_member(session, project.id, user.id):
        membership = ProjectRole(row.project_id, row.role_id)
        try:
            join_invited(session, inviter, user, principal.actor, membership)
        except (NotFound, PermissionDenied) as error:
            raise InvitationGone(project=project.name) from error
        announce(
            session,
            NotificationType.MEMBER_JOINED,
            to=[inviter.id],
            project=project.uuid,
            project_name=project.name,
            user=user.username,
            role=role.name,
        )
    session.delete(row)
    session.flush()
    return found


def decline(session: Session, principal: Principal, uuid: UUID) -> None:
    """Decline an invitation, and notify the inviter.

    Raises:
        NotFound: when the caller has no such invitation.
    """
    row, project, role, inviter = queries.lock_my_invitation(session, principal.user_id, uuid)
    audit.record(
        session,
        principal.actor,
        AuditAction.MEMBER_INVITATION_DECLINED,
        "member_invitation",
        row.uuid,
        project=project.uuid,
        username=principal.username,
        role=role.name,
    )
    if inviter is not None:
        announce(
            session,
            NotificationType.MEMBER_DECLINED,
            to=[inviter.id],
            project=project.uuid,
            project_name=project.name,
            user=principal.username,
            role=role.name,
        )
    session.delete(row)
    session.flush()
