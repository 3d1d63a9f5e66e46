"""Changes to accounts by administrators, including deactivation and deletion.

Nobody can act on an account that holds more permissions than they do, globally or in a project: by
setting its password or address, they could take it over. All changes that affect who is an
administrator run under one lock. After each, there must still be an active user who holds ``*``.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core import audit
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.etags import require_match
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import (
    AccountHoldsMore,
    LastAdministrator,
    OwnAccount,
    OwnRole,
    PermissionDenied,
    SessionRequired,
)
from aiplatform.server.identity.models import User
from aiplatform.server.identity.service import hooks, second_factor
from aiplatform.server.identity.service.accounts import (
    check_role,
    lock_and_read_permissions,
    refuse_reserved,
    refuse_taken,
)
from aiplatform.server.identity.service.credential_watcher import sessions_changed
from aiplatform.server.identity.service.resets import withdraw_resets
from aiplatform.server.identity.service.sessions import end_sessions


def ensure_administrator_remains(session: Session) -> None:
    """Check that an active administrator remains after a role or account change.

    Call this after the change, while holding the lock of :func:`lock_accounts`.

    Raises:
        LastAdministrator: when there is no longer an active user who holds ``*``.
    """
    session.flush()
    if not queries.has_administrator(session):
        raise LastAdministrator


def lock_manageable_user(
    session: Session,
    principal: Principal,
    name: str,
    *,
    own: bool = True,
    for_deletion: bool = False,
) -> User:
    """Lock and return an account if the principal may act on it at this moment.

    Args:
        session: the database session.
        principal: the caller.
        name: uuid or user name of the account.
        own: allow the caller's own account. This must not be set for changes that would let a
            stolen administrator session set a password or remove the second factor.
        for_deletion: see :func:`queries.find_user`.

    Raises:
        OwnAccount: when it is the caller's own account, unless ``own`` is true.
        NotFound: when there is no such account.
        Unauthenticated: when the caller was deactivated while they waited for the lock.
        PermissionDenied: when the caller has lost the permission, or the account holds global
            permissions that they lack.
        AccountHoldsMore: when the account has permissions in a project, as its owner or a member,
            that the caller lacks.
    """
    held = lock_and_read_permissions(session, principal, Permission.USERS_WRITE)
    user = queries.find_user(session, name, lock=True, for_deletion=for_deletion)
    if user.id == principal.user_id:
        if not own:
            raise OwnAccount
    else:
        missing = rules.missing_permissions(held, queries.global_permissions(session, user.role))
        if missing:
            raise PermissionDenied(permission=", ".join(missing))
        if WILDCARD not in held and hooks.holds_more(session, principal, user):
            raise AccountHoldsMore(username=user.username)
    return user


def update_user(
    session: Session,
    principal: Principal,
    name: str,
    changes: Mapping[str, Any],
    if_match: str | None,
) -> User:
    """Change the user name, e-mail address or global role. Unchanged values are ignored.

    Raises:
        PreconditionRequired, PreconditionFailed: see :func:`require_match`.
        OwnRole: when the caller would change their own role.
        OwnAccount: when the caller would change their own address.
        SessionRequired: when an API key would change an address.
        LastAdministrator: when there would no longer be an active user who holds ``*``.
        NameTaken: when the name or address is in use, or the name is reserved.

    The errors of :func:`lock_manageable_user` and :func:`check_role` also apply.
    """
    user = lock_manageable_user(session, principal, name)
    require_match(if_match, user.updated_at, "user")
    held = {key: getattr(user, key) for key in changes}
    held["role"] = user.role or rules.PLAIN_USER
    changed = {key: value for key, value in changes.items() if held[key] != value}
    if not changed:
        return user
    if "role" in changed:
        if user.id == principal.user_id:
            raise OwnRole
        held_by_caller = lock_and_read_permissions(session, principal, Permission.USERS_WRITE)
        check_role(session, held_by_caller, changed["role"])
    if "email" in changed:
        if principal.key is not None:
            raise SessionRequired
        if user.id == principal.user_id:
            raise OwnAccount
    if "username" in changed:
        refuse_reserved(changed["username"])
    refuse_taken(session, username=changed.get("username"), email=changed.get("email"), but=user.id)
    if "email" in changed:
        # Announce this before the address changes: a warning must reach the old address, in case
        # the account holder did not make the change.
        hooks.announce_security_event(session, user, "email_changed")
        queries.security_of(session, user.id).email_claimed = False
        withdraw_resets(session, user.id)
    for key, value in changed.items():
        setattr(user, key, value)
    ensure_administrator_remains(session)
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_UPDATED,
        "user",
        user.uuid,
        before={key: held[key] for key in changed},
        after=changed,
    )
    return user


def set_active(session: Session, principal: Principal, name: str, *, active: bool) -> User:
    """Activate or deactivate an account.

    All of its sessions end immediately, and its streams within a second. Depending on the settings,
    its tasks continue or are stopped.

    Raises:
        LastAdministrator: when there would no longer be an active user who holds ``*``.

    The errors of :func:`lock_manageable_user` also apply.
    """
    user = lock_manageable_user(session, principal, name)
    if bool(user.is_active) == active:
        return user
    user.is_active = active
    ensure_administrator_remains(session)
    # Sessions end on activation, too: a sign-in at the time of the deactivation may have left one.
    ended = end_sessions(session, user.id, "deactivated")
    withdraw_resets(session, user.id)
    sessions_changed(session)
    stops = not active and get_settings().deactivated_tasks == "stop"
    stopped: dict[str, Any] = (
        hooks.run_deactivation_hooks(session, principal.actor, user) if stops else {}
    )
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_ACTIVATED if active else AuditAction.USER_DEACTIVATED,
        "user",
        user.uuid,
        sessions_ended=ended,
        **stopped,
    )
    return user


def delete_user(
    session: Session, principal: Principal, name: str, *, transfer_to: str | None = None
) -> None:
    """Delete an account. Everything it created remains; audit entries keep the account's name.

    Administrators who may add users to projects without asking them may name any successor. For
    everyone else, the successor must be a member of each project.

    Raises:
        OwnsProjects: when the account owns projects and ``transfer_to`` is not given.
        NewOwnerNotAMember: when the successor has not agreed to be a member of one of the projects.
        NotFound: when the successor does not exist or is not active.
        LastAdministrator: when there would no longer be an active user who holds ``*``.

    The errors of :func:`lock_manageable_user` also apply.
    """
    user = lock_manageable_user(session, principal, name, for_deletion=True)
    successor = None
    if transfer_to is not None:
        successor = queries.find_user(session, transfer_to, lock=True)
        if not successor.is_active or successor.id == user.id:
            raise NotFound(resource="user")
    held = lock_and_read_permissions(session, principal, Permission.USERS_WRITE)
    needs_consent = WILDCARD not in held or not get_settings().administrators_add_members
    hooks.run_user_delete_hooks(
        session, principal.actor, user, successor, needs_consent=needs_consent
    )
    ended = end_sessions(session, user.id, "deleted")
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_DELETED,
        "user",
        user.uuid,
        username=user.username,
        transferred_to=None if successor is None else successor.uuid,
        sessions_ended=ended,
    )
    session.flush()
    # The schema's foreign keys decide which rows are deleted and which lose their reference.
    session.execute(
        delete(User).where(User.id == user.id).execution_options(synchronize_session=False)
    )
    session.expunge(user)
    ensure_administrator_remains(session)


def end_all_sessions(session: Session, principal: Principal, name: str) -> int:
    """End all sessions of an account and return their number.

    The errors of :func:`lock_manageable_user` apply.
    """
    user = lock_manageable_user(session, principal, name)
    ended = end_sessions(session, user.id, "ended_by_administrator")
    audit.record(
        session, principal.actor, AuditAction.SESSION_ENDED, "user", user.uuid,
        sessions_ended=ended,
    )  # fmt: skip
    return ended


def reset_second_factor(session: Session, principal: Principal, name: str) -> None:
    """Remove the second factor of a user who lost both the app and the recovery codes.

    The errors of :func:`lock_manageable_user` apply.
    """
    user = lock_manageable_user(session, principal, name, own=False)
    if second_factor.remove(session, user.id):
        hooks.announce_security_event(session, user, "totp_disabled")
        audit.record(session, principal.actor, AuditAction.USER_TOTP_RESET, "user", user.uuid)
