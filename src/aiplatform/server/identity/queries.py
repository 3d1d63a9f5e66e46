"""SELECT statements for accounts, roles and sessions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, cast, exists, func, or_, select
from sqlalchemy.dialects.postgresql import CIDR
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import WILDCARD
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.views import View
from aiplatform.server.identity.models import (
    AuthSession,
    AuthToken,
    Invitation,
    LoginFailure,
    PasswordReset,
    Role,
    User,
    UserSecurity,
)
from aiplatform.server.identity.rules import PLAIN_USER

_OPEN = (
    Invitation.accepted_at.is_(None),
    Invitation.revoked_at.is_(None),
    Invitation.expires_at > func.clock_timestamp(),
)

MEMBERSHIPS = View("memberships", "user_id", "role_id")
"""Roles of accounts in projects; columns published by the domain ``projects``."""


def find_user(
    session: Session, name: str, *, lock: bool = False, for_deletion: bool = False
) -> User:
    """Return the account with this uuid or user name.

    Args:
        session: the database session.
        name: uuid or user name.
        lock: read the row again and lock it. Other transactions can still insert rows that refer to
            it, so that a finishing task can notify its author.
        for_deletion: also prevent such rows from being inserted.

    Raises:
        NotFound: when there is no such account.
    """
    try:
        found = User.uuid == UUID(name)
    except ValueError:
        found = User.username == name
    statement = select(User).where(found)
    if lock:
        statement = statement.with_for_update(key_share=not for_deletion)
        statement = statement.execution_options(populate_existing=True)
    user = session.scalar(statement)
    if user is None:
        raise NotFound(resource="user", resource_zh="用户")
    return user


def must_change_password(session: Session, user_id: int) -> bool:
    """Return True if the account's password must be replaced before any other request."""
    return bool(
        session.scalar(
            select(UserSecurity.must_change_password).where(UserSecurity.user_id == user_id)
        )
    )


def administrators(session: Session) -> Sequence[int]:
    """Return the ids of the active users who hold ``*`` globally."""
    holders = (
        select(User.id)
        .join(Role, Role.name == User.role)
        .where(User.is_active, Role.permissions.contains([WILDCARD]))
    )
    return session.scalars(holders.order_by(User.id)).all()


def has_administrator(session: Session) -> bool:
    """Return True if an active user holds ``*`` globally."""
    holder = (
        select(User.id)
        .join(Role, Role.name == User.role)
        .where(User.is_active, Role.permissions.contains([WILDCARD]))
    )
    return session.scalar(holder.limit(1)) is not None


def user_by_name(session: Session, username: str) -> User | None:
    """Return the account with this user name, in its current state in the database."""
    return session.scalar(
        select(User).where(User.username == username).execution_options(populate_existing=True)
    )


def security_of(session: Session, user_id: int) -> UserSecurity:
    """Return an account's ``user_security`` row, creating it if it is missing.

    Accounts inserted by other programs have no such row.
    """
    row = session.get(UserSecurity, user_id)
    if row is None:
        row = UserSecurity(user_id=user_id, must_change_password=False)
        session.add(row)
        session.flush()
    return row


def list_users(
    *, search: str | None = None, role: str | None = None, active: bool | None = None
) -> Select[Any]:
    """Select accounts by global role, by state, and by a part of their name or address."""
    statement = select(User)
    if search:
        statement = statement.where(
            or_(
                User.username.icontains(search, autoescape=True),
                User.email.icontains(search, autoescape=True),
            )
        )
    if role is not None:
        statement = statement.where(func.coalesce(User.role, PLAIN_USER) == role)
    if active is not None:
        statement = statement.where(func.coalesce(User.is_active, False) == active)
    return statement


def list_invitations(*, open_only: bool) -> Select[*tuple[Any, ...]]:
    """Select invitations, each with the user who created it and the name of the project role."""
    statement = (
        select(Invitation, User, Role.name)
        .join(User, User.id == Invitation.created_by)
        .outerjoin(Role, Role.id == Invitation.project_role_id)
    )
    return statement.where(*_OPEN) if open_only else statement


def open_invitation(session: Session, found: ColumnElement[bool]) -> Invitation | None:
    """Return the invitation selected by ``found``, locked; None if it is not open."""
    return session.scalar(select(Invitation).where(found, *_OPEN).with_for_update())


def usable_reset(session: Session, token_hash: bytes) -> PasswordReset | None:
    """Return the unexpired password reset with this token hash, locked; None if there is none."""
    return session.scalar(
        select(PasswordReset)
        .where(PasswordReset.token_hash == token_hash, PasswordReset.expires_at > func.now())
        .with_for_update()
    )


def reset_sent_since(session: Session, user_id: int, pause: timedelta) -> bool:
    """Return True if a reset link was requested for the account within the last ``pause``.

    Links issued by administrators do not count.
    """
    sent = select(PasswordReset.id).where(
        PasswordReset.user_id == user_id,
        PasswordReset.created_by.is_(None),
        # The upper limit keeps a reset dated in the future from blocking requests after the clock
        # was set back.
        PasswordReset.created_at.between(func.now() - pause, func.now() + pause),
    )
    return session.scalar(sent.limit(1)) is not None


def find_role(session: Session, name: str, *, lock: bool = False) -> Role:
    """Return the role with this name or uuid.

    Raises:
        NotFound: when there is no such role.
    """
    try:
        found = Role.uuid == UUID(name)
    except ValueError:
        found = Role.name == name
    statement = select(Role).where(found)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    role = session.scalar(statement)
    if role is None:
        raise NotFound(resource="role", resource_zh="角色")
    return role


def list_roles() -> Select[Any]:
    """Select all roles."""
    return select(Role)


