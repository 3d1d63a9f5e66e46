"""Request bodies for projects, members, quotas, the bin, saved views, webhooks and API keys."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from aiplatform.protocol.encoding import clean_text, dumps, jsonable
from aiplatform.protocol.enums import ListPage, ProjectStatus
from aiplatform.protocol.notifications import DeliveryStatus, NotificationType
from aiplatform.protocol.permissions import SystemRoleName
from aiplatform.protocol.shapes.identity import EXAMPLE_UUID
from aiplatform.protocol.shapes.notifications import (
    DeliveryDetailOut,
    DeliveryOut,
    NewWebhookOut,
    WebhookAttemptOut,
    WebhookOut,
)
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import PermissionText
from aiplatform.server.notifications.models import Webhook, WebhookAttempt, WebhookDelivery
from aiplatform.server.notifications.rules import WEBHOOK_EVENTS
from aiplatform.server.projects.rules import BIN_DAYS, MAX_BIN_DAYS, days_in_bin, retention_in

MAX_CONFIG_BYTES = 64 * 1024
MAX_VIEW_BYTES = 8 * 1024

ProjectName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(clean_text),
]
Description = Annotated[str, StringConstraints(max_length=10_000), AfterValidator(clean_text)]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50),
    AfterValidator(clean_text),
]
Tags = Annotated[list[Tag], Field(max_length=50)]


def _valid_config(config: dict[str, Any]) -> dict[str, Any]:
    if len(dumps(config).encode("utf-8", "replace")) > MAX_CONFIG_BYTES:
        raise ValueError(f"must not take more than {MAX_CONFIG_BYTES} bytes")
    if BIN_DAYS in config and days_in_bin(config, -1) < 0:
        raise ValueError(f"{BIN_DAYS} must be a number of days from 0 to {MAX_BIN_DAYS}")
    retention_in(config)
    clean: dict[str, Any] = jsonable(config)
    return clean


Config = Annotated[dict[str, Any], AfterValidator(_valid_config)]


class ProjectIn(Strict):
    """A new project, which the caller will own."""

    name: ProjectName
    description: Description | None = None
    config: Config = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "support-bot", "description": "Answers about our products"}]
        }
    )


class ProjectPatch(Strict):
    """The fields to change; omitted fields keep their values.

    ``archived`` makes the project read-only.
    """

    name: ProjectName | None = None
    description: Description | None = None
    status: ProjectStatus | None = None
    config: Config | None = None
    tags: Tags | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "archived"}]})

    @field_validator("name", "status", "config", "tags")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null; leave it out to keep it")
        return value


def _valid_state(state: dict[str, Any]) -> dict[str, Any]:
    if len(dumps(state).encode("utf-8", "replace")) > MAX_VIEW_BYTES:
        raise ValueError(f"must not take more than {MAX_VIEW_BYTES} bytes")
    clean: dict[str, Any] = jsonable(state)
    return clean


ViewName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(clean_text),
]
ViewState = Annotated[
    dict[str, Any],
    AfterValidator(_valid_state),
    Field(description="the query parameters of the page's address"),
]


class SavedViewIn(Strict):
    """A view to save: the filters, order and columns of a list."""

    page: ListPage
    name: ViewName
    state: ViewState
    shared: bool = Field(False, description="show it to everyone in the project")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "page": "tasks",
                    "name": "Failed trainings",
                    "state": {"status": "failed", "type": "training"},
                }
            ]
        }
    )


class SavedViewPatch(Strict):
    """The fields of a view to change; omitted fields keep their values."""

    name: ViewName | None = None
    state: ViewState | None = None
    shared: bool | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"shared": True}]})

    @field_validator("name", "state", "shared")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null; leave it out to keep it")
        return value


class MemberIn(Strict):
    """The role to grant: ``viewer``, ``developer``, ``admin`` or a custom one."""

    role: str = Field(min_length=1, max_length=50)

    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "developer"}]})


class TransferIn(Strict):
    """The new owner, and the role that the old owner keeps; without it, the old owner leaves."""

    user: Annotated[str, Field(min_length=1, max_length=50, description="uuid or user name")]
    keep_role: SystemRoleName | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user": "lin", "keep_role": "developer"}]}
    )


class QuotaIn(Strict):
    """A project's own limits; null or a missing field means the platform's default."""

    storage_bytes: int | None = Field(None, ge=0, lt=2**63)
    concurrent_tasks: int | None = Field(None, ge=0, lt=2**31)
    gpus: int | None = Field(None, ge=0, lt=2**31)
    max_priority: int | None = Field(
        None, ge=5, le=10, description="of its tasks; those of 9 and 10 preempt others"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "storage_bytes": 107374182400,
                    "concurrent_tasks": 4,
                    "gpus": 2,
                    "max_priority": 8,
                }
            ]
        }
    )


class RestoreIn(Strict):
    """The name after restoring; by default the old one, or a similar one if that is in use."""

    name: ProjectName | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"name": "faq-2"}]})


KeyName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(clean_text),
]


class KeyIn(Strict):
    """A new API key.

    Without a project, it can be used in all of the user's projects; without days, it never expires.
    """

    name: KeyName
    scopes: Annotated[list[PermissionText], Field(min_length=1, max_length=50)]
    project: UUID | None = None
    expires_in_days: int | None = Field(None, ge=1, le=3650)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly upload",
                    "scopes": ["datasets:read", "datasets:write"],
                    "project": EXAMPLE_UUID,
                    "expires_in_days": 90,
                }
            ]
        }
    )


WebhookName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
WebhookUrl = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


def _only_project_events(events: list[NotificationType]) -> list[NotificationType]:
    refused = sorted(set(events) - set(WEBHOOK_EVENTS))
    if refused:
        raise ValueError(f"projects are not told of {', '.join(refused)}")
    return events


WebhookEvents = Annotated[
    list[NotificationType],
    AfterValidator(_only_project_events),
    Field(max_length=50, description="events that are sent; all of them when empty"),
]
EXAMPLE_WEBHOOK_IN: dict[str, Any] = {
    "name": "chat",
    "url": "https://chat.example.com/hooks/1",
    "events": ["task:failed"],
}


class WebhookIn(BaseModel):
    """A new webhook."""

    name: WebhookName
    url: WebhookUrl
    events: WebhookEvents = []

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [EXAMPLE_WEBHOOK_IN]})


class WebhookPatch(BaseModel):
    """The fields of a webhook to change."""

    name: WebhookName | None = None
    url: WebhookUrl | None = None
    events: WebhookEvents | None = None
    is_enabled: bool | None = None

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"is_enabled": False}]}
    )


class RotateIn(BaseModel):
    """The number of hours for which the old secret continues to sign deliveries."""

    overlap_hours: Annotated[float, Field(ge=0, le=720)] = 24

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"overlap_hours": 24}]}
    )


def render_webhook(row: Webhook) -> WebhookOut:
    """Return the response body of a webhook, without its secret."""
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
    """Return the response body of a webhook, with its secret."""
    return NewWebhookOut(**render_webhook(row).model_dump(), secret=secret)


def render_delivery(row: WebhookDelivery) -> DeliveryOut:
    """Return the response body of a delivery."""
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
    """Return the response body of a delivery with all its calls."""
    return DeliveryDetailOut(
        **render_delivery(row).model_dump(),
        body=row.body,
        calls=[WebhookAttemptOut.model_validate(call, from_attributes=True) for call in calls],
    )
