"""Schemas of invitations."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas.accounts import (
    EXAMPLE_UUID,
    Email,
    Password,
    Username,
    UserRef,
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


class InvitedProject(BaseModel):
    """The project of an invitation, and the role in it."""

    uuid: UUID
    name: str
    role: str


class InvitationOut(BaseModel):
    """An invitation; ``status`` is open, accepted, revoked or expired."""

    uuid: UUID
    email: str
    role: str
    project: InvitedProject | None
    status: str
    invited_by: UserRef
    created_at: datetime
    expires_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "email": "lin@example.com",
                    "role": "user",
                    "project": None,
                    "status": "open",
                    "invited_by": {"uuid": EXAMPLE_UUID, "username": "admin"},
                    "created_at": "2026-11-24T08:00:00Z",
                    "expires_at": "2026-12-01T08:00:00Z",
                }
            ]
        }
    )


class NewInvitationOut(InvitationOut):
    """A new invitation, with the token and link, which are shown only this once."""

    token: str
    link: str
    sent: bool = Field(description="whether a message with the link is on its way")

    model_config = ConfigDict(json_schema_extra={"examples": []})


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
