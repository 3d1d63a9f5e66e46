"""Wire shapes of secrets. None has a value that goes out."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from aiplatform.protocol.enums import SecretKind
from aiplatform.protocol.specs import Strict

MAX_VALUE = 64 << 10


class SecretIn(Strict):
    """What to store."""

    value: SecretStr = Field(min_length=1, max_length=MAX_VALUE)
    kind: SecretKind = SecretKind.GENERIC

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"value": "hf_…", "kind": "hub_token"}]}
    )


class SecretOut(BaseModel):
    """What may be known of a secret: everything but its value."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: SecretKind
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None = Field(description="when a task was last given it")
