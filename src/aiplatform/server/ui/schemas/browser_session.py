"""Schemas for browser sessions."""

from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from aiplatform.protocol.shapes.identity import EXAMPLE_DETAILS, MeOut
from aiplatform.protocol.shapes.shape import Shape
from aiplatform.protocol.specs import Strict
from aiplatform.server.core.errors import Language
from aiplatform.server.identity.rules import Theme
from aiplatform.server.identity.schemas import Password


class BrowserSignInIn(Strict):
    """The user name and password. ``code`` is a second-factor code or a recovery code."""

    username: Annotated[str, Field(min_length=1, max_length=200)]
    password: Password
    code: Annotated[str | None, Field(max_length=64, description="see `auth.totp_required`")] = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "lin", "password": "a long sentence"}]}
    )


class DisplayPreferencesIn(Strict):
    """Changes to the preferences.

    Omitted fields keep their values; null means the browser's setting.
    """

    language: Language | None = None
    theme: Theme | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"language": "zh", "theme": "dark"}]})


class DisplayPreferencesOut(Shape):
    """An account's preferences for the web interface. Null means the browser's setting."""

    language: Language | None
    theme: Theme | None

    model_config = ConfigDict(from_attributes=True)


class BrowserSessionOut(Shape):
    """The user whom the browser's cookie signs in.

    ``expires_at`` is when the session ends unless it is renewed. After ``renew_in`` seconds,
    reading the session again renews it.
    """

    user: MeOut
    preferences: DisplayPreferencesOut
    expires_at: datetime
    renew_in: int

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user": EXAMPLE_DETAILS | {"permissions": ["projects:write"]},
                    "preferences": {"language": "zh", "theme": "dark"},
                    "expires_at": "2026-12-24T08:00:00Z",
                    "renew_in": 900,
                }
            ]
        }
    )
