"""Request bodies of invitations."""

from uuid import UUID

from pydantic import ConfigDict, Field

from aiplatform.protocol.shapes.identity import EXAMPLE_UUID
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas.accounts import Email, Password, Username


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
    """User name and password of a new account, with the token of the invitation's link."""

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
