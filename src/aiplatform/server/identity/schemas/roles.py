"""Schemas of permissions and roles."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.permissions import is_permission
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas.accounts import EXAMPLE_UUID, no_uuid


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


class PermissionOut(BaseModel):
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


class RoleIn(Strict):
    """A new role. Its name may have 50 characters, or 20 if it is to be given as a global role."""

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
    """Changes to a role. Omitted fields stay as they are. The name can't be changed."""

    description: RoleDescription | None = None
    permissions: Permissions = Field(default_factory=list)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"permissions": ["projects:read", "datasets:read"]}]}
    )


class RoleUses(BaseModel):
    """The number of uses of a role. ``sso`` counts the single sign-on groups that get the role."""

    users: int
    members: int
    invitations: int
    sso: int


class RoleOut(BaseModel):
    """A role. ``uses`` is null in lists, and for callers without ``roles:read``."""

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
