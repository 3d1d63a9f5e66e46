"""Tables for accounts, roles, sessions, tokens and API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String, Text, func
from sqlalchemy.dialects.postgresql import CIDR, INET
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Created, Identified, Updated
from aiplatform.server.core.encryption import encrypted_column
from aiplatform.server.core.errors import Language
from aiplatform.server.identity.rules import Theme


class User(Identified, Updated, Base):
    """A user account.

    ``role`` is the name of a row in ``roles``, or ``user`` for accounts without a global role.
    The columns are fixed by the schema contract; see docs/architecture.md.
    """

    __tablename__ = "users"

    username: Mapped[str] = mapped_column(String(50), unique=True)
    email: Mapped[str] = mapped_column(String(100), unique=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    role: Mapped[str] = mapped_column(String(20), server_default="user")
    is_active: Mapped[bool] = mapped_column(server_default="true")
    last_login_at: Mapped[datetime | None]


class UserSecurity(Base):
    """Additional columns of an account; the schema contract fixes those of ``users``."""

    __tablename__ = "user_security"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    must_change_password: Mapped[bool] = mapped_column(server_default="false")
    password_changed_at: Mapped[datetime | None]
    email_claimed: Mapped[bool] = mapped_column(server_default="false")
    """True if the account holder entered the e-mail address but has not yet proved to own it."""


class UserPreferences(Base):
    """An account's preferences for the web interface. Null means the browser's setting."""

    __tablename__ = "user_preferences"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    language: Mapped[Language | None] = mapped_column(String(2))
    theme: Mapped[Theme | None] = mapped_column(String(6))


class UserDevice(Base):
    """A program and network from which an account has signed in, as a hash."""

    __tablename__ = "user_devices"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    device: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class Role(Identified, Created, Base):
    """A named set of permissions.

    The columns are fixed by the schema contract; see docs/architecture.md.
    """

    __tablename__ = "roles"

    name: Mapped[str] = mapped_column(String(50), unique=True)
    description: Mapped[str | None] = mapped_column(Text)
    permissions: Mapped[list[str]]
    is_system: Mapped[bool] = mapped_column(server_default="false")


class AuthSession(Base):
    """A login session. All tokens issued since its sign-in belong to it."""

    __tablename__ = "auth_sessions"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    refreshed_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    last_seen_at: Mapped[datetime | None]
    ip_address: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(50))


class AuthToken(Base):
    """An access or refresh token. Only its SHA-256 is stored. A refresh token works once.

    ``withdrawn_at`` is the time when the token was replaced because the client seemed not to have
    received it.
    """

    __tablename__ = "auth_tokens"

    id: Mapped[BigKey]
    session_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("auth_sessions.id"))
    kind: Mapped[str] = mapped_column(String(10))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]


class LoginFailure(Base):
    """A failed sign-in. The row is kept as long as it delays further attempts."""

    __tablename__ = "login_failures"

    id: Mapped[BigKey]
    account: Mapped[str] = mapped_column(String(16))
    address: Mapped[str | None] = mapped_column(CIDR)
    failed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Invitation(Created, Base):
    """A single-use link that creates an account.

    ``role`` is the global role, ``project_role_id`` the role in the project. ``project_id`` is a
    plain number, because the table of projects belongs to a higher domain.
    """

    __tablename__ = "invitations"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    email: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(20))
    project_id: Mapped[int | None]
    project_role_id: Mapped[int | None] = mapped_column(ForeignKey("roles.id"))
    created_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    accepted_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    revoked_at: Mapped[datetime | None]


class PasswordReset(Created, Base):
    """A single-use link that sets a new password."""

    __tablename__ = "password_resets"

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    expires_at: Mapped[datetime]


class Totp(Created, Base):
    """An account's second factor. It is active once it has been confirmed.

    ``last_step`` is the time step of the last accepted code, so that no code is accepted twice.
    """

    __tablename__ = "user_totp"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    seed: Mapped[bytes] = encrypted_column("totp:{user_id}")
    confirmed_at: Mapped[datetime | None]
    last_step: Mapped[int] = mapped_column(BigInteger, server_default="0")


class RecoveryCode(Base):
    """A single-use code that replaces a second-factor code. Only its SHA-256 is stored."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("user_totp.user_id"), primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)


class ApiKey(Base):
    """A user's key for programs. Only its SHA-256 is stored.

    A key grants only permissions that are in both ``scopes`` and its owner's current permissions.
    With a project, it is limited to that project. ``prefix`` is the part of the key that is shown
    in lists.
    """

    __tablename__ = "api_keys"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    # No ForeignKey here, because the domain ``projects`` is above this one. The table itself has
    # one.
    project_id: Mapped[int | None]
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(20))
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoke_reason: Mapped[str | None] = mapped_column(String(50))


class SsoIdentity(Base):
    """An account's identity at a provider: issuer and subject.

    The e-mail address does not identify anyone, because it may be given to another person later.
    """

    __tablename__ = "sso_identities"

    id: Mapped[BigKey]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    issuer: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class SsoLogin(Base):
    """A sign-in through the provider, from its start until tokens are issued.

    Each of its steps can happen only once.
    """

    __tablename__ = "sso_logins"

    id: Mapped[BigKey]
    state_hash: Mapped[bytes] = mapped_column(LargeBinary)
    browser_hash: Mapped[bytes] = mapped_column(LargeBinary)
    redirect_uri: Mapped[str] = mapped_column(Text)
    client_state: Mapped[str] = mapped_column(Text)
    code_challenge: Mapped[str] = mapped_column(String(43))
    expires_at: Mapped[datetime]
    returned_at: Mapped[datetime | None]
    code_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    code_expires_at: Mapped[datetime | None]
    exchanged_at: Mapped[datetime | None]
