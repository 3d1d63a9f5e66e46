"""Schemas of sessions, second factors and password resets."""

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas.accounts import Email, Password


class EndedOut(BaseModel):
    """The number of sessions that were ended."""

    ended: int


class EnrolIn(Strict):
    """A request to set up a second factor. A session alone is not enough."""

    password: Password

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "a long sentence"}]})


class CodeIn(Strict):
    """A code of the authenticator app."""

    code: str = Field(max_length=64)

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})


class ProofIn(Strict):
    """Proof that the account is the caller's: the password, an app's code, or a recovery code."""

    password: Password | None = None
    code: str | None = Field(
        None, max_length=64, description="of the authenticator app, or a recovery code"
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "123456"}]})


class RecoveryCodesOut(BaseModel):
    """Single-use recovery codes; returned only when they are created."""

    recovery_codes: list[str]


class ForgotIn(Strict):
    """The e-mail address of an account whose password was forgotten."""

    email: Email

    model_config = ConfigDict(json_schema_extra={"examples": [{"email": "lin@example.com"}]})


class ResetIn(Strict):
    """A new password, with the token of the reset link."""

    token: str = Field(min_length=1, max_length=200)
    new_password: Password

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "aip_reset_4f7c…", "new_password": "a long sentence"}]
        }
    )
