"""Request and answer bodies of webhooks and their deliveries."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from aiplatform.protocol.notifications import DeliveryStatus, NotificationType
from aiplatform.server.notifications.models import Webhook, WebhookAttempt, WebhookDelivery
from aiplatform.server.notifications.rules import WEBHOOK_EVENTS

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Url = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


def _only_project_events(events: list[NotificationType]) -> list[NotificationType]:
    refused = sorted(set(events) - set(WEBHOOK_EVENTS))
    if refused:
        raise ValueError(f"projects are not told of {', '.join(refused)}")
    return events


Events = Annotated[
    list[NotificationType],
    AfterValidator(_only_project_events),
    Field(max_length=50, description="events that are sent; all of them when empty"),
]
EXAMPLE: dict[str, Any] = {
    "name": "chat",
    "url": "https://chat.example.com/hooks/1",
    "events": ["task:failed"],
}
EXAMPLE_OUT: dict[str, Any] = EXAMPLE | {
    "uuid": "0b9c4a1e-5c3d-4a57-8b2e-3f1d2c4b5a69",
    "project": "2d1f7a52-6e0b-4f0e-9b1c-1a2b3c4d5e6f",
    "is_enabled": True,
    "disabled_reason": None,
    "failing_since": None,
    "previous_secret_until": None,
    "created_at": "2026-11-24T08:00:00Z",
    "updated_at": "2026-11-24T08:00:00Z",
}


class WebhookIn(BaseModel):
    """A new webhook."""

    name: Name
    url: Url
    events: Events = []

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE]})


class WebhookPatch(BaseModel):
    """The fields of a webhook to change."""

    name: Name | None = None
    url: Url | None = None
    events: Events | None = None
    is_enabled: bool | None = None

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"is_enabled": False}]}
    )


class RotateIn(BaseModel):
    """Hours for which the old secret signs deliveries, too."""

    overlap_hours: Annotated[float, Field(ge=0, le=720)] = 24

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"overlap_hours": 24}]}
    )


class WebhookOut(BaseModel):
    """A webhook: an address that a project's events are sent to. Its secret is not included."""

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

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_OUT]})


class NewWebhookOut(WebhookOut):
    """A webhook with its secret, which is shown only once."""

    secret: str

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_OUT | {"secret": "whsec_…"}]})


class AttemptOut(BaseModel):
    """One call of a webhook.

    Without status code and error, the call is in progress or its worker died meanwhile.
    """

    attempt: int
    started_at: datetime
    duration_ms: int | None
    status_code: int | None
    error: str | None
    response: str | None


class DeliveryOut(BaseModel):
    """An event to be delivered to a webhook.

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
    """A delivery with the body to send and all calls."""

    body: str
    calls: list[AttemptOut]

    model_config = ConfigDict(json_schema_extra={"examples": []})


def render_webhook(row: Webhook) -> WebhookOut:
    """Return the answer body of a webhook, without its secret."""
    return WebhookOut(
        uuid=row.uuid,
        project=row.project_uuid,
        name=row.name,
        url=row.url,
        events=row.events,
        is_enabled=row.is_enabled,
        disabled_reason=row.disabled_reason,
        failing_since=row.failing_since,
        previous_secret_until=row.previous_until,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def render_new_webhook(row: Webhook, secret: str) -> NewWebhookOut:
    """Return the answer body of a webhook, with its secret."""
    return NewWebhookOut(**render_webhook(row).model_dump(), secret=secret)


def render_delivery(row: WebhookDelivery) -> DeliveryOut:
    """Return the answer body of a delivery."""
    pending = row.status == DeliveryStatus.PENDING
    return DeliveryOut(
        uuid=row.uuid,
        message_id=row.replay_of or row.uuid,
        type=row.type,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        created_at=row.created_at,
        next_attempt_at=row.next_attempt_at if pending else None,
        ended_at=row.ended_at,
    )


def render_detail(row: WebhookDelivery, calls: list[WebhookAttempt]) -> DeliveryDetailOut:
    """Return the answer body of a delivery with all its calls."""
    return DeliveryDetailOut(
        **render_delivery(row).model_dump(),
        body=row.body,
        calls=[AttemptOut.model_validate(call, from_attributes=True) for call in calls],
    )
