"""Schemas of notifications and preferences."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from aiplatform.protocol.notifications import EmailMode, NotificationType
from aiplatform.server.core.errors import Language
from aiplatform.server.notifications import rules
from aiplatform.server.notifications.models import (
    Notification,
    NotificationDetails,
    NotificationPreference,
    NotificationSettings,
)

EXAMPLE: dict[str, Any] = {
    "uuid": "4a0b6c1e-0f5d-4b7e-9c7a-8d9e0f1a2b3c",
    "type": "task:completed",
    "title": "train tuned: completed",
    "message": "The training has completed.",
    "data": {"name": "train tuned", "task_type": "training"},
    "project": "2d1f7a52-6e0b-4f0e-9b1c-1a2b3c4d5e6f",
    "is_read": False,
    "created_at": "2026-11-24T08:00:00Z",
}


class NotificationOut(BaseModel):
    """A message to a user. ``type`` is stable; ``data`` contains the values for programs."""

    uuid: UUID
    type: str
    title: str
    message: str | None
    data: dict[str, Any]
    project: UUID | None
    is_read: bool
    created_at: datetime

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})


class UnreadOut(BaseModel):
    """The number of unread notifications."""

    unread: int

    model_config = ConfigDict(json_schema_extra={"examples": [{"unread": 3}]})


class ChangedOut(BaseModel):
    """The number of notifications that were changed or deleted."""

    changed: int

    model_config = ConfigDict(json_schema_extra={"examples": [{"changed": 3}]})


class ChannelsIn(BaseModel):
    """Changes to the channels of one type. Omitted fields stay as they are."""

    inbox: bool | None = None
    email: bool | None = None

    model_config = ConfigDict(extra="forbid")


class PreferencesIn(BaseModel):
    """Changes to the preferences. Omitted fields stay as they are."""

    email: EmailMode | None = None
    language: Literal["en", "zh"] | None = None
    types: dict[NotificationType, ChannelsIn] = {}

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"email": "daily", "types": {"task:completed": {"email": True}}}]
        },
    )


class TypeOut(BaseModel):
    """A type of notification and its channels. If ``mandatory`` is true, it stays in the inbox."""

    type: NotificationType
    label: str
    inbox: bool
    email: bool
    mandatory: bool


class PreferencesOut(BaseModel):
    """A user's preferences. ``email`` is when e-mails are sent, ``language`` is their language."""

    email: EmailMode
    language: Literal["en", "zh"]
    types: list[TypeOut]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "email": "immediate",
                    "language": "en",
                    "types": [
                        {
                            "type": "task:failed",
                            "label": "Task failed",
                            "inbox": True,
                            "email": True,
                            "mandatory": False,
                        }
                    ],
                }
            ]
        }
    )


def render(row: Notification, details: NotificationDetails, language: Language) -> NotificationOut:
    """Render a notification in the reader's language, whatever language it was written in."""
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
    """Render the preferences, with the channels of every type."""
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
