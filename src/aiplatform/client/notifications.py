"""Your inbox: read notifications, delete them, and watch new ones arrive."""

from collections.abc import Iterator, Mapping
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.event_streams import data_of, follow
from aiplatform.client.pages import Pages
from aiplatform.client.transport import decoded, segment
from aiplatform.protocol.notifications import EmailMode, NotificationType
from aiplatform.protocol.shapes.notifications import NotificationOut, PreferencesOut

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
