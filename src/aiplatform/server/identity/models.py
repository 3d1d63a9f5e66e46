"""Accounts, roles, sessions and tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text, func
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Created, Identified, Updated


class User(Identified, Updated, Base):
    """An account; the contract's table. ``role`` names a row of ``roles``, or is ``user``."""

    __tablename__ = "users"

    username: Mapped[str] = mapped_column(String(50), unique=True)
    email: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    role: Mapped[str] = mapped_column(String(20), server_default="user")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    last_login_at: Mapped[datetime | None]


class UserSecurity(Base):
    """What an account needs and the contract has no column for."""

    __tablename__ = "user_security"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    must_change_password: Mapped[bool] = mapped_column(server_default="false")
    password_changed_at: Mapped[datetime | None]
    failed_logins: Mapped[int] = mapped_column(server_default="0")
    last_failed_at: Mapped[datetime | None]


class Role(Identified, Created, Base):
    """A named set of permissions; the contract's table."""

    __tablename__ = "roles"

    name: Mapped[str] = mapped_column(String(50), unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    permissions: Mapped[list[str]]
    is_system: Mapped[bool] = mapped_column(server_default="false")


class AuthSession(Base):
    """One login: the family of the tokens that descend from it."""

    __tablename__ = "auth_sessions"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    refreshed_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    ip_address: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(50))


class AuthToken(Base):
    """A token at rest: its SHA-256, never itself. A refresh token is used once."""

    __tablename__ = "auth_tokens"

    id: Mapped[BigKey]
    session_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("auth_sessions.id"))
    kind: Mapped[str] = mapped_column(String(10))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
