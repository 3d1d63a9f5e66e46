"""Schemas of tokens."""

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict


class TokenOut(BaseModel):
    """A pair of tokens, as OAuth2 defines it.

    ``expires_in`` is the lifetime of the access token in seconds. While ``must_change_password`` is
    true, nothing is allowed except changing the password.
    """

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105
    expires_in: int
    must_change_password: bool

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "aip_access_3q2-7w…",
                    "refresh_token": "aip_refresh_Zx81…",
                    "token_type": "bearer",
                    "expires_in": 1800,
                    "must_change_password": False,
                }
            ]
        }
    )


class RefreshIn(Strict):
    """The latest refresh token of the session. It is used up."""

    refresh_token: str = Field(min_length=1, max_length=200)

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"refresh_token": "aip_refresh_Zx81…"}]}
    )
