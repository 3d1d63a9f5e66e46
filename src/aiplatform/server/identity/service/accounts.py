"""Accounts: the first one, further ones, their passwords."""

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.errors import Invalid, Language, NameTaken, Problem
from aiplatform.server.core.locks import AdvisoryLock
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity import queries, rules
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.errors import PermissionDenied, WeakPassword, WrongPassword
from aiplatform.server.identity.models import User
from aiplatform.server.identity.service import passwords
from aiplatform.server.identity.service.sessions import end_sessions, record_failure, throttle

MAX_GLOBAL_ROLE = 20
"""Characters that ``users.role`` holds; the name of a role may have more."""


def bootstrap(session: Session, settings: Settings) -> User | None:
    """Make the first administrator, or give the contract's own one a password that verifies.

    A platform that has an administrator under another name gets no second one: whoever renamed
    ``admin`` does not want it back with a known password. Returns the account that was made or
    repaired.
    """
    session.execute(select(func.pg_advisory_xact_lock(int(AdvisoryLock.ACCOUNTS))))
    user = session.scalar(select(User).where(User.username == rules.ADMIN).with_for_update())
    if user is None:
        if session.scalar(select(User.id).where(User.role == rules.ADMIN).limit(1)) is not None:
            return None
        user = User(username=rules.ADMIN, email=rules.ADMIN_EMAIL, role=rules.ADMIN)
        session.add(user)
    elif user.password_hash != rules.SEED_ADMIN_HASH:
        return None
    password = settings.admin_password.get_secret_value()
    user.password_hash = passwords.hash_password(password)
    session.flush()
    security = queries.security_of(session, user.id)
    weak = rules.weakness(password, username=user.username, email=user.email)
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
    """Make an account.

    Raises:
        NotFound: for a role that does not exist.
        PermissionDenied: for a role that grants what the caller lacks.
        NameTaken, WeakPassword, Invalid: for what can't be.
    """
    _check_role(session, principal, role)
    if username.casefold() in rules.RESERVED_USERNAMES:
        raise NameTaken(resource="user", resource_zh="用户", name=username)
    _refuse_weak(rules.weakness(password, username=username, email=email))
    # One creation at a time, so that names which differ in case only can't both pass.
    session.execute(select(func.pg_advisory_xact_lock(int(AdvisoryLock.ACCOUNTS))))
    taken = session.execute(
        select(User.username, User.email)
        .where(
            or_(
                func.lower(User.username) == username.lower(),
                func.lower(User.email) == email.lower(),
            )
        )
        .limit(1)
    ).first()
    if taken is not None:
        name = username if taken.username.lower() == username.lower() else email
        raise NameTaken(resource="user", resource_zh="用户", name=name)
    user = User(
        username=username,
        email=email,
        password_hash=passwords.hash_password(password),
        role=role,
    )
    session.add(user)
    session.flush()
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


def change_password(
    session: Session, principal: Principal, *, current: str, new: str
) -> Problem | None:
    """Replace the caller's password and end their other sessions; the refusal, or None.

    Returned, not raised, because a wrong current password must stay on record.
    """
    refusal = throttle(session, principal.username, principal.actor)
    if refusal is not None:
        return refusal
    user = session.get_one(User, principal.user_id, populate_existing=True, with_for_update=True)
    good, _ = passwords.verify(current, user.password_hash)
    if not good:
        record_failure(session, principal.username, user, principal.actor, during="password_change")
        return WrongPassword()
    weak = rules.weakness(new, username=user.username, email=user.email, current=current)
    if weak is not None:
        return WeakPassword(reason=weak["en"], reason_zh=weak["zh"])
    user.password_hash = passwords.hash_password(new)
    security = queries.security_of(session, user.id)
    security.must_change_password = False
    security.password_changed_at = func.clock_timestamp()
    ended = end_sessions(session, user.id, "password_changed", but=principal.session_id)
    audit.record(
        session,
        principal.actor,
        AuditAction.USER_PASSWORD_CHANGED,
        "user",
        user.uuid,
        sessions_ended=ended,
    )
    return None


def _check_role(session: Session, principal: Principal, role: str) -> None:
    if role == rules.PLAIN_USER:
        return
    if len(role) > MAX_GLOBAL_ROLE:
        raise Invalid(
            reason=f"A global role's name has at most {MAX_GLOBAL_ROLE} characters.",
            reason_zh=f"全局角色的名称最多 {MAX_GLOBAL_ROLE} 个字符。",
        )
    wanted = queries.find_role(session, role).permissions
    missing = rules.lacking(principal.permissions, wanted)
    if missing:
        raise PermissionDenied(permission=", ".join(missing))


def _refuse_weak(reason: dict[Language, str] | None) -> None:
    if reason is not None:
        raise WeakPassword(reason=reason["en"], reason_zh=reason["zh"])
