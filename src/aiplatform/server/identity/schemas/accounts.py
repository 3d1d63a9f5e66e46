"""Schemas of accounts."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from aiplatform.protocol.names import NAME_PATTERN, not_deceptive, single_spelling
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.rules import PLAIN_USER

EXAMPLE_UUID = "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11"


def no_uuid(name: str) -> str:
    """Refuse a name that looks like a uuid: paths identify users by either of them."""
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
    """A change of the caller's password. Other sessions of the account end."""

    current_password: Password
    new_password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"current_password": "admin123", "new_password": "a long sentence"}]
        }
    )


class EmailIn(Strict):
    """A change of the caller's e-mail address.

    It requires the password, because whoever controls the address can reset the password.
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

    Without a global role, it can create projects, and use those that it is a member of.
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
    """Changes to an account. Omitted fields stay as they are."""

    username: Username | None = None
    email: Email | None = None
    role: str | None = Field(None, max_length=50, description="global role, or `user` for none")

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "lin@example.org"}]})


class RegisterIn(Strict):
    """An account that somebody creates for themselves."""

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


class UserRef(BaseModel):
    """A user, as shown to other users."""

    uuid: UUID
    username: str

    model_config = ConfigDict(from_attributes=True)


EXAMPLE_USER: dict[str, Any] = {
    "uuid": EXAMPLE_UUID,
    "username": "lin",
    "email": "lin@example.com",
    "role": "user",
    "is_active": True,
    "created_at": "2026-11-24T08:00:00Z",
    "updated_at": "2026-11-24T08:00:00Z",
    "last_login_at": None,
}
EXAMPLE_DETAILS: dict[str, Any] = EXAMPLE_USER | {
    "must_change_password": False,
    "totp_enabled": False,
}


class UserOut(BaseModel):
    """An account. ``created_at`` is null only for rows that other programs wrote."""

    uuid: UUID
    username: str
    email: str
    role: Annotated[str, BeforeValidator(lambda value: value or PLAIN_USER)]
    is_active: Annotated[bool, BeforeValidator(bool)]
    created_at: datetime | None
    updated_at: datetime | None
    last_login_at: datetime | None

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={"examples": [EXAMPLE_USER]},
    )


class UserDetails(UserOut):
    """An account, with the state of its password and second factor."""

    must_change_password: bool
    totp_enabled: bool

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_DETAILS]})


class MeOut(UserDetails):
    """The caller's own account, with the permissions of its global role outside projects."""

    permissions: list[str]

    model_config = ConfigDict(
        json_schema_extra={"examples": [EXAMPLE_DETAILS | {"permissions": ["projects:write"]}]}
    )