def role_uses(session: Session, role: Role, sso_roles: Iterable[str]) -> dict[str, int]:
    """Count the accounts, project members, open invitations and SSO groups that have the role."""
    invited = or_(Invitation.role == role.name, Invitation.project_role_id == role.id)
    row = session.execute(
        select(
            select(func.count()).where(User.role == role.name).scalar_subquery(),
            select(func.count()).where(MEMBERSHIPS.c.role_id == role.id).scalar_subquery(),
            select(func.count()).select_from(Invitation).where(invited, *_OPEN).scalar_subquery(),
        )
    ).one()
    sso = sum(name == role.name for name in sso_roles)
    return {"users": row[0], "members": row[1], "invitations": row[2], "sso": sso}


def holds_role(session: Session, user_id: int, role: Role) -> bool:
    """Return True if the account has the role, globally or in any project."""
    globally = exists().where(User.id == user_id, User.role == role.name)
    inside = exists().where(MEMBERSHIPS.c.user_id == user_id, MEMBERSHIPS.c.role_id == role.id)
    return bool(session.scalar(select(or_(globally, inside))))


def global_permissions(session: Session, role: str | None) -> frozenset[str]:
    """Return the permissions that a global role grants. The role ``user`` grants none."""
    if role is None or role == PLAIN_USER:
        return frozenset()
    held = session.scalar(select(Role.permissions).where(Role.name == role))
    return frozenset(held or ())


@dataclass(frozen=True, slots=True)
class FailureCount:
    """The number of failed sign-ins, and the time since the last one."""

    count: int
    since: timedelta


@dataclass(frozen=True, slots=True)
class RecentFailures:
    """Recent failures that delay the next attempt to sign in.

    ``here`` counts the account's failures from the same address. ``anywhere`` counts the account's
    failures from all addresses. If the account has signed in from the address's neighbourhood (a
    wider network), only failures from there count. ``address`` counts the failures from the address
    for all accounts.
    """

    here: FailureCount
    anywhere: FailureCount
    address: FailureCount


def recent_failures(
    session: Session,
    username: str,
    account: str,
    address: str | None,
    neighbourhood: str | None,
    window: timedelta,
) -> RecentFailures:
    """Return the failures that all API processes recorded within ``window``.

    The same single statement runs whether the account exists or not, so that its duration does not
    reveal this.

    Args:
        session: the database session.
        username: the user name that was entered.
        account: the pseudonym of ``username`` in the table of failures.
        address: the address, or the network that counts as one address.
        neighbourhood: the wider network, within which a user's address may change from day to day.
        window: the age up to which failures count.
    """
    mine = LoginFailure.account == account
    place = cast(address, CIDR)
    now = func.clock_timestamp()
    signed_in_here = (
        select(AuthSession.id)
        .join(User, User.id == AuthSession.user_id)
        .where(User.username == username, in_network(AuthSession.ip_address, neighbourhood))
        .exists()
    )
    columns: list[Any] = []
    for condition in (
        and_(mine, LoginFailure.address.is_not_distinct_from(place)),
        and_(mine, or_(~signed_in_here, in_network(LoginFailure.address, neighbourhood))),
        LoginFailure.address == place,
    ):
        columns += [
            func.count().filter(condition),
            now - func.max(LoginFailure.failed_at).filter(condition),
        ]
    row = session.execute(
        select(*columns).where(
            LoginFailure.failed_at > now - window, or_(mine, LoginFailure.address == place)
        )
    ).one()
    none = timedelta(0)
    # If the clock was set back, failures can lie in the future. Their age then counts as 0, so that
    # nobody has to wait until that time is reached.
    return RecentFailures(
        *(FailureCount(row[at], max(row[at + 1] or none, none)) for at in (0, 2, 4))
    )


def in_network(address: Any, network: str | None) -> ColumnElement[bool]:
    """Return the condition that an address lies in a network.

    For requests over Unix sockets, both are NULL, which counts as a match.
    """
    around = cast(network, CIDR)
    inside: ColumnElement[bool] = address.op("<<=", is_comparison=True)(around)
    return or_(inside, and_(address.is_(None), around.is_(None)))


def refresh_token(session: Session, token_hash: bytes) -> AuthToken | None:
    """Return the refresh token with this hash, in its current state; None if there is none."""
    return session.scalar(
        select(AuthToken)
        .where(AuthToken.token_hash == token_hash, AuthToken.kind == "refresh")
        .execution_options(populate_existing=True)
    )


def lock_session(session: Session, session_id: int) -> AuthSession | None:
    """Lock a login session against renewal and sign-out, and return it; None if it is gone."""
    return session.scalar(
        select(AuthSession)
        .where(AuthSession.id == session_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def own_session(session: Session, user_id: int, uuid: UUID) -> AuthSession:
    """Return one of the user's active sessions, locked.

    Raises:
        NotFound: when there is no such session.
    """
    login: AuthSession | None = session.scalar(
        active_sessions(user_id).where(AuthSession.uuid == uuid).with_for_update(of=AuthSession)
    )
    if login is None:
        raise NotFound(resource="session")
    return login


def active_sessions(user_id: int) -> Select[Any]:
    """Select the user's sessions that have not ended and have an unexpired token."""
    token = select(AuthToken.id).where(
        AuthToken.session_id == AuthSession.id, AuthToken.expires_at > func.now()
    )
    return select(AuthSession).where(
        AuthSession.user_id == user_id, AuthSession.ended_at.is_(None), token.exists()
    )


def tokens_since(session: Session, session_id: int, token: AuthToken) -> Sequence[AuthToken]:
    """Return the session's tokens that were issued after ``token``."""
    return session.scalars(
        select(AuthToken).where(AuthToken.session_id == session_id, AuthToken.id > token.id)
    ).all()
