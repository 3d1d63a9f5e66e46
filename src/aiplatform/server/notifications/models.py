"""The inbox, preferences, webhooks and what is on its way to them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Created, Updated
from aiplatform.server.core.encryption import sealed_column


class Notification(Created, Base):
    """Something a user is told; the contract's table."""

    __tablename__ = "notifications"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    type: Mapped[str] = mapped_column(String(50))
    title: Mapped[str] = mapped_column(String(255))
    message: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    is_read: Mapped[bool] = mapped_column(server_default="false")


class NotificationDetails(Base):
    """The uuid that is shown, and the project that the notification is about.

    The table has the transaction that made it too, by which streams order what they send.
    """

    __tablename__ = "notification_details"

    notification_id: Mapped[int] = mapped_column(ForeignKey("notifications.id"), primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    project_uuid: Mapped[UUID | None]


class NotificationSettings(Updated, Base):
    """How a user wants to be told. A user without a row has the defaults."""

    __tablename__ = "notification_settings"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    email: Mapped[str] = mapped_column(String(10), server_default="immediate")
    language: Mapped[str] = mapped_column(String(2), server_default="en")


class NotificationPreference(Base):
    """Where a user wants notifications of one type; without a row the defaults hold."""

    __tablename__ = "notification_preferences"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    type: Mapped[str] = mapped_column(String(50), primary_key=True)
    inbox: Mapped[bool]
    email: Mapped[bool]


class NotificationDigest(Base):
    """What waits for the next digest of a user."""

    __tablename__ = "notification_digests"

    id: Mapped[BigKey]
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    type: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    due_at: Mapped[datetime]


class Webhook(Updated, Base):
    """Where a project's events go. ``previous_secret`` signs too until ``previous_until``."""

    __tablename__ = "webhooks"

    id: Mapped[int] = mapped_column(primary_key=True)
    # Given by the application: the sealed secret is bound to it.
    uuid: Mapped[UUID]
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    project_uuid: Mapped[UUID]
    name: Mapped[str] = mapped_column(String(100))
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]] = mapped_column(server_default="[]")
    is_enabled: Mapped[bool] = mapped_column(server_default="true")
    secret: Mapped[bytes] = sealed_column("webhook:{uuid}")
    previous_secret: Mapped[bytes | None] = sealed_column("webhook:{uuid}", nullable=True)
    previous_until: Mapped[datetime | None]
    failing_since: Mapped[datetime | None]
    disabled_reason: Mapped[str | None] = mapped_column(String(50))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class WebhookDelivery(Created, Base):
    """One event on its way to one webhook, and the record of it afterwards. The row is the truth.

    ``locked_until`` is the lease of the worker that sends it at the moment.
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
    """One call of a webhook. Without an outcome: it runs, or its worker died on the way."""

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
