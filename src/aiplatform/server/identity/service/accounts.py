"""Creation of accounts: the first administrator's, and those made by administrators and users."""

from collections.abc import Collection

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission, grants
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import AdvisoryLock
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.core.settings import DEFAULT_ADMIN_PASSWORD, Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import (
    AccountTaken,
    PermissionDenied,
    RegistrationClosed,
    RoleNameTooLong,
    Unauthenticated,
)
from aiplatform.server.identity.models import User
from aiplatform.server.identity.service import passwords
from aiplatform.server.identity.service.failures import actor_for
from aiplatform.server.identity.service.sessions import end_sessions

MAX_GLOBAL_ROLE = 20
"""Maximum length of the column ``users.role``. Names of roles may be longer."""


def lock_accounts(session: Session) -> None:
    """Lock all accounts and roles against other transactions until this transaction ends.

    Otherwise two transactions could take the same name, or two administrators could deactivate each
    other.
    """
    session.execute(select(func.pg_advisory_xact_lock(int(AdvisoryLock.ACCOUNTS))))


def bootstrap(session: Session, settings: Settings) -> User | None:
    """Create the first administrator, or give the schema contract's ``admin`` a usable password.

    If an administrator has another name, no account is created, because an ``admin`` account that
    was renamed must not be recreated with a known password. Return the account that was created or
    repaired, or None.
    """
    lock_accounts(session)
    user = session.scalar(select(User).where(User.username == rules.ADMIN).with_for_update())
    if user is None:
        if queries.has_administrator(session):
            return None
        user = User(username=rules.ADMIN, email=rules.ADMIN_EMAIL, role=rules.ADMIN)
        session.add(user)
    elif user.password_hash != rules.SEED_ADMIN_HASH:
        return None
    password = settings.admin_password.get_secret_value()
    user.password_hash = passwords.hash_password(password)
    session.flush()
    security = queries.security_of(session, user.id)
    weak = passwords.too_weak(password, username=user.username, email=user.email)
    security.must_change_password = weak is not None
    audit.record(session, audit.SYSTEM, AuditAction.USER_BOOTSTRAPPED, "user", user.uuid)
    return user


def create_user(
    session: Session,
    principal: Principal,
    *,
    username: str,
    email: str,
    password: str,
    role: str = rules.PLAIN_USER,
    must_change_password: bool = False,
) -> User:
    """Create an account.

    Raises:
        NotFound: for a role that does not exist.
        PermissionDenied: for a role with permissions that the caller lacks.
        Unauthenticated: see :func:`lock_and_read_permissions`.
        NameTaken: when the name or address is in use, or the name is reserved.
        WeakPassword: when the password is refused.
        RoleNameTooLong: when the role's name is too long.
    """
    password_hash = check_and_hash_password(password, username=username, email=email)
    check_role(session, lock_and_read_permissions(session, principal, Permission.USERS_WRITE), role)
    user = add_user(session, username=username, email=email, password_hash=password_hash, role=role)
    queries.security_of(session, user.id).must_change_password = must_change_password
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_CREATED,
        "user",
        user.uuid,
        username=username,
        role=role,
    )
    return user


def register(
    session: Session,
    settings: Settings,
    *,
    username: str,
    email: str,
    password: str,
    origin: Actor,
) -> User:
    """Create an account for a user who registers.

    Raises:
        RegistrationClosed: when the setting does not allow it.
        AccountTaken: when the name or address is in use.
        WeakPassword: when the password is refused.
    """
    if not settings.self_registration:
        raise RegistrationClosed
    try:
        refuse_reserved(username)
        password_hash = check_and_hash_password(password, username=username, email=email)
        user = add_user(session, username=username, email=email, password_hash=password_hash)
    except NameTaken as error:
        raise AccountTaken from error
    queries.security_of(session, user.id).email_claimed = True
    audit.record(
        session,
        actor_for(user, origin),
        AuditAction.USER_REGISTERED,
        "user",
        user.uuid,
        username=username,
    )
    return user


def check_and_hash_password(password: str, *, username: str, email: str) -> str:
    """Check the password of a new account and return its hash.

    Hashing is slow, so call this before :func:`lock_accounts`, not under that lock.

    Raises:
        WeakPassword: when the password is refused.
    """
    weak = passwords.too_weak(password, username=username, email=email)
    if weak is not None:
        raise weak
    return passwords.hash_password(password)


