"""The principal behind a bearer token, and the query that finds it."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fastapi import Request
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    LargeBinary,
    Select,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
)

from aiplatform.protocol.permissions import WILDCARD, Permission, grants, intersection
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.clients import client_address
from aiplatform.server.identity.errors import PasswordChangeRequired, Unauthenticated
from aiplatform.server.identity.models import (
    ApiKey,
    AuthSession,
    AuthToken,
    Role,
    User,
    UserSecurity,
)
from aiplatform.server.identity.rules import PLAIN_USER

used_sessions: set[int] = set()
"""Ids of recently used sessions whose ``last_seen_at`` will be updated with the next batch."""

LAST_USED_RESOLUTION = text("interval '1 minute'")
"""Minimum time between two updates of a key's time of last use, because each costs a write."""


def hash_token(token: str) -> bytes:
    """Return the hash under which a token is stored.

    Tokens are long and random, so a plain digest can't be reversed by guessing.
    """
    return hashlib.sha256(token.encode()).digest()


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """The limits that an API key imposes on its owner's permissions."""

    key_id: int
    key_uuid: UUID
    scopes: frozenset[str]
    project_id: int | None
    """The only project in which the key can be used; None for all of the owner's projects."""
    owner_reaches_all_projects: bool
    """True if the owner's global role gives access to every project."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A user whose token was valid when the request was checked.

    ``permissions`` apply outside projects. ``session_id`` is 0 for an API key.
    """

    user_id: int
    user_uuid: UUID
    username: str
    role: str
    permissions: frozenset[str]
    session_id: int
    must_change_password: bool
    actor: Actor
    key: KeyLimits | None = None

    @property
    def is_superuser(self) -> bool:
        """True if everything is allowed, both outside projects and in every project."""
        return WILDCARD in self.permissions

    @property
    def reaches_all_projects(self) -> bool:
        """True if the global role gives access to every project.

        An API key still limits the permissions, and :meth:`reaches` excludes projects other than
        the key's own.
        """
        return self.is_superuser if self.key is None else self.key.owner_reaches_all_projects

    @property
    def key_id(self) -> int | None:
        """The id of the API key that the request presented; None for a session."""
        return None if self.key is None else self.key.key_id

    def may(self, permission: Permission) -> bool:
        """Return True if the global role grants ``permission`` outside projects."""
        return grants(self.permissions, permission)

    def limit_global_permissions(self, held: frozenset[str]) -> frozenset[str]:
        """Return the subset of a global role's permissions that this credential may use."""
        key = self.key
        if key is None:
            return held
        return limit_permissions(
            list(held), key.key_id, key.key_uuid, list(key.scopes), key.project_id
        )[0]

    def limit_to_scopes(self, held: frozenset[str]) -> frozenset[str]:
        """Return the subset of the permissions ``held`` that this credential may use."""
        return held if self.key is None else intersection(held, self.key.scopes)

    def in_scope(self, permission: Permission) -> bool:
        """Return True if this credential may use ``permission``, provided the user holds it."""
        return self.key is None or grants(self.key.scopes, permission)

    def reaches(self, project_id: int | None) -> bool:
        """Return True if this credential may be used in the project at all."""
        return self.key is None or self.key.project_id in {None, project_id}


def actor_of(request: Request) -> Actor:
    """Return an actor with the address and program of a request, but without a user."""
    return Actor(ip_address=client_address(request), user_agent=request.headers.get("user-agent"))


def principal_statement() -> Select[*tuple[Any, ...]]:
    """Select the token or API key, its user, and the user's global role.

    Guards also join the tables that they need.

    The statement's parameter is ``token_hash``; see :func:`hash_token`.
    """
    shown = select(bindparam("token_hash", type_=LargeBinary).label("hash")).subquery("shown")
    now = func.clock_timestamp()
    session_is_valid = and_(AuthToken.expires_at > now, AuthSession.ended_at.is_(None))
    return (
        select(
            or_(session_is_valid, key_is_valid()).label("credential_is_valid"),
            func.coalesce(AuthSession.id, 0).label("session_id"),
            User.id.label("user_id"),
            User.uuid.label("user_uuid"),
            User.username,
            User.role,
            User.is_active,
            Role.permissions,
            func.coalesce(UserSecurity.must_change_password, False).label("must_change_password"),
            ApiKey.id.label("key_id"),
            ApiKey.uuid.label("key_uuid"),
            ApiKey.scopes.label("key_scopes"),
            ApiKey.project_id.label("key_project_id"),
            or_(
                ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now - LAST_USED_RESOLUTION
            ).label("key_use_unrecorded"),
        )
        .select_from(shown)
        .outerjoin(
            AuthToken, and_(AuthToken.token_hash == shown.c.hash, AuthToken.kind == "access")
        )
        .outerjoin(AuthSession, AuthSession.id == AuthToken.session_id)
        .outerjoin(ApiKey, ApiKey.key_hash == shown.c.hash)
        .join(User, User.id == func.coalesce(AuthSession.user_id, ApiKey.user_id))
        .outerjoin(Role, Role.name == User.role)
        .outerjoin(UserSecurity, UserSecurity.user_id == User.id)
    )


