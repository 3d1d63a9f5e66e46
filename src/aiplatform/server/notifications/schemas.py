"""Schemas for notifications and preferences."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from aiplatform.protocol.notifications import EmailMode, NotificationType
from aiplatform.protocol.shapes.notifications import NotificationOut, PreferencesOut, TypeOut
from aiplatform.server.core.errors import Language
from aiplatform.server.notifications import rules
from aiplatform.server.notifications.models import (
    Notification,
    NotificationDetails,
    NotificationPreference,
    NotificationSettings,
)


class UnreadOut(BaseModel):
    """The number of unread notifications."""

    unread: int

    model_config = ConfigDict(json_schema_extra={"examples": [{"unread": 3}]})


class ChangedOut(BaseModel):
    """The number of notifications that were changed or deleted."""

    changed: int

    model_config = ConfigDict(json_schema_extra={"examples": [{"changed": 3}]})


class ChannelsIn(BaseModel):
    """Changes to the channels of one type. Omitted fields keep their values."""

    inbox: bool | None = None
    email: bool | None = None

    model_config = ConfigDict(extra="forbid")


class PreferencesIn(BaseModel):
    """Changes to the preferences. Omitted fields keep their values."""

    email: EmailMode | None = None
    language: Literal["en", "zh"] | None = None
    types: dict[NotificationType, ChannelsIn] = {}

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"email": "daily", "types": {"task:completed": {"email": True}}}]
        },
    )


def render(row: Notification, details: NotificationDetails, language: Language) -> NotificationOut:
    """Return the response body of a notification in the reader's language."""
    title, message = row.title, row.message
    kind = rules.known_type(row.type)
    if kind is not None and language != "en":
        title, message = rules.render(kind, row.data, language)
    return NotificationOut(
        uuid=details.uuid,
        type=row.type,
        title=title,
        message=message,
        data=row.data,
        project=details.project_uuid,
        is_read=row.is_read,
        created_at=row.created_at,
    )


def render_preferences(
    settings: NotificationSettings,
    chosen: dict[str, NotificationPreference],
    language: Language,
) -> PreferencesOut:
    """Return the response body of the preferences, with the channels of every type."""
    return PreferencesOut(
        email=EmailMode(settings.email),
        language="zh" if settings.language == "zh" else "en",
        types=[
            TypeOut(
                type=kind,
                label=rules.TEXTS[kind][language].label,
                inbox=chosen[kind].inbox if kind in chosen else True,
                email=chosen[kind].email if kind in chosen else kind in rules.EMAILED,
                mandatory=kind in rules.MANDATORY,
            )
            for kind in NotificationType
        ],
    )
