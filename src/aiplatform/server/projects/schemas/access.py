"""Request and answer bodies of transfers and of the explanation of access."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.permissions import SystemRoleName
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import EXAMPLE_UUID, UserRef


class TransferIn(Strict):
    """The new owner, and the role that the old one keeps; without a role, the old owner leaves."""

    user: Annotated[str, Field(min_length=1, max_length=50, description="uuid or user name")]
    keep_role: SystemRoleName | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": "lin", "keep_role": "developer"}]}
    )


class ReasonOut(BaseModel):
    """A source of permissions: owning the project, a global role with `*`, or a role in it."""

    source: Literal["owner", "global_role", "membership"]
    role: str
    grants: list[str]


class HeldOut(BaseModel):
    """A permission with all its sources; the role is ``owner`` for the project's owner."""

    permission: str
    because: list[ReasonOut]


class KeyAccessOut(BaseModel):
    """An API key of the user that can be used in the project, and its permissions there."""

    uuid: UUID
    name: str
    prefix: str
    scopes: list[str]
    permissions: list[str]


class AccessOut(BaseModel):
    """A user's permissions in the project, with their sources. Deactivated users have none.

    ``keys`` are shown to the user and to principals with a global `*`; null for others.
    """

    user: UserRef
    is_active: bool
    reasons: list[ReasonOut]
    permissions: list[HeldOut]
    keys: list[KeyAccessOut] | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user": {"uuid": EXAMPLE_UUID, "username": "lin"},
                    "is_active": True,
                    "reasons": [
                        {"source": "membership", "role": "labeler", "grants": ["datasets:*"]}
                    ],
                    "permissions": [
                        {
                            "permission": "datasets:read",
                            "because": [
                                {
                                    "source": "membership",
                                    "role": "labeler",
                                    "grants": ["datasets:*"],
                                }
                            ],
                        }
                    ],
                    "keys": None,
                }
            ]
        }
    )
