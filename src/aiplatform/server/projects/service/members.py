"""Members of a project, their roles and invitations; leaving and transferring a project."""

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.permissions import Permission, SystemRoleName
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.identity.models import Role, User
from aiplatform.server.identity.queries import find_role, find_user
from aiplatform.server.identity.rules import missing_permissions
from aiplatform.server.identity.service import ProjectRole
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects import queries
from aiplatform.server.projects.access import (
    OWNER,
    ProjectContext,
    confirm,
    filter_project_permissions,
)
from aiplatform.server.projects.errors import (
    InvitationGone,
    NewOwnerInactive,
    NewOwnerNotAMember,
    NotAMember,
    OwnerHasNoRole,
    TooManyInvitations,
)
from aiplatform.server.projects.models import Project, ProjectInvitation, ProjectPermission
from aiplatform.server.projects.queries import InvitationRow
from aiplatform.server.projects.service.accounts import check_transfer, join_invited

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


def set_member(
    session: Session, context: ProjectContext, user_name: str, role_name: str
) -> tuple[ProjectPermission, User, Role] | InvitationRow:
    """Give a user, named by uuid or user name, a role in the project, replacing an earlier role.

    Users who are not yet members are invited, and become members when they accept. Administrators
    add members without their consent, unless the settings say otherwise. Only administrators learn
    that no account has the name.

    Raises:
        NotFound: for a role that does not exist; for administrators also for an unknown user.
        TooManyInvitations: beyond the maximum number of open invitations.
        OwnerHasNoRole: for the owner, who already has all permissions.
        PermissionDenied: when the new or the old role grants more than the caller has.
    """
    user = _find_user(session, user_name)
    context = _lock_members(session, context, user)
    role = find_role(session, role_name)
    _require_all_permissions_of(context, role)
    found = None if user is None else queries.get_grant(session, context, user.id)
    if found is None and not may_skip_consent(context):
        return invite(session, context, user_name, user, role)
    if user is None:
        raise NotFound(resource="user", resource_zh="用户")
    if found is None:
        withdraw(session, context, user_name, user)
        grant = ProjectPermission(user_id=user.id, project_id=context.project_id, role_id=role.id)
        session.add(grant)
        session.flush()
        _record_member(session, context, AuditAction.MEMBER_ADDED, user, role=role.name)
        _notify(session, context, NotificationType.MEMBER_ADDED, user, role=role.name)
        return grant, user, role
    grant, before = found
    if before.id != role.id:
        _require_all_permissions_of(context, before)
        grant.role_id = role.id
        session.flush()
        _record_member(
            session, context, AuditAction.MEMBER_CHANGED, user, role=role.name, before=before.name
        )
        _notify(
            session,
            context,
            NotificationType.MEMBER_CHANGED,
            user,
            role=role.name,
            before=before.name,
        )
    return grant, user, role


def remove_member(session: Session, context: ProjectContext, user_name: str) -> None:
    """Remove a user's role in the project, or withdraw the user's invitation.

    Raises:
        NotFound: when the user has neither a role nor an invitation.
        OwnerHasNoRole: for the owner.
        PermissionDenied: when the user's role grants more than the caller has.
    """
    user = _find_user(session, user_name)
    context = _lock_members(session, context, user)
    found = None if user is None else queries.get_grant(session, context, user.id)
    if user is None or found is None:
        if withdraw(session, context, user_name, user):
            return
        raise NotFound(resource="member")
    grant, role = found
    _require_all_permissions_of(context, role)
    session.delete(grant)
    session.flush()
    _record_member(session, context, AuditAction.MEMBER_REMOVED, user, role=role.name)
    _notify(session, context, NotificationType.MEMBER_REMOVED, user, role=role.name)


def leave(session: Session, context: ProjectContext) -> None:
    """Remove the caller's own role in the project.

    Raises:
        OwnerHasNoRole: for the owner, who can transfer the project.
        NotAMember: for users without a role in the project.
    """
    project, _ = queries.get_project(session, context, lock=True)
    principal = context.principal
    if project.owner_id == principal.user_id:
        raise OwnerHasNoRole(username=principal.username)
    found = queries.get_grant(session, context, principal.user_id)
    if found is None:
        raise NotAMember
    grant, role = found
    session.delete(grant)
    session.flush()
    user = session.get_one(User, principal.user_id)
    _record_member(session, context, AuditAction.MEMBER_REMOVED, user, role=role.name, left=True)


