"""Webhooks: a project's events, sent to your programs."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import Field

from aiplatform.client.base import Group, Resource, as_uuid, find_by_name
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.protocol.shapes.notifications import DeliveryOut, WebhookAttemptOut, WebhookOut


class Webhook(Resource, WebhookOut):
    """A URL to which a project's events are sent.

    ``secret`` is set only on the object that :meth:`Webhooks.create` or :meth:`Webhooks.rotate`
    returns.
    """

    secret: str | None = Field(None, repr=False)

    def update(self, **changes: Any) -> "Webhook":
        """Change name, url, events or is_enabled."""
        return Webhooks(self._client).update(self, **changes)

    def rotate(self, *, overlap_hours: float = 24) -> "Webhook":
        """Replace the secret of the webhook; see :meth:`Webhooks.rotate`."""
        return Webhooks(self._client).rotate(self, overlap_hours=overlap_hours)

    def test(self, *, timeout: float = 20) -> "Delivery":
        """Send a ping to the webhook and return the result."""
        return Webhooks(self._client).test(self, timeout=timeout)

    def deliveries(self, *, limit: int | None = None) -> Pages["Delivery"]:
        """List the webhook's deliveries, newest first, including those not yet sent."""
        return Webhooks(self._client).deliveries(self, limit=limit)

    def delete(self) -> None:
        """Delete the webhook with its deliveries."""
        Webhooks(self._client).delete(self)


class Delivery(Resource, DeliveryOut):
    """The delivery of one event to a webhook; ``body`` and ``calls`` are not set in lists."""

    body: str | None = None
    calls: list[WebhookAttemptOut] = []


WebhookLike = Webhook | UUID | str
"""A webhook, its uuid, or its name in the project."""


class Webhooks(Group):
    """The operations on webhooks (``client.webhooks``), for managers of a project's members."""

    def create(
        self,
        name: str,
        url: str,
        *,
        events: Sequence[str] = (),
        project: ProjectLike | None = None,
    ) -> Webhook:
        """Create a webhook for the given types of events, or for all types.

        The returned object contains the secret of the webhook, which can't be read again.
        """
        body = {"name": name, "url": url, "events": list(events)}
        path = f"{Projects(self._client).path(project)}/webhooks"
        return self._make(Webhook, self._http.post(path, body))

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[Webhook]:
        """List the webhooks of a project, newest first."""
        return self._pages(Webhook, f"{Projects(self._client).path(project)}/webhooks", limit=limit)

    def get(self, webhook: WebhookLike, *, project: ProjectLike | None = None) -> Webhook:
        """Read a webhook."""
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
        """Replace the secret of a webhook; the returned object contains the new secret.

        For ``overlap_hours``, events are signed with the old secret, too.
        """
        path = f"{self.path(webhook, project)}/rotate"
        return self._make(Webhook, self._http.post(path, {"overlap_hours": overlap_hours}))

    def delete(self, webhook: WebhookLike, *, project: ProjectLike | None = None) -> None:
        """Delete a webhook with its deliveries; unsent events are dropped."""
        self._http.request("DELETE", self.path(webhook, project))

    def test(
        self, webhook: WebhookLike, *, timeout: float = 20, project: ProjectLike | None = None
    ) -> Delivery:
        """Send a ping to a webhook; return the delivery after the first call or ``timeout``.

        ``timeout`` is in seconds.
        """
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
        """List a webhook's deliveries, newest first, including those not yet sent."""
        return self._pages(Delivery, f"{self.path(webhook, project)}/deliveries", limit=limit)

    def delivery(
        self,
        webhook: WebhookLike,
        delivery: Delivery | UUID | str,
        *,
        project: ProjectLike | None = None,
    ) -> Delivery:
        """Read a delivery, with its body and all calls."""
        path = self.path(webhook, project)
        return self._get(Delivery, f"{path}/deliveries/{_key(delivery)}")

    def replay(
        self,
        webhook: WebhookLike,
        delivery: Delivery | UUID | str,
        *,
        project: ProjectLike | None = None,
    ) -> Delivery:
        """Send an event again, with its original ``webhook-id``."""
        path = self.path(webhook, project)
        return self._make(Delivery, self._http.post(f"{path}/deliveries/{_key(delivery)}/replay"))

    def path(self, webhook: WebhookLike, project: ProjectLike | None = None) -> str:
        """Return the path of the webhook in the API.

        Raises:
            NotFound: if no webhook of the project has this name.
        """
        if isinstance(webhook, Webhook):
            return f"webhooks/{webhook.uuid}"
        uuid = as_uuid(webhook)
        if uuid is None:
            name = str(webhook)
            uuid = find_by_name(
                lambda **_: self.list(project=project), name, "webhook", "in this project"
            ).uuid
        return f"webhooks/{uuid}"


def _key(delivery: Delivery | UUID | str) -> str:
    return str(delivery.uuid if isinstance(delivery, Delivery) else UUID(str(delivery)))
