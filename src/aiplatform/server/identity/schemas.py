"""Request bodies for accounts, invitations, roles, sessions and tokens, and short responses."""

from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.names import NAME_PATTERN, not_deceptive, single_spelling
from aiplatform.protocol.permissions import is_permission
from aiplatform.protocol.shapes.identity import EXAMPLE_UUID, UserOut
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.models import User
from aiplatform.server.identity.rules import PLAIN_USER


def no_uuid(name: str) -> str:
    """Refuse a name that looks like a uuid, because paths accept a uuid in place of a user name."""
    try:
        UUID(name)
    except ValueError:
        return name
    raise ValueError("must not have the form of a uuid")


Username = Annotated[
    str,
    StringConstraints(min_length=2, max_length=50, pattern=NAME_PATTERN),
    BeforeValidator(single_spelling),
    AfterValidator(not_deceptive),
    AfterValidator(no_uuid),
]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        max_length=100,
        pattern=r"^[^@\s\x00-\x1f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$",
    ),
]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class PasswordIn(Strict):
    """A password change for the caller's account. The account's other sessions end."""

    current_password: Password
    new_password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"current_password": "admin123", "new_password": "a long sentence"}]
        }
    )


class EmailIn(Strict):
    """An e-mail address change for the caller's account.

    It requires the password, because a person who controls the address can reset the password.
    """

    email: Email
    password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"email": "lin@example.org", "password": "a long sentence"}]
        }
    )


class UserIn(Strict):
    """A new account.

    Without a global role, the account can create projects and use the projects that it belongs to.
    """

    username: Username
    email: Email
    password: Password
    role: str = Field("user", max_length=50, description="global role, or `user` for none")
    must_change_password: bool = Field(False, description="at the first sign-in")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "username": "lin",
                    "email": "lin@example.com",
                    "password": "a long sentence",
                    "role": "user",
                }
            ]
        }
    )


class UserChanges(Strict):
    """Changes to an account. Omitted fields keep their values."""

    username: Username | None = None
    email: Email | None = None
    role: str | None = Field(None, max_length=50, description="global role, or `user` for none")

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "lin@example.org"}]})


class RegisterIn(Strict):
    """An account that a user creates for themselves."""

    username: Username
    email: Email
    password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"username": "lin", "email": "lin@example.com", "password": "a long sentence"}
            ]
        }
    )


def render_user(row: User) -> UserOut:
    """Return the response body of an account.

    The role and state may be null in the database if another program inserted the row.
    """
    return UserOut(
        uuid=row.uuid,
        username=row.username,
        email=row.email,
        role=row.role or PLAIN_USER,
        is_active=bool(row.is_active),
        created_at=row.created_at,
        updated_at=row.updated_at,
        last_login_at=row.last_login_at,
    )


class InvitationIn(Strict):
    """A new invitation. Give both ``project`` and ``project_role``, or neither."""

    email: Email
    role: str = Field("user", max_length=50, description="global role, or `user` for none")
    project: UUID | None = None
    project_role: str | None = Field(None, max_length=50)
    days: int | None = Field(None, ge=1, le=90, description="by default `INVITATION_DAYS`")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "lin@example.com",
                    "project": EXAMPLE_UUID,
                    "project_role": "developer",
                }
            ]
        }
    )


class AcceptIn(Strict):
    """The user name and password of a new account, and the token from the invitation link."""

    token: str = Field(min_length=1, max_length=200)
    username: Username
    password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "token": "aip_invitation_9d1b…",
                    "username": "lin",
                    "password": "a long sentence",
                }
            ]
        }
    )


def _known(permission: str) -> str:
    if not is_permission(permission):
        raise ValueError("is not a permission; GET /api/v1/permissions lists them")
    return permission


PermissionText = Annotated[
    str, StringConstraints(min_length=1, max_length=50), AfterValidator(_known)
]
"""A permission, ``resource:*``, or ``*``."""
Permissions = Annotated[list[PermissionText], Field(max_length=100)]
RoleName = Annotated[
    str,
    StringConstraints(min_length=2, max_length=50, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    AfterValidator(no_uuid),
]
RoleDescription = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=1000), AfterValidator(clean_text)
]


class RoleIn(Strict):
    """A new role. Its name may have 50 characters, or 20 if it will be used as a global role."""

    name: RoleName
    description: RoleDescription | None = None
    permissions: Permissions

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "labeler",
                    "description": "Writes datasets, starts nothing",
                    "permissions": ["projects:read", "datasets:*"],
                }
            ]
        }
    )


class RolePatch(Strict):
    """Changes to a role. Omitted fields keep their values. The name can't be changed."""

    description: RoleDescription | None = None
    permissions: Permissions = Field(default_factory=list)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"permissions": ["projects:read", "datasets:read"]}]}
    )


class EndedOut(BaseModel):
    """The number of sessions that were ended."""

    ended: int


class EnrolIn(Strict):
    """A request to set up a second factor. A session alone is not enough."""

    password: Password

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "a long sentence"}]})


class CodeIn(Strict):
    """A code from the authenticator app."""

    code: str = Field(max_length=64)

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})


class ProofIn(Strict):
    """Proof that the caller owns the account: the password, an app code, or a recovery code."""

    password: Password | None = None
    code: str | None = Field(
        None, max_length=64, description="of the authenticator app, or a recovery code"
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})


class RecoveryCodesOut(BaseModel):
    """Single-use recovery codes; returned only when they are created."""

    recovery_codes: list[str]


class ForgotIn(Strict):
    """The e-mail address of an account whose password was forgotten."""

    email: Email

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "lin@example.com"}]})


class ResetIn(Strict):
    """A new password, with the token of the reset link."""

    token: str = Field(min_length=1, max_length=200)
    new_password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "aip_reset_4f7c…", "new_password": "a long sentence"}]
        }
    )


class SsoOut(BaseModel):
    """The state of single sign-on. A browser starts a sign-in at ``login_url``."""

    enabled: bool
    issuer: str | None
    login_url: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "enabled": True,
                    "issuer": "https://id.example.com",
                    "login_url": "https://ai.example.com/api/v1/auth/oidc/login",
                }
            ]
        }
    )


class SsoCodeIn(Strict):
    """The code that the browser received, and the verifier for the sign-in's challenge."""

    code: Annotated[str, Field(min_length=1, max_length=200)]
    code_verifier: Annotated[str, Field(min_length=43, max_length=128)]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"code": "Zx81…", "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
            ]
        }
    )


class TokenOut(BaseModel):
    """A pair of tokens, as defined by OAuth2.

    ``expires_in`` is the lifetime of the access token in seconds. While ``must_change_password`` is
    true, nothing is allowed except changing the password.
    """

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105
    expires_in: int
    must_change_password: bool

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "aip_access_3q2-7w…",
                    "refresh_token": "aip_refresh_Zx81…",
                    "token_type": "bearer",
                    "expires_in": 1800,
                    "must_change_password": False,
                }
            ]
        }
    )


class RefreshIn(Strict):
    """The session's latest refresh token, which this request invalidates."""

    refresh_token: str = Field(min_length=1, max_length=200)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "aip_refresh_Zx81…"}]}
    )
