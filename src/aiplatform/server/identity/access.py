"""Guards: who may act outside projects. Authentication and permission are one statement.

Every route carries exactly one guard: :data:`PUBLIC`, a :class:`PlatformGuard`, or a guard of
:mod:`aiplatform.server.projects.access`. A route without one fails the build (see the route tests).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import Select, and_, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.permissions import Permission, grants
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.database import commit, get_session
from aiplatform.server.identity.errors import (
    PasswordChangeRequired,
    PermissionDenied,
    Unauthenticated,
)
from aiplatform.server.identity.models import AuthSession, AuthToken, Role, User, UserSecurity
from aiplatform.server.identity.rules import PLAIN_USER

SessionDep = Annotated[Session, Depends(get_session, scope="function")]
"""The request's session; it commits before the answer is sent."""

oauth2 = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/token", auto_error=False)
BearerToken = Annotated[str | None, Depends(oauth2)]


def hash_token(token: str) -> bytes:
    """What of a token is stored. Tokens are random, so a plain digest can't be guessed back."""
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose token was good at the time of the request."""

    user_id: int
    user_uuid: UUID
    username: str
    role: str
    permissions: frozenset[str]
    session_id: int
    must_change_password: bool
    actor: Actor

    @property
    def is_superuser(self) -> bool:
        """Whether the global role crosses into every project."""
        return "*" in self.permissions

    def may(self, permission: Permission) -> bool:
        """Whether the global role grants ``permission`` outside projects."""
        return grants(self.permissions, permission)


def actor_of(request: Request) -> Actor:
    """From where a request without a known user comes."""
    return Actor(ip_address=_address(request), user_agent=request.headers.get("user-agent"))


def _address(request: Request) -> str | None:
    """The peer's address as PostgreSQL's ``inet`` takes it: none on a unix socket, no zone."""
    host = "" if request.client is None else request.client.host.partition("%")[0]
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def principal_statement(token: str) -> Select[*tuple[Any, ...]]:
    """Selects token, session, user and global role; guards join what else they need."""
    return (
        select(
            AuthToken.expires_at,
            AuthSession.id.label("session_id"),
            AuthSession.ended_at,
            User.id.label("user_id"),
            User.uuid.label("user_uuid"),
            User.username,
            User.role,
            User.is_active,
            Role.permissions,
            func.coalesce(UserSecurity.must_change_password, False).label("must_change_password"),
            func.clock_timestamp().label("now"),
        )
        .select_from(AuthToken)
        .join(AuthSession, AuthSession.id == AuthToken.session_id)
        .join(User, User.id == AuthSession.user_id)
        .outerjoin(Role, Role.name == User.role)
        .outerjoin(UserSecurity, UserSecurity.user_id == User.id)
        .where(and_(AuthToken.token_hash == hash_token(token), AuthToken.kind == "access"))
    )


def principal_from(row: Any, request: Request, *, allow_first_password: bool) -> Principal:
    """The principal of a row of :func:`principal_statement`.

    Raises:
        Unauthenticated: for no row, an expired token, an ended session, an inactive user.
        PasswordChangeRequired: while the first password stands.
    """
    expired: datetime | None = None if row is None else row.expires_at
    if expired is None or expired <= row.now or row.ended_at is not None or not row.is_active:
        raise Unauthenticated
    if row.must_change_password and not allow_first_password:
        raise PasswordChangeRequired
    origin = actor_of(request)
    return Principal(
        user_id=row.user_id,
        user_uuid=row.user_uuid,
        username=row.username,
        # The column may be null; then nobody gave the account a role.
        role=row.role or PLAIN_USER,
        permissions=frozenset(row.permissions or ()),
        session_id=row.session_id,
        must_change_password=row.must_change_password,
        actor=Actor(
            user_id=row.user_id,
            user_uuid=row.user_uuid,
            username=row.username,
            ip_address=origin.ip_address,
            user_agent=origin.user_agent,
        ),
    )


def deny(
    session: Session,
    principal: Principal,
    permission: Permission | str,
    request: Request,
    *,
    project: UUID | None = None,
) -> PermissionDenied:
    """Record a denied attempt, and make the error that tells of it.

    The error will roll the request's transaction back, so the record is committed here, on the same
    connection: a second one taken while holding the first could exhaust the pool. A guard has only
    read so far.
    """
    session.rollback()
    audit.record(
        session,
        principal.actor,
        AuditAction.ACCESS_DENIED,
        "route",
        project=project,
        outcome="denied",
        permission=str(permission),
        method=request.method,
        path=request.url.path[:300],
    )
    commit(session)
    return PermissionDenied(permission=str(permission))


class PublicGuard:
    """Declares that a route is open to everybody."""

    permission = None

    def __call__(self) -> None:
        """Let everybody in."""


PUBLIC = PublicGuard()
Public = Annotated[None, Depends(PUBLIC)]


class PlatformGuard:
    """Lets in who is signed in and, when a permission is named, holds it globally."""

    def __init__(
        self, permission: Permission | None = None, *, allow_first_password: bool = False
    ) -> None:
        self.permission = permission
        self.allow_first_password = allow_first_password

    def __call__(self, request: Request, session: SessionDep, token: BearerToken) -> Principal:
        """The principal.

        Raises:
            Unauthenticated, PasswordChangeRequired, PermissionDenied: see there.
        """
        row = None if token is None else session.execute(principal_statement(token)).one_or_none()
        principal = principal_from(row, request, allow_first_password=self.allow_first_password)
        if not self.allows(principal):
            assert self.permission is not None
            raise deny(session, principal, self.permission, request)
        return principal

    def allows(self, principal: Principal) -> bool:
        """Whether the principal passes."""
        return self.permission is None or principal.may(self.permission)


SignedIn = Annotated[Principal, Depends(PlatformGuard())]
FirstPassword = Annotated[Principal, Depends(PlatformGuard(allow_first_password=True))]
"""Signed in, perhaps with a first password that must still be replaced."""
