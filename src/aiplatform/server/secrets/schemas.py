"""Request and answer bodies of secrets. No answer contains a value."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from aiplatform.protocol.enums import SecretKind
from aiplatform.protocol.specs import Strict

MAX_VALUE = 64 << 10


def _without_nul(value: SecretStr) -> SecretStr:
    if "\0" in value.get_secret_value():
        raise ValueError("a secret has no NUL: no environment variable can hold one")
    return value


class SecretIn(Strict):
    """A value to store as a secret."""

    value: Annotated[SecretStr, AfterValidator(_without_nul)] = Field(
        min_length=1, max_length=MAX_VALUE
    )
    kind: SecretKind = SecretKind.GENERIC

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"value": "hf_…", "kind": "hub_token"}]}
    )


class SecretOut(BaseModel):
    """A secret without its value."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    kind: SecretKind
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None = Field(description="when a task was last given it")
