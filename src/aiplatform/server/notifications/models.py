"""Tables for inboxes, preferences, digests, webhooks and webhook deliveries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Created, Updated
from aiplatform.server.core.encryption import encrypted_column


class Notification(Created, Base):
    """A message to a user.

    The columns are fixed by the schema contract; see docs/architecture.md.
    """

    __tablename__ = "notifications"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    type: Mapped[str] = mapped_column(String(50))
    title: Mapped[str] = mapped_column(String(255))
    message: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    is_read: Mapped[bool] = mapped_column(server_default="false")


class NotificationDetails(Base):
    """The public uuid of a notification and the project that it concerns.

    The table also has a column with the number of the transaction that created the notification;
    streams send notifications in the order of these numbers.
    """

    __tablename__ = "notification_details"

    notification_id: Mapped[int] = mapped_column(ForeignKey("notifications.id"), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    project_uuid: Mapped[UUID | None]


class NotificationSettings(Updated, Base):
    """A user's e-mail mode and language. Users without a row have the defaults."""

    __tablename__ = "notification_settings"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    email: Mapped[str] = mapped_column(String(10), server_default="immediate")
    language: Mapped[str] = mapped_column(String(2), server_default="en")


class NotificationPreference(Base):
    """A user's channels for one type of notification. Without a row, the defaults apply."""

    __tablename__ = "notification_preferences"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    type: Mapped[str] = mapped_column(String(50), primary_key=True)
    inbox: Mapped[bool]
    email: Mapped[bool]


class NotificationDigest(Base):
    """A notification that waits for a user's next digest."""

    __tablename__ = "notification_digests"

    id: Mapped[BigKey]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    type: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    due_at: Mapped[datetime]


class Webhook(Updated, Base):
    """A receiver of a project's events.

    Until ``previous_until``, deliveries are signed with both the current and the previous secret.
    """

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    # The application sets the uuid, because the encrypted secret is bound to it.
    uuid: Mapped[UUID]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    project_uuid: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(100))
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(server_default="[]")
    is_enabled: Mapped[bool] = mapped_column(server_default="true")
    secret: Mapped[bytes] = encrypted_column("webhook:{uuid}")
    previous_secret: Mapped[bytes | None] = encrypted_column("webhook:{uuid}", nullable=True)
    previous_until: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(50))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class WebhookDelivery(Created, Base):
    """A delivery of one event to one webhook. The row is kept in the log after the delivery.

    ``locked_until`` is the time at which the sending worker's lease ends.
    """

    __tablename__ = "webhook_deliveries"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id"))
    type: Mapped[str] = mapped_column(String(50))
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(10), server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default="0")
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    locked_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    replay_of: Mapped[UUID | None]


class WebhookAttempt(Base):
    """A call to a webhook. A call without an outcome is running, or its worker has died."""

    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("webhook_deliveries.id"), primary_key=True
    )
    attempt: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    duration_ms: Mapped[int | None]
    status_code: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(Text)
    response: Mapped[str | None] = mapped_column(Text)
