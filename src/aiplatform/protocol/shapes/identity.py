"""The shapes of accounts, invitations, roles, sessions, API keys and secrets."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import (
    ConfigDict,
    Field,
)

from aiplatform.protocol.enums import SecretKind
from aiplatform.protocol.shapes.shape import Shape

EXAMPLE_UUID = "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11"


class UserRef(Shape):
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


class UserOut(Shape):
    """An account. ``created_at`` is null only for rows written by other programs."""

    uuid: UUID
    username: str
    email: str
    role: str
    is_active: bool
    created_at: datetime | None
    updated_at: datetime | None
    last_login_at: datetime | None

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_USER]})


class UserDetails(UserOut):
    """An account with the state of its password and second factor."""

    must_change_password: bool
    totp_enabled: bool

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_DETAILS]})


class MeOut(UserDetails):
    """The caller's own account, with the permissions that its role grants outside projects."""

    permissions: list[str]

    model_config = ConfigDict(
        json_schema_extra={"examples": [EXAMPLE_DETAILS | {"permissions": ["projects:write"]}]}
    )


class InvitedProject(Shape):
    """The project of an invitation, and the role offered in it."""

    uuid: UUID
    name: str
    role: str


class InvitationOut(Shape):
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
    """A new invitation, with its token and link, which are shown only once."""

    token: str = Field(repr=False)
    link: str = Field(repr=False)
    sent: bool = Field(description="whether a message with the link is on its way")

    model_config = ConfigDict(json_schema_extra={"examples": []})


class PermissionOut(Shape):
    """A permission. ``reaches_projects`` is true if a role in a project may contain it."""

    permission: str
    resource: str
    action: str
    description: str
    description_zh: str
    reaches_projects: bool

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "permission": "datasets:read",
                    "resource": "datasets",
                    "action": "read",
                    "description": "Read datasets, their versions and reports",
                    "description_zh": "查看数据集、版本和质量报告",
                    "reaches_projects": True,
                }
            ]
        }
    )


class RoleUses(Shape):
    """The uses of a role, by kind. ``sso`` counts the single sign-on groups that get the role."""

    users: int
    members: int
    invitations: int
    sso: int


class RoleOut(Shape):
    """A role. ``uses`` is null in lists and for callers without ``roles:read``."""

    uuid: UUID
    name: str
    description: str | None
    permissions: list[str]
    is_system: bool
    created_at: datetime | None
    uses: RoleUses | None = None

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "name": "labeler",
                    "description": "Writes datasets, starts nothing",
                    "permissions": ["datasets:*", "projects:read"],
                    "is_system": False,
                    "created_at": "2026-11-24T08:00:00Z",
                    "uses": {"users": 0, "members": 3, "invitations": 0, "sso": 0},
                }
            ]
        },
    )


class SessionOut(Shape):
    """A session of the caller. ``last_seen_at`` may be a few seconds old."""

    uuid: UUID
    current: bool
    created_at: datetime
    last_seen_at: datetime
    ip_address: str | None
    user_agent: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "current": True,
                    "created_at": "2026-11-24T08:00:00Z",
                    "last_seen_at": "2026-11-24T09:30:00Z",
                    "ip_address": "192.0.2.7",
                    "user_agent": "Mozilla/5.0",
                }
            ]
        }
    )


class TotpOut(Shape):
    """The state of the account's second factor."""

    enabled: bool
    recovery_codes_left: int


class EnrolmentOut(Shape):
    """The secret for an authenticator app, shown only once. ``uri`` is the content of a QR code."""

    secret: str = Field(repr=False)
    uri: str = Field(repr=False)


class LinkOut(Shape):
    """A single-use link; returned only when it is created."""

    token: str = Field(repr=False)
    link: str = Field(repr=False)
    expires_at: datetime

    model_config = ConfigDict(from_attributes=True)


EXAMPLE_KEY: dict[str, Any] = {
    "uuid": EXAMPLE_UUID,
    "name": "nightly upload",
    "prefix": "aip_key_3q2x",
    "scopes": ["datasets:read", "datasets:write"],
    "project": EXAMPLE_UUID,
    "user": {"uuid": EXAMPLE_UUID, "username": "lin"},
    "created_at": "2026-11-24T08:00:00Z",
    "expires_at": "2027-02-22T08:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
}


class KeyOut(Shape):
    """An API key. Only its ``prefix`` is stored in readable form."""

    uuid: UUID
    name: str
    prefix: str
    scopes: list[str]
    project: UUID | None
    user: UserRef
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="exact to a minute")
    revoked_at: datetime | None

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_KEY]})


class NewKeyOut(KeyOut):
    """A new API key with its secret value, which is shown only once."""

    key: str = Field(repr=False)

    model_config = ConfigDict(
        json_schema_extra={"examples": [EXAMPLE_KEY | {"key": "aip_key_3q2xW7…"}]}
    )


class SecretOut(Shape):
    """A secret without its value."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: SecretKind
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None = Field(description="when a task was last given it")
