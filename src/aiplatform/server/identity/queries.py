"""Named selects of accounts and sign-ins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, cast, func, select
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import AuthSession, AuthToken, Role, User, UserSecurity
from aiplatform.server.identity.rules import PLAIN_USER


def find_user(session: Session, name: str) -> User:
    """The account of this uuid or user name.

    Raises:
        NotFound: when there is none.
    """
    try:
        found = User.uuid == UUID(name)
    except ValueError:
        found = User.username == name
    user = session.scalar(select(User).where(found))
    if user is None:
        raise NotFound(resource="user", resource_zh="用户")
    return user


def user_by_name(session: Session, username: str) -> User | None:
    """The account that signs in under ``username``, as the database has it now."""
    return session.scalar(
        select(User).where(User.username == username).execution_options(populate_existing=True)
    )


def security_of(session: Session, user_id: int) -> UserSecurity:
    """The side row of an account; accounts from elsewhere (the contract's own SQL) get theirs."""
    row = session.get(UserSecurity, user_id)
    if row is None:
        row = UserSecurity(user_id=user_id, must_change_password=False)
        session.add(row)
        session.flush()
    return row


def list_users() -> Select[Any]:
    """All accounts."""
    return select(User)


def find_role(session: Session, name: str) -> Role:
    """The role of this name.

    Raises:
        NotFound: when there is none.
    """
    role = session.scalar(select(Role).where(Role.name == name))
    if role is None:
        raise NotFound(resource="role", resource_zh="角色")
    return role


def global_permissions(session: Session, role: str | None) -> frozenset[str]:
    """What a global role grants; the plain user's is nothing."""
    if role is None or role == PLAIN_USER:
        return frozenset()
    held = session.scalar(select(Role.permissions).where(Role.name == role))
    return frozenset(held or ())


@dataclass(frozen=True, slots=True)
class Failures:
    """Wrong passwords for an account since it last signed in: how many, and the age of the last."""

    here: int
    since_here: timedelta
    anywhere: int
    since_anywhere: timedelta


def recent_failures(
    session: Session, account: str, address: str | None, window: timedelta
) -> Failures:
    """Failures of the account within ``window``, from ``address`` and from everywhere.

    The audit trail is the record: it counts alike for accounts that exist and for those that don't,
    and over all processes.
    """
    recent = (
        AuditLog.created_at > func.clock_timestamp() - window,
        AuditLog.details["account"].astext == account,
    )
    success = (
        select(func.max(AuditLog.id))
        .where(*recent, AuditLog.action == AuditAction.AUTH_LOGIN.value)
        .scalar_subquery()
    )
    here = AuditLog.ip_address.is_not_distinct_from(cast(address, INET))
    now = func.clock_timestamp()
    row = session.execute(
        select(
            func.count().filter(here),
            now - func.max(AuditLog.created_at).filter(here),
            func.count(),
            now - func.max(AuditLog.created_at),
        ).where(
            *recent,
            AuditLog.action == AuditAction.AUTH_LOGIN_FAILED.value,
            AuditLog.id > func.coalesce(success, 0),
        )
    ).one()
    none = timedelta(0)
    return Failures(row[0], row[1] or none, row[2], row[3] or none)


def refresh_token(session: Session, token_hash: bytes) -> AuthToken | None:
    """A refresh token."""
    return session.scalar(
        select(AuthToken).where(AuthToken.token_hash == token_hash, AuthToken.kind == "refresh")
    )


def lock_session(session: Session, session_id: int) -> AuthSession:
    """A login session that nobody else renews or ends until this transaction does."""
    return session.scalars(
        select(AuthSession)
        .where(AuthSession.id == session_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def tokens_since(session: Session, session_id: int, token: AuthToken) -> Sequence[AuthToken]:
    """The tokens of the session that were made after ``token``."""
    return session.scalars(
        select(AuthToken).where(AuthToken.session_id == session_id, AuthToken.id > token.id)
    ).all()
