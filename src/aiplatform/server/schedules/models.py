"""Schedules and what came of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Identified, Updated


class Schedule(Identified, Updated, Base):
    """A submission that recurs. ``next_at`` is empty while it is switched off.

    It fires with the permissions of ``created_by``, who is the last one to have changed it, within
    the scopes of the API key that this was done with, if any.
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
    # No foreign key: a key that is gone must not become no limit at all.
    key_id: Mapped[int | None] = mapped_column(BigInteger)


class ScheduleFiring(Base):
    """A time at which a schedule was due, and what came of it."""

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
