"""Transfers, and the explanation of access, as they go over the wire."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.permissions import SystemRoleName
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import EXAMPLE_UUID, UserRef


class TransferIn(Strict):
    """The new owner, and the role that the present one keeps; without one they leave."""

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
    """A permission, and the roles that it comes from (``owner`` for owning the project)."""

    permission: str
    because: list[ReasonOut]


class KeyAccessOut(BaseModel):
    """An API key of the user that reaches the project, and what it may do there."""

    uuid: UUID
    name: str
    prefix: str
    scopes: list[str]
    permissions: list[str]


class AccessOut(BaseModel):
    """What a user may do in the project, and why. Whoever is deactivated may do nothing.

    ``keys`` are shown to the user and to those who hold `*` globally; null for others.
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
