"""Your inbox, and webhooks that send a project's events to your programs."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import Field

from aiplatform.client.base import Group, Pages, Resource, as_uuid, find_by_name
from aiplatform.client.event_streams import data_of, follow
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.transport import decoded, segment
from aiplatform.protocol.notifications import EmailMode, NotificationType
from aiplatform.protocol.shapes.notifications import (
    DeliveryOut,
    NotificationOut,
    PreferencesOut,
    WebhookAttemptOut,
    WebhookOut,
)

_SILENCE_SECONDS = 45.0


class Notification(Resource, NotificationOut):
    """A message in your inbox. ``event_id`` is set if it came from :meth:`Notifications.watch`."""

    event_id: str | None = None

    def mark_read(self) -> None:
        """Mark the notification as read."""
        Notifications(self._client).mark_read(self)

    def delete(self) -> None:
        """Delete the notification."""
        Notifications(self._client).delete(self)


class Preferences(Resource, PreferencesOut):
    """Your settings for notifications; ``email`` says when emails are sent."""


class Notifications(Group):
    """The operations on notifications (``client.notifications``)."""

    def list(
        self,
        *,
        unread: bool | None = None,
        type: NotificationType | str | None = None,  # noqa: A002
        limit: int | None = None,
    ) -> Pages[Notification]:
        """List the notifications in your inbox, newest first."""
        return self._pages(Notification, "notifications", unread=unread, type=type, limit=limit)

    def unread(self) -> int:
        """Return the number of unread notifications."""
        return int(self._http.get("notifications/unread")["unread"])

    def mark_read(self, notification: "Notification | UUID | str") -> None:
        """Mark a notification as read."""
        self._http.post(f"{_path(notification)}/read")

    def mark_all_read(self) -> int:
        """Mark all notifications as read, and return how many were unread."""
        return int(self._http.post("notifications/read")["changed"])

    def delete(self, notification: "Notification | UUID | str") -> None:
        """Delete a notification."""
        self._http.request("DELETE", _path(notification))

    def delete_read(self) -> int:
        """Delete all notifications that you have read, and return their number."""
        return int(decoded(self._http.request("DELETE", "notifications/read"))["changed"])

    def preferences(self) -> Preferences:
        """Return your settings for notifications, type by type."""
        return self._get(Preferences, "notifications/preferences")

    def set_preferences(
        self,
        *,
        email: EmailMode | str | None = None,
        language: str | None = None,
        types: Mapping[str, Mapping[str, bool]] | None = None,
    ) -> Preferences:
        """Change the given settings, for instance ``types={"task:completed": {"email": True}}``."""
        wanted = {"email": email, "language": language, "types": types}
        changes = {key: value for key, value in wanted.items() if value is not None}
        return self._patch(Preferences, "notifications/preferences", self.preferences(), changes)

    def watch(self, *, last_event_id: str | None = None) -> Iterator[Notification]:
        """Yield new notifications as they arrive, without end.

        With ``last_event_id`` (the ``event_id`` of a notification), the stream starts after that
        notification. After a connection error, the stream reconnects and continues where it
        stopped: nothing is lost, and nothing is repeated.

        Raises:
            ServerUnavailable: if the server can't be reached for two minutes.
        """
        stream = follow(
            self._http, "notifications/stream", last_id=last_event_id, silence=_SILENCE_SECONDS
        )
        for event in stream:
            if event is not None and event.event == "notification":
                yield self._make(Notification, {**data_of(event.data), "event_id": event.id})


def _path(notification: "Notification | UUID | str") -> str:
    key = notification.uuid if isinstance(notification, Notification) else notification
    return f"notifications/{segment(key)}"


class Webhook(Resource, WebhookOut):
    """A URL to which a project's events are sent.

    ``secret`` is set only on the object that :meth:`Webhooks.create` or :meth:`Webhooks.rotate`
    returns.
    """

    secret: str | None = Field(None, repr=False)

    def update(self, **changes: Any) -> "Webhook":
        """Change the ``name``, ``url``, ``events`` or ``is_enabled`` field."""
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
    """The operations on webhooks (``client.webhooks``), for users who manage project members."""

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
        """Change the ``name``, ``url``, ``events`` or ``is_enabled`` field."""
        return self._patch(Webhook, self.path(webhook, project), webhook, changes)

    def rotate(
        self,
        webhook: WebhookLike,
        *,
        overlap_hours: float = 24,
        project: ProjectLike | None = None,
    ) -> Webhook:
        """Replace the secret of a webhook; the returned object contains the new secret.

        For ``overlap_hours``, events are also signed with the old secret.
        """
        path = f"{self.path(webhook, project)}/rotate"
        return self._make(Webhook, self._http.post(path, {"overlap_hours": overlap_hours}))

    def delete(self, webhook: WebhookLike, *, project: ProjectLike | None = None) -> None:
        """Delete a webhook with its deliveries; unsent events are dropped."""
        self._http.request("DELETE", self.path(webhook, project))

    def test(
        self, webhook: WebhookLike, *, timeout: float = 20, project: ProjectLike | None = None
    ) -> Delivery:
        """Send a ping to a webhook; return the delivery after one call or ``timeout`` seconds."""
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
