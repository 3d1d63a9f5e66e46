"""Request bodies of API keys."""

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.shapes.identity import EXAMPLE_UUID
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import PermissionText

KeyName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(clean_text),
]


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
