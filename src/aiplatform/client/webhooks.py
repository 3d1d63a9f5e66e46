"""Webhooks: events of a project, sent to your programs."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.client.base import Group, Resource, as_uuid, only
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.protocol.notifications import DeliveryStatus


class Webhook(Resource):
    """Where a project's events go. ``secret`` is there only when it was made just now."""

    uuid: UUID
    project: UUID
    name: str
    url: str
    events: list[str] = []
    is_enabled: bool = True
    disabled_reason: str | None = None
    failing_since: datetime | None = None
    previous_secret_until: datetime | None = None
    secret: str | None = Field(None, repr=False)
    created_at: datetime | None = None
    updated_at: datetime | None = None

    def update(self, **changes: Any) -> "Webhook":
        """Change name, url, events or is_enabled."""
        return self.client.webhooks.update(self, **changes)

    def rotate(self, *, overlap_hours: float = 24) -> "Webhook":
        """Give it a new secret."""
        return self.client.webhooks.rotate(self, overlap_hours=overlap_hours)

    def test(self, *, timeout: float = 20) -> "Delivery":
        """Send it a ping and see how that went."""
        return self.client.webhooks.test(self, timeout=timeout)

    def deliveries(self, *, limit: int | None = None) -> Pages["Delivery"]:
        """What was sent to it and what waits, newest first."""
        return self.client.webhooks.deliveries(self, limit=limit)

    def delete(self) -> None:
        """Delete it with its log."""
        self.client.webhooks.delete(self)


class Call(BaseModel):
    """One call of a webhook."""

    model_config = ConfigDict(extra="allow")

    attempt: int
    started_at: datetime
    duration_ms: int | None = None
    status_code: int | None = None
    error: str | None = None
    response: str | None = None


class Delivery(Resource):
    """One event on its way to a webhook; ``body`` and ``calls`` when it was read by itself."""

    uuid: UUID
    message_id: UUID
    type: str
    status: DeliveryStatus
    attempts: int
    created_at: datetime
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None
    body: str | None = None
    calls: list[Call] = []


WebhookLike = Webhook | UUID | str
"""A webhook, its uuid, or its name in the project."""


class Webhooks(Group):
    """``client.webhooks``; for those who manage a project's members."""

    def create(
        self,
        name: str,
        url: str,
        *,
        events: Sequence[str] = (),
        project: ProjectLike | None = None,
    ) -> Webhook:
        """Have events sent to ``url``: those of ``events``, or all. Keep the answer's secret."""
        body = {"name": name, "url": url, "events": list(events)}
        path = f"{self._client.projects.path(project)}/webhooks"
        return self._make(Webhook, self._http.post(path, body))

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[Webhook]:
        """A project's webhooks, newest first."""
        return self._pages(Webhook, f"{self._client.projects.path(project)}/webhooks", limit=limit)

    def get(self, webhook: WebhookLike, *, project: ProjectLike | None = None) -> Webhook:
        """Read one."""
        return self._get(Webhook, self.path(webhook, project))

    def update(
        self, webhook: WebhookLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> Webhook:
        """Change name, url, events or is_enabled."""
        return self._patch(Webhook, self.path(webhook, project), webhook, changes)

    def rotate(
        self,
        webhook: WebhookLike,
        *,
        overlap_hours: float = 24,
        project: ProjectLike | None = None,
    ) -> Webhook:
        """Give it a new secret, in the answer; for ``overlap_hours`` the one before signs too."""
        path = f"{self.path(webhook, project)}/rotate"
        return self._make(Webhook, self._http.post(path, {"overlap_hours": overlap_hours}))

    def delete(self, webhook: WebhookLike, *, project: ProjectLike | None = None) -> None:
        """Delete it with its log; what waits is not sent."""
        self._http.request("DELETE", self.path(webhook, project))

    def test(
        self, webhook: WebhookLike, *, timeout: float = 20, project: ProjectLike | None = None
    ) -> Delivery:
        """Send it a ping; returns how that went, once it was called or ``timeout`` passed."""
        path = self.path(webhook, project)
        made = self._make(Delivery, self._http.post(f"{path}/test"))
        deadline = time.monotonic() + timeout
        while True:
            seen = self._get(Delivery, f"{path}/deliveries/{made.uuid}")
            called = any(call.duration_ms is not None for call in seen.calls)
            if called or time.monotonic() >= deadline:
                return seen
            time.sleep(0.2)

    def deliveries(
        self, webhook: WebhookLike, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[Delivery]:
        """What was sent to it and what waits, newest first."""
        return self._pages(Delivery, f"{self.path(webhook, project)}/deliveries", limit=limit)

    def delivery(
        self,
        webhook: WebhookLike,
        delivery: Delivery | UUID | str,
        *,
        project: ProjectLike | None = None,
    ) -> Delivery:
        """One delivery with what is sent and every call."""
        path = self.path(webhook, project)
        return self._get(Delivery, f"{path}/deliveries/{_key(delivery)}")

    def replay(
        self,
        webhook: WebhookLike,
        delivery: Delivery | UUID | str,
        *,
        project: ProjectLike | None = None,
    ) -> Delivery:
        """Send an event once more, under the ``webhook-id`` that it had."""
        path = self.path(webhook, project)
        return self._make(Delivery, self._http.post(f"{path}/deliveries/{_key(delivery)}/replay"))

    def path(self, webhook: WebhookLike, project: ProjectLike | None = None) -> str:
        """Where the webhook lives in the API.

        Raises:
            NotFound: when no webhook of the project has the name.
        """
        if isinstance(webhook, Webhook):
            return f"webhooks/{webhook.uuid}"
        uuid = as_uuid(webhook)
        if uuid is None:
            name = str(webhook)
            uuid = only(
                lambda **_: self.list(project=project), name, "webhook", "in this project"
            ).uuid
        return f"webhooks/{uuid}"


def _key(delivery: Delivery | UUID | str) -> str:
    return str(delivery.uuid if isinstance(delivery, Delivery) else UUID(str(delivery)))
