"""Factories for users, roles, invitations, and the credentials that users sign in with."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.identity.access import hash_token
from aiplatform.server.identity.models import (
    ApiKey,
    AuthSession,
    AuthToken,
    Invitation,
    Role,
    User,
    UserSecurity,
)
from aiplatform.server.projects.models import Project
from tests.factories.numbers import number

PASSWORD = "a password of tests"
_HASH = Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def make_user(
    session: Session,
    username: str | None = None,
    *,
    role: str = "user",
    active: bool = True,
    must_change_password: bool = False,
    password_hash: str = _HASH,
) -> User:
    """Create an account; its password is :data:`PASSWORD` unless you pass another hash."""
    name = username or f"user{number()}"
    user = User(
        username=name,
        email=f"{name}@example.com",
        password_hash=password_hash,
        role=role,
        is_active=active,
    )
    session.add(user)
    session.flush()
    session.add(UserSecurity(user_id=user.id, must_change_password=must_change_password))
    session.commit()
    session.refresh(user)
    return user


def make_role(session: Session, *permissions: str, name: str | None = None) -> Role:
    """Create a custom role."""
    role = Role(name=name or f"role{number()}", permissions=[str(p) for p in permissions])
    session.add(role)
    session.commit()
    session.refresh(role)
    return role


def make_token(session: Session, user: User, *, lifetime: timedelta = timedelta(hours=1)) -> str:
    """Create an access token in its own login session and return the token."""
    login = AuthSession(user_id=user.id)
    session.add(login)
    session.flush()
    token = secrets.token_urlsafe(32)
    session.add(
        AuthToken(
            session_id=login.id,
            kind="access",
            token_hash=hash_token(token),
            expires_at=datetime.now(UTC) + lifetime,
        )
    )
    session.commit()
    return token


def make_session(session: Session, user: User) -> AuthSession:
    """Create a login session whose access token is not returned."""
    make_token(session, user)
    newest = (
        select(AuthSession).where(AuthSession.user_id == user.id).order_by(AuthSession.id.desc())
    )
    return session.scalars(newest.limit(1)).one()


def make_invitation(session: Session, maker: User, **columns: Any) -> Invitation:
    """Create an invitation with a random token hash, so that no link matches it."""
    values: dict[str, Any] = {
        "token_hash": secrets.token_bytes(32),
        "email": f"invited{number()}@example.com",
        "role": "user",
        "created_by": maker.id,
        "expires_at": datetime.now(UTC) + timedelta(days=1),
        **columns,
    }
    row = Invitation(**values)
    session.add(row)
    session.commit()
    session.refresh(row)
    return row


def make_key(
    session: Session,
    user: User,
    *scopes: str,
    token: str | None = None,
    project: Project | None = None,
    name: str | None = None,
    lifetime: timedelta | None = None,
) -> ApiKey:
    """Create an API key with the given scopes, by default ``*``.

    ``token`` is the key in the clear. By default it is random and not returned.
    """
    key = ApiKey(
        user_id=user.id,
        project_id=None if project is None else project.id,
        name=name or f"key{number()}",
        prefix="aip_key_test",
        key_hash=hash_token(token or secrets.token_urlsafe(32)),
        scopes=[str(scope) for scope in scopes] or ["*"],
        expires_at=None if lifetime is None else datetime.now(UTC) + lifetime,
    )
    session.add(key)
    session.commit()
    session.refresh(key)
    return key
