"""Request bodies of webhooks, and the answers about webhooks and their deliveries."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from aiplatform.protocol.notifications import DeliveryStatus, NotificationType
from aiplatform.protocol.shapes.notifications import (
    DeliveryDetailOut,
    DeliveryOut,
    NewWebhookOut,
    WebhookAttemptOut,
    WebhookOut,
)
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
        calls=[WebhookAttemptOut.model_validate(call, from_attributes=True) for call in calls],
    )