def add_user(
    session: Session, *, username: str, email: str, password_hash: str, role: str = rules.PLAIN_USER
) -> User:
    """Add the row of a new account.

    Raises:
        NameTaken: when the name or address is in use, or the name is reserved.
    """
    refuse_reserved(username)
    lock_accounts(session)
    refuse_taken(session, username=username, email=email)
    user = User(username=username, email=email, password_hash=password_hash, role=role)
    session.add(user)
    session.flush()
    queries.security_of(session, user.id)
    return user


def refuse_reserved(username: str) -> None:
    """Refuse user names that have a special meaning.

    Raises:
        NameTaken: for a reserved name.
    """
    if username.casefold() in rules.RESERVED_USERNAMES:
        raise NameTaken(resource="user", resource_zh="用户", name=username)


def refuse_taken(
    session: Session, *, username: str | None, email: str | None, but: int | None = None
) -> None:
    """Refuse a user name or address that is already in use, ignoring case.

    Call this while holding the lock of :func:`lock_accounts`.

    Raises:
        NameTaken: when an account other than ``but`` has one of them.
    """
    taken = session.execute(
        select(User.username, User.email)
        .where(
            User.id.is_distinct_from(but),
            or_(
                func.lower(User.username) == func.lower(username),
                func.lower(User.email) == func.lower(email),
            ),
        )
        .limit(1)
    ).first()
    if taken is not None:
        same_name = username is not None and taken.username.lower() == username.lower()
        raise NameTaken(resource="user", resource_zh="用户", name=username if same_name else email)


def lock_and_read_permissions(
    session: Session, who: Principal | int, needed: Permission
) -> frozenset[str]:
    """Lock all accounts, and return the current permissions of a principal or of a user id.

    Earlier checks may be outdated: the guard checked the caller before the wait for the lock, and
    an invitation's creator may last have been checked days ago.

    Raises:
        Unauthenticated: when the account was deactivated.
        PermissionDenied: when the account has lost the permission ``needed``.
    """
    lock_accounts(session)
    user_id = who if isinstance(who, int) else who.user_id
    row = session.execute(select(User.is_active, User.role).where(User.id == user_id)).one_or_none()
    if row is None or not row.is_active:
        raise Unauthenticated
    held = queries.global_permissions(session, row.role)
    if isinstance(who, Principal):
        held = who.limit_global_permissions(held)
    if not grants(held, needed):
        raise PermissionDenied(permission=str(needed))
    return held


def check_role(session: Session, held: Collection[str], role: str) -> None:
    """Check that a caller with the permissions ``held`` may assign this global role.

    Raises:
        NotFound: when there is no such role.
        RoleNameTooLong: when its name is too long for a global role.
        PermissionDenied: when the role grants permissions that are not in ``held``.
    """
    if role == rules.PLAIN_USER:
        return
    if len(role) > MAX_GLOBAL_ROLE:
        raise RoleNameTooLong(limit=MAX_GLOBAL_ROLE)
    wanted = queries.find_role(session, role).permissions
    missing = rules.missing_permissions(held, wanted)
    if missing:
        raise PermissionDenied(permission=", ".join(missing))


def replace_default_password(session: Session, settings: Settings) -> bool:
    """Replace the default password of ``admin`` if the settings specify another one.

    Sessions opened with the default password can do nothing but replace it.

    Returns:
        True if ``admin`` can sign in with the default password, now or once the account exists.
    """
    named = settings.admin_password.get_secret_value()
    user = session.scalar(select(User).where(User.username == rules.ADMIN).with_for_update())
    if user is None:
        # This must decide as the first start does, which creates the account.
        return named == DEFAULT_ADMIN_PASSWORD and not queries.has_administrator(session)
    if user.password_hash == rules.SEED_ADMIN_HASH:  # the first start sets another password
        return named == DEFAULT_ADMIN_PASSWORD
    if not passwords.verify(DEFAULT_ADMIN_PASSWORD, user.password_hash)[0]:
        return False
    if named == DEFAULT_ADMIN_PASSWORD:
        return user.is_active is not False
    user.password_hash = passwords.hash_password(named)
    weak = passwords.too_weak(named, username=user.username, email=user.email)
    security = queries.security_of(session, user.id)
    security.must_change_password = weak is not None
    security.password_changed_at = func.clock_timestamp()
    end_sessions(session, user.id, "password_changed")
    audit.record(session, audit.SYSTEM, AuditAction.USER_PASSWORD_CHANGED, "user", user.uuid)
    session.flush()
    return False
