"""Schemas of accounts."""

from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from aiplatform.protocol.names import NAME_PATTERN, not_deceptive, single_spelling
from aiplatform.protocol.shapes.identity import UserOut
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.models import User
from aiplatform.server.identity.rules import PLAIN_USER


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


def render_user(row: User) -> UserOut:
    """Return the answer body of an account; other programs may have left role and state empty."""
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
