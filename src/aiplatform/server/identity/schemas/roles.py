"""Request bodies of roles."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.permissions import is_permission
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas.accounts import no_uuid


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
