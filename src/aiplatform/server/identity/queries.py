"""Named selects of accounts and sign-ins."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, cast, column, exists, func, or_, select, table
from sqlalchemy.dialects.postgresql import CIDR
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import WILDCARD
from aiplatform.server.core.errors import NotFound
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


def find_user(
    session: Session, name: str, *, lock: bool = False, for_deletion: bool = False
) -> User:
    """Return the account of this uuid or user name.

    Args:
        lock: read it anew and lock it. Others may still refer to it, so that a task which ends
            at this moment can tell its author.
        for_deletion: nobody may refer to it either.

    Raises:
        NotFound: when there is none.
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
    """Whether the account's password must be replaced before anything else."""
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
    """Whether an active user holds ``*`` globally."""
    holder = (
        select(User.id)
        .join(Role, Role.name == User.role)
        .where(User.is_active, Role.permissions.contains([WILDCARD]))
    )
    return session.scalar(holder.limit(1)) is not None


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


def list_users(
    *, search: str | None = None, role: str | None = None, active: bool | None = None
) -> Select[Any]:
    """Accounts whose name or address contains ``search``, of a role, active or not."""
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
    """Invitations with who made them."""
    statement = (
        select(Invitation, User, Role.name)
        .join(User, User.id == Invitation.created_by)
        .outerjoin(Role, Role.id == Invitation.project_role_id)
    )
    return statement.where(*_OPEN) if open_only else statement


def open_invitation(session: Session, found: ColumnElement[bool]) -> Invitation | None:
    """An invitation that still works, locked."""
    return session.scalar(select(Invitation).where(found, *_OPEN).with_for_update())


def usable_reset(session: Session, token_hash: bytes) -> PasswordReset | None:
    """A reset that still works, locked."""
    return session.scalar(
        select(PasswordReset)
        .where(PasswordReset.token_hash == token_hash, PasswordReset.expires_at > func.now())
        .with_for_update()
    )


def reset_sent_since(session: Session, user_id: int, pause: timedelta) -> bool:
    """Whether somebody had a link sent to the account within ``pause``."""
    sent = select(PasswordReset.id).where(
        PasswordReset.user_id == user_id,
        PasswordReset.created_by.is_(None),
        # Not for ever, where the clock was set back since.
        PasswordReset.created_at.between(func.now() - pause, func.now() + pause),
    )
    return session.scalar(sent.limit(1)) is not None


def find_role(session: Session, name: str, *, lock: bool = False) -> Role:
    """The role of this name or uuid.

    Raises:
        NotFound: when there is none.
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
    """All roles."""
    return select(Role)


_grants = table("project_permissions", column("user_id"), column("role_id"))
"""A table of the domain above, of which only the holders of a role are read here."""


def role_uses(session: Session, role: Role, sso_roles: Iterable[str]) -> dict[str, int]:
    """How many accounts, members, open invitations and groups of single sign-on have the role."""
    invited = or_(Invitation.role == role.name, Invitation.project_role_id == role.id)
    row = session.execute(
        select(
            select(func.count()).where(User.role == role.name).scalar_subquery(),
            select(func.count()).where(_grants.c.role_id == role.id).scalar_subquery(),
            select(func.count()).select_from(Invitation).where(invited, *_OPEN).scalar_subquery(),
        )
    ).one()
    sso = sum(name == role.name for name in sso_roles)
    return {"users": row[0], "members": row[1], "invitations": row[2], "sso": sso}


def holds_role(session: Session, user_id: int, role: Role) -> bool:
    """Whether the account has the role, globally or in any project."""
    globally = exists().where(User.id == user_id, User.role == role.name)
    inside = exists().where(_grants.c.user_id == user_id, _grants.c.role_id == role.id)
    return bool(session.scalar(select(or_(globally, inside))))


def global_permissions(session: Session, role: str | None) -> frozenset[str]:
    """What a global role grants; the plain user's is nothing."""
    if role is None or role == PLAIN_USER:
        return frozenset()
    held = session.scalar(select(Role.permissions).where(Role.name == role))
    return frozenset(held or ())


@dataclass(frozen=True, slots=True)
class Failed:
    """How many failures, and the age of the last."""

    count: int
    since: timedelta


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures of an account since it last signed in.

    ``here`` are those from one address, ``anywhere`` those from all addresses, or from the
    neighbourhood of the address alone where the account has signed in from there. ``address`` has
    those from the address, of whatever account.
    """

    here: Failed
    anywhere: Failed
    address: Failed


def recent_failures(
    session: Session,
    username: str,
    account: str,
    address: str | None,
    neighbourhood: str | None,
    window: timedelta,
) -> Failures:
    """Return the failures within ``window``, over all processes.

    One statement, whether the account exists or not.

    Args:
        account: what the record calls the account of ``username``.
        address: what counts as one address.
        neighbourhood: the network around it in which a holder's address changes from day to day.
    """
    mine = LoginFailure.account == account
    place = cast(address, CIDR)
    now = func.clock_timestamp()
    signed_in_here = (
        select(AuthSession.id)
        .join(User, User.id == AuthSession.user_id)
        .where(User.username == username, within(AuthSession.ip_address, neighbourhood))
        .exists()
    )
    columns: list[Any] = []
    for condition in (
        and_(mine, LoginFailure.address.is_not_distinct_from(place)),
        and_(mine, or_(~signed_in_here, within(LoginFailure.address, neighbourhood))),
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
    # A clock that was set back has failures in its future; nobody waits until it gets there.
    return Failures(*(Failed(row[at], max(row[at + 1] or none, none)) for at in (0, 2, 4)))


def within(address: Any, network: str | None) -> ColumnElement[bool]:
    """Return the condition that an address lies in a network. Unix sockets have neither."""
    around = cast(network, CIDR)
    inside: ColumnElement[bool] = address.op("<<=", is_comparison=True)(around)
    return or_(inside, and_(address.is_(None), around.is_(None)))


def refresh_token(session: Session, token_hash: bytes) -> AuthToken | None:
    """A refresh token, as the database has it now."""
    return session.scalar(
        select(AuthToken)
        .where(AuthToken.token_hash == token_hash, AuthToken.kind == "refresh")
        .execution_options(populate_existing=True)
    )


def lock_session(session: Session, session_id: int) -> AuthSession | None:
    """A login session that nobody else renews or ends until this transaction does."""
    return session.scalar(
        select(AuthSession)
        .where(AuthSession.id == session_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def own_session(session: Session, user_id: int, uuid: UUID) -> AuthSession:
    """A living session of the user's, locked.

    Raises:
        NotFound: when there is none.
    """
    login: AuthSession | None = session.scalar(
        living_sessions(user_id).where(AuthSession.uuid == uuid).with_for_update(of=AuthSession)
    )
    if login is None:
        raise NotFound(resource="session")
    return login


def living_sessions(user_id: int) -> Select[Any]:
    """The user's sessions that have not ended and still have a token that counts."""
    token = select(AuthToken.id).where(
        AuthToken.session_id == AuthSession.id, AuthToken.expires_at > func.now()
    )
    return select(AuthSession).where(
        AuthSession.user_id == user_id, AuthSession.ended_at.is_(None), token.exists()
    )


def tokens_since(session: Session, session_id: int, token: AuthToken) -> Sequence[AuthToken]:
    """The tokens of the session that were made after ``token``."""
    return session.scalars(
        select(AuthToken).where(AuthToken.session_id == session_id, AuthToken.id > token.id)
    ).all()
