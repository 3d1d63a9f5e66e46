"""Request and answer bodies of API keys."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import EXAMPLE_UUID, PermissionText, UserRef

KeyName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(clean_text),
]

_EXAMPLE: dict[str, Any] = {
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


class KeyIn(Strict):
    """A new API key.

    Without a project, it can be used in all projects of the user; without days, it never expires.
    """

    name: KeyName
    scopes: Annotated[list[PermissionText], Field(min_length=1, max_length=50)]
    project: UUID | None = None
    expires_in_days: int | None = Field(None, ge=1, le=3650)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly upload",
                    "scopes": ["datasets:read", "datasets:write"],
                    "project": EXAMPLE_UUID,
                    "expires_in_days": 90,
                }
            ]
        }
    )


class KeyOut(BaseModel):
    """An API key. Only ``prefix`` is stored in readable form."""

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

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})


class NewKeyOut(KeyOut):
    """A new API key with its secret value, which is shown only once."""

    key: str

    model_config = ConfigDict(
        json_schema_extra={"examples": [_EXAMPLE | {"key": "aip_key_3q2xW7…"}]}
    )
