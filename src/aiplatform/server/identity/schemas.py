"""Accounts and tokens as they go over the wire."""

from datetime import datetime
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

from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.rules import PLAIN_USER

EXAMPLE_UUID = "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11"


def _no_uuid(name: str) -> str:
    """Addresses name users by uuid or user name, so no name may look like a uuid."""
    try:
        UUID(name)
    except ValueError:
        return name
    raise ValueError("must not have the form of a uuid")


Username = Annotated[
    str,
    StringConstraints(min_length=2, max_length=50, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"),
    AfterValidator(_no_uuid),
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


class TokenOut(BaseModel):
    """OAuth2's answer. ``expires_in`` is the access token's life in seconds.

    While ``must_change_password`` is true nothing but changing it is allowed.
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
    """The refresh token of the pair that was given last; it is used up."""

    refresh_token: str = Field(min_length=1, max_length=200)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "aip_refresh_Zx81…"}]}
    )


class PasswordIn(Strict):
    """A change of password. Other sessions of the account end."""

    current_password: Password
    new_password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"current_password": "admin123", "new_password": "a long sentence"}]
        }
    )


class UserIn(Strict):
    """A new account. Without a role it may create projects and has what its projects give it."""

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


class UserRef(BaseModel):
    """A user, as others see them."""

    uuid: UUID
    username: str

    model_config = ConfigDict(from_attributes=True)


class UserOut(BaseModel):
    """An account. ``created_at`` is null only for rows that other programs wrote."""

    uuid: UUID
    username: str
    email: str
    role: Annotated[str, BeforeValidator(lambda value: value or PLAIN_USER)]
    is_active: Annotated[bool, BeforeValidator(bool)]
    created_at: datetime | None
    last_login_at: datetime | None

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "username": "lin",
                    "email": "lin@example.com",
                    "role": "user",
                    "is_active": True,
                    "created_at": "2026-11-24T08:00:00Z",
                    "last_login_at": None,
                }
            ]
        },
    )


class MeOut(UserOut):
    """The caller's own account, with what its global role grants outside projects."""

    permissions: list[str]
    must_change_password: bool
