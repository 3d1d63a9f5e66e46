"""Schemas of sessions, second factors and password resets."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas.accounts import EXAMPLE_UUID, Email, Password


class SessionOut(BaseModel):
    """A session of the caller. ``last_seen_at`` may be some seconds old."""

    uuid: UUID
    current: bool
    created_at: datetime
    last_seen_at: datetime
    ip_address: str | None
    user_agent: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "current": True,
                    "created_at": "2026-11-24T08:00:00Z",
                    "last_seen_at": "2026-11-24T09:30:00Z",
                    "ip_address": "192.0.2.7",
                    "user_agent": "Mozilla/5.0",
                }
            ]
        }
    )


class EndedOut(BaseModel):
    """The number of sessions that were ended."""

    ended: int


class TotpOut(BaseModel):
    """The state of the account's second factor."""

    enabled: bool
    recovery_codes_left: int


class EnrolIn(Strict):
    """A request to set up a second factor. A session alone is not enough."""

    password: Password

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "a long sentence"}]})


class EnrolmentOut(BaseModel):
    """The secret for an authenticator app, shown only this once. ``uri`` is shown as a QR code."""

    secret: str
    uri: str


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


class LinkOut(BaseModel):
    """A single-use link; returned only when it is created."""

    token: str
    link: str
    expires_at: datetime

    model_config = ConfigDict(from_attributes=True)
