"""Invitations: single-use links that create an account, optionally with a role and a membership.

When an invitation is accepted, it grants only what its creator may grant at that moment. An
administrator who has been deactivated or has lost a permission thus leaves no back door.
"""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import Conflict, Language, NotFound
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal, hash_token
from aiplatform.server.identity.errors import (
    IncompleteMembership,
    InvalidLink,
    PermissionDenied,
    Unauthenticated,
)
from aiplatform.server.identity.models import Invitation, User
from aiplatform.server.identity.service import hooks
from aiplatform.server.identity.service.accounts import (
    add_user,
    check_and_hash_password,
    check_role,
    lock_and_read_permissions,
    refuse_taken,
)
from aiplatform.server.identity.service.failures import actor_for
from aiplatform.server.identity.service.hooks import ProjectRole
from aiplatform.server.identity.service.resets import Link, make_link


def invite(
    session: Session,
    principal: Principal,
    settings: Settings,
    *,
    email: str,
    role: str,
    project: UUID | None,
    project_role: str | None,
    days: int | None,
    language: Language,
) -> tuple[Invitation, Link, bool]:
    """Create an invitation, and send its link by e-mail if that is configured.

    Return the invitation, its link, and True if a message is on its way. The link is shown only
    once.

    Raises:
        NotFound: for a role or project that does not exist, or that the caller may not see.
        PermissionDenied: for permissions that the caller lacks.
        NameTaken: when an account has this address.
        IncompleteMembership: for a project without a role in it, or vice versa.
    """
    if (project is None) != (project_role is None):
        raise IncompleteMembership
    check_role(session, lock_and_read_permissions(session, principal, Permission.USERS_WRITE), role)
    maker = session.get_one(User, principal.user_id)
    membership = None
    if project is not None and project_role is not None:
        membership = hooks.check_membership(session, maker, project, project_role)
    refuse_taken(session, username=None, email=email)
    now: datetime = session.scalars(select(func.clock_timestamp())).one()
    link = make_link(settings, "invitation", timedelta(days=days or settings.invitation_days), now)
    invitation = Invitation(
        token_hash=hash_token(link.token),
        email=email,
        role=role,
        project_id=None if membership is None else membership.project_id,
        project_role_id=None if membership is None else membership.role_id,
        created_by=principal.user_id,
        expires_at=link.expires_at,
    )
    session.add(invitation)
    session.flush()
    audit.record(
        session,
        principal.actor,
        AuditAction.INVITATION_CREATED,
        "invitation",
        invitation.uuid,
        email=email,
        role=role,
        project=project,
        project_role=project_role,
    )
    sent = hooks.send_link(session, email, "invitation", link.link, language)
    return invitation, link, sent


def revoke(session: Session, principal: Principal, uuid: UUID) -> None:
    """Revoke an invitation.

    Raises:
        NotFound: when there is no such invitation, or it can no longer be accepted.
    """
    invitation = queries.open_invitation(session, Invitation.uuid == uuid)
    if invitation is None:
        raise NotFound(resource="invitation")
    invitation.revoked_at = func.clock_timestamp()
    audit.record(
        session, principal.actor, AuditAction.INVITATION_REVOKED, "invitation", invitation.uuid
    )


def accept(session: Session, token: str, *, username: str, password: str, origin: Actor) -> User:
    """Create the account for an invitation, which can be accepted once.

    Raises:
        InvalidLink: when the link is not valid, or its creator may no longer grant its role or
            membership.
        NameTaken, WeakPassword: when the name or password is refused; the link remains valid.
    """
    invitation = queries.open_invitation(session, Invitation.token_hash == hash_token(token))
    if invitation is None:
        raise InvalidLink
    password_hash = check_and_hash_password(password, username=username, email=invitation.email)
    try:
        held = lock_and_read_permissions(session, invitation.created_by, Permission.USERS_WRITE)
        check_role(session, held, invitation.role)
    except (NotFound, PermissionDenied, Unauthenticated) as error:
        raise InvalidLink from error
    maker = session.get_one(User, invitation.created_by, populate_existing=True)
    user = add_user(
        session,
        username=username,
        email=invitation.email,
        password_hash=password_hash,
        role=invitation.role or rules.PLAIN_USER,
    )
    invitation.accepted_at = func.clock_timestamp()
    invitation.accepted_by = user.id
    actor = actor_for(user, origin)
    audit.record(
        session,
        actor,
        AuditAction.INVITATION_ACCEPTED,
        "invitation",
        invitation.uuid,
        username=username,
        role=invitation.role,
        invited_by={"uuid": maker.uuid, "username": maker.username},
    )
    if invitation.project_id is not None and invitation.project_role_id is not None:
        membership = ProjectRole(invitation.project_id, invitation.project_role_id)
        try:
            hooks.join_project(session, maker, user, actor, membership)
        except (Conflict, NotFound, PermissionDenied) as error:
            raise InvalidLink from error
    return user
