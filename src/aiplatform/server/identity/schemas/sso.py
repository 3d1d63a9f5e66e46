"""Schemas of single sign-on."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict


class SsoOut(BaseModel):
    """The state of single sign-on. ``login_url`` is where a browser starts it."""

    enabled: bool
    issuer: str | None
    login_url: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "enabled": True,
                    "issuer": "https://id.example.com",
                    "login_url": "https://ai.example.com/api/v1/auth/oidc/login",
                }
            ]
        }
    )


class SsoCodeIn(Strict):
    """The code that the browser brought back, and the verifier of the sign-in's challenge."""

    code: Annotated[str, Field(min_length=1, max_length=200)]
    code_verifier: Annotated[str, Field(min_length=43, max_length=128)]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"code": "Zx81…", "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}
            ]
        }
    )
