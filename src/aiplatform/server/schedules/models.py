"""Tables for schedules and their firings."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Identified, Updated


class Schedule(Identified, Updated, Base):
    """A recurring submission. ``next_at`` is null while it is switched off.

    It fires with the permissions of ``created_by``, the user who changed it last. If that user
    changed it with an API key, the permissions are limited to the key's scopes.
    """

    __tablename__ = "schedules"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(100))
    cron: Mapped[str] = mapped_column(String(100))
    timezone: Mapped[str] = mapped_column(String(64))
    action: Mapped[dict[str, Any]]
    missed: Mapped[str] = mapped_column(String(10))
    overlap: Mapped[str] = mapped_column(String(10))
    enabled: Mapped[bool]
    next_at: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    # There is no foreign key, because deleting an API key must not remove the limit set by its
    # scopes.
    key_id: Mapped[int | None] = mapped_column(BigInteger)


class ScheduleFiring(Base):
    """A time at which a schedule was due, and the outcome."""

    __tablename__ = "schedule_firings"

    id: Mapped[BigKey]
    schedule_id: Mapped[int] = mapped_column(ForeignKey("schedules.id"))
    due_at: Mapped[datetime]
    fired_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    outcome: Mapped[str] = mapped_column(String(20))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    code: Mapped[str | None] = mapped_column(String(50))
    reason: Mapped[str | None] = mapped_column(Text)
    reason_zh: Mapped[str | None] = mapped_column(Text)
