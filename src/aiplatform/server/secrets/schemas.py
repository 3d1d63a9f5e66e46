"""Request bodies for secrets."""

from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

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