def transfer(
    session: Session, context: ProjectContext, user_name: str, keep_role: SystemRoleName | None
) -> tuple[Project, User]:
    """Make another user the owner; the old owner keeps ``keep_role``, or leaves.

    The new owner must be a member and so has agreed to be in the project. Administrators may
    choose any user, unless the settings say otherwise.

    Raises:
        NewOwnerNotAMember: for users who are not members, and for unknown names.
        NewOwnerInactive: for a deactivated user.
        NameTaken: when the new owner has a project with that name.
        DeploymentNamesShared: when the new owner has deployments with the same names; not raised
            for administrators who may skip consent.
        PermissionDenied: when the caller is no longer the owner and holds no global ``*``.
        Unauthenticated: when the caller has since been deactivated.
    """
    user = _find_user(session, user_name, lock=True)
    if user is None:
        if may_skip_consent(context):
            raise NotFound(resource="user", resource_zh="用户")
        raise NewOwnerNotAMember(username=user_name, project=context.project_name)
    queries.lock_names(session, user.id)
    project, before = queries.get_project(session, context, lock=True)
    # Another transfer may have been faster, or the caller may have lost a role in the meantime.
    principal = confirm(session, context, Permission.PROJECTS_WRITE, writes=False).principal
    if not principal.is_superuser and project.owner_id != principal.user_id:
        raise PermissionDenied(permission=OWNER)
    if project.owner_id == user.id:
        return project, user
    found = queries.get_grant(session, context, user.id)
    if found is None and not may_skip_consent(context):
        raise NewOwnerNotAMember(username=user_name, project=context.project_name)
    if not user.is_active:
        raise NewOwnerInactive(username=user.username)
    if queries.name_in_use(session, user.id, project.name, excluding=project.uuid):
        raise NameTaken(resource="project", name=project.name)
    if not may_skip_consent(context):
        check_transfer(session, project, user)
    if found is not None:
        session.delete(found[0])
    project.owner_id = user.id
    session.flush()
    if before is not None and keep_role is not None:
        role = find_role(session, keep_role)
        stays = queries.get_grant(session, context, before.id)
        if stays is None:
            session.add(
                ProjectPermission(user_id=before.id, project_id=project.id, role_id=role.id)
            )
        else:
            stays[0].role_id = role.id
        session.flush()
    audit.record(
        session,
        context.actor,
        AuditAction.PROJECT_TRANSFERRED,
        "project",
        project.uuid,
        project=project.uuid,
        before=None if before is None else {"uuid": before.uuid, "username": before.username},
        after={"uuid": user.uuid, "username": user.username},
        kept_role=keep_role,
    )
    _notify(session, context, NotificationType.PROJECT_RECEIVED, user, owner=user.username)
    if before is not None and before.id != principal.user_id:
        _notify(session, context, NotificationType.PROJECT_TRANSFERRED, before, owner=user.username)
    return project, user


def _find_user(session: Session, name: str, *, lock: bool = False) -> User | None:
    """Return the user with that uuid or name; None if there is none.

    The callers treat an unknown name like a user who is not a member: members of projects must not
    find out which accounts exist.
    """
    try:
        return find_user(session, name, lock=lock)
    except NotFound:
        return None


def _lock_members(session: Session, context: ProjectContext, user: User | None) -> ProjectContext:
    """Lock the project's members, and return the caller's context, read again under the lock.

    The project's row is locked, so that grants, transfers and the deletion of the project happen
    one after another. A caller who lost the permission while waiting can't grant roles.
    """
    project, _ = queries.get_project(session, context, lock=True)
    now = confirm(session, context, Permission.MEMBERS_WRITE)
    if user is not None and project.owner_id == user.id:
        raise OwnerHasNoRole(username=user.username)
    return now


def _require_all_permissions_of(context: ProjectContext, role: Role) -> None:
    """Raise an error if a role to grant or remove has permissions that the caller lacks here."""
    missing = missing_permissions(context.permissions, filter_project_permissions(role.permissions))
    if missing:
        raise PermissionDenied(permission=", ".join(missing))


def _notify(
    session: Session, context: ProjectContext, kind: NotificationType, user: User, **facts: Any
) -> None:
    announce(
        session,
        kind,
        to=[user.id],
        project=context.project_uuid,
        project_name=context.project_name,
        user=user.username,
        by=context.principal.username,
        **facts,
    )


def _record_member(
    session: Session, context: ProjectContext, action: AuditAction, user: User, **details: Any
) -> None:
    audit.record(
        session,
        context.actor,
        action,
        "member",
        user.uuid,
        project=context.project_uuid,
        username=user.username,
        **details,
    )