def key_is_valid() -> ColumnElement[bool]:
    """Return the condition that the API key joined by :func:`principal_statement` is valid."""
    return and_(
        ApiKey.id.is_not(None),
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > func.clock_timestamp()),
    )


def principal_from(row: Any, request: Request, *, allow_first_password: bool) -> Principal:
    """Return the principal described by a row of :func:`principal_statement`.

    Raises:
        Unauthenticated: there is no row, the token or key has expired, the session has ended, or
            the user is inactive.
        PasswordChangeRequired: while the initial password must be replaced.
    """
    if row is None or not row.credential_is_valid or not row.is_active:
        raise Unauthenticated
    if row.must_change_password and not allow_first_password:
        raise PasswordChangeRequired
    if row.session_id:
        used_sessions.add(row.session_id)
    origin = actor_of(request)
    request.state.user_id = row.user_id  # read by the rate limits
    permissions, key = limit_permissions(
        row.permissions, row.key_id, row.key_uuid, row.key_scopes, row.key_project_id
    )
    return Principal(
        user_id=row.user_id,
        user_uuid=row.user_uuid,
        username=row.username,
        # The column is null if nobody has assigned a role to the account.
        role=row.role or PLAIN_USER,
        permissions=permissions,
        session_id=row.session_id,
        must_change_password=row.must_change_password,
        actor=Actor(
            user_id=row.user_id,
            user_uuid=row.user_uuid,
            username=row.username,
            ip_address=origin.ip_address,
            user_agent=origin.user_agent,
            key_uuid=row.key_uuid,
        ),
        key=key,
    )


def limit_permissions(
    role_permissions: list[str] | None,
    key_id: int | None,
    key_uuid: UUID | None,
    scopes: list[str] | None,
    project_id: int | None,
) -> tuple[frozenset[str], KeyLimits | None]:
    """Return a credential's permissions outside projects, and its API key's limits or None."""
    held = frozenset(role_permissions or ())
    if key_id is None or key_uuid is None:
        return held, None
    limits = frozenset(scopes or ())
    key = KeyLimits(
        key_id, key_uuid, limits, project_id, owner_reaches_all_projects=WILDCARD in held
    )
    # A key for one project grants nothing outside it.
    return intersection(held, limits) if project_id is None else frozenset(), key


def add_validity_columns(statement: Select[Any]) -> Select[Any]:
    """Add the columns that :func:`refresh_principal` reads to a select of ``User``.

    Its parameters are those of :func:`validity_parameters`.
    """
    key_id = bindparam("key_id", type_=BigInteger)
    session_id = bindparam("session_id", type_=BigInteger)
    return (
        statement.add_columns(
            User.is_active,
            Role.permissions,
            # A session without a row has not ended: it was deleted after all its tokens had
            # expired.
            AuthSession.ended_at.is_(None).label("session_is_valid"),
            or_(key_id == 0, key_is_valid()).label("key_is_valid"),
        )
        .outerjoin(AuthSession, AuthSession.id == session_id)
        .outerjoin(ApiKey, ApiKey.id == key_id)
        .outerjoin(Role, Role.name == User.role)
        .where(User.id == bindparam("user_id", type_=Integer))
    )


def validity_parameters(principal: Principal) -> dict[str, int]:
    """Return the parameters of :func:`add_validity_columns`."""
    return {
        "user_id": principal.user_id,
        "session_id": principal.session_id,
        "key_id": 0 if principal.key is None else principal.key.key_id,
    }


def refresh_principal(row: Any, before: Principal) -> Principal:
    """Return the principal with their current permissions, long after a guard admitted them.

    An access token that has expired in the meantime is still accepted, because its expiry is no
    reason to lose an upload. But the session must not have ended, and an API key must not have been
    revoked.

    Args:
        row: a row of :func:`add_validity_columns`.
        before: the principal that the guard admitted.

    Raises:
        Unauthenticated: when the principal would no longer be admitted.
    """
    if row is None or not row.is_active or not row.session_is_valid or not row.key_is_valid:
        raise Unauthenticated
    held = frozenset(row.permissions or ())
    if before.key is None:
        return replace(before, permissions=held)
    key = before.key
    permissions, key_now = limit_permissions(
        list(held), key.key_id, key.key_uuid, list(key.scopes), key.project_id
    )
    return replace(before, permissions=permissions, key=key_now)
