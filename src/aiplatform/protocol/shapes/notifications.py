"""The shapes of notifications, their settings, and webhooks."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from aiplatform.protocol.notifications import DeliveryStatus, EmailMode, NotificationType
from aiplatform.protocol.shapes.shape import Extensible, Shape

EXAMPLE_NOTIFICATION: dict[str, Any] = {
    "uuid": "4a0b6c1e-0f5d-4b7e-9c7a-8d9e0f1a2b3c",
    "type": "task:completed",
    "title": "train tuned: completed",
    "message": "The training has completed.",
    "data": {"name": "train tuned", "task_type": "training"},
    "project": "2d1f7a52-6e0b-4f0e-9b1c-1a2b3c4d5e6f",
    "is_read": False,
    "created_at": "2026-11-24T08:00:00Z",
}


class NotificationOut(Shape):
    """A message to a user. ``type`` is stable; ``data`` contains values for programs."""

    uuid: UUID
    type: str
    title: str
    message: str | None
    data: dict[str, Any]
    project: UUID | None
    is_read: bool
    created_at: datetime

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_NOTIFICATION]})


class TypeOut(Shape):
    """A notification type and its channels. A ``mandatory`` type is always sent to the inbox."""

    type: Annotated[NotificationType, Extensible()]
    label: str
    inbox: bool
    email: bool
    mandatory: bool


class PreferencesOut(Shape):
    """A user's preferences. ``email`` says when emails are sent; ``language`` is their language."""

    email: EmailMode
    language: Annotated[Literal["en", "zh"], Extensible()]
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


EXAMPLE_WEBHOOK: dict[str, Any] = {
    "name": "chat",
    "url": "https://chat.example.com/hooks/1",
    "events": ["task:failed"],
    "uuid": "0b9c4a1e-5c3d-4a57-8b2e-3f1d2c4b5a69",
    "project": "2d1f7a52-6e0b-4f0e-9b1c-1a2b3c4d5e6f",
    "is_enabled": True,
    "disabled_reason": None,
    "failing_since": None,
    "previous_secret_until": None,
    "created_at": "2026-11-24T08:00:00Z",
    "updated_at": "2026-11-24T08:00:00Z",
}


class WebhookOut(Shape):
    """A webhook: an address to which a project's events are sent. Its secret is not included."""

    uuid: UUID
    project: UUID
    name: str
    url: str
    events: list[str]
    is_enabled: bool
    disabled_reason: str | None
    failing_since: datetime | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_WEBHOOK]})


class NewWebhookOut(WebhookOut):
    """A webhook with its secret, which is shown only once."""

    secret: str = Field(repr=False)

    model_config = ConfigDict(
        json_schema_extra={"examples": [EXAMPLE_WEBHOOK | {"secret": "whsec_…"}]}
    )


class WebhookAttemptOut(Shape):
    """One call to a webhook.

    If there is neither a status code nor an error, the call is in progress, or the worker died
    during the call.
    """

    attempt: int
    started_at: datetime
    duration_ms: int | None
    status_code: int | None
    error: str | None
    response: str | None


class DeliveryOut(Shape):
    """The delivery of an event to a webhook.

    ``message_id`` is sent in the header ``webhook-id``.
    """

    uuid: UUID
    message_id: UUID
    type: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None
    ended_at: datetime | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "6f1e2d3c-4b5a-4697-8877-665544332211",
                    "message_id": "6f1e2d3c-4b5a-4697-8877-665544332211",
                    "type": "task:failed",
                    "status": "delivered",
                    "attempts": 1,
                    "created_at": "2026-11-24T08:00:00Z",
                    "next_attempt_at": None,
                    "ended_at": "2026-11-24T08:00:01Z",
                }
            ]
        }
    )


class DeliveryDetailOut(DeliveryOut):
    """A delivery with its body and all calls to the webhook."""

    body: str
    calls: list[WebhookAttemptOut]

    model_config = ConfigDict(json_schema_extra={"examples": []})
