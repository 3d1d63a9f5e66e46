"""Tables for telemetry: metric points and chunks of the log."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    SmallInteger,
    String,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base


class MetricPoint(Base):
    """One value of a metric series at a step.

    If a resumed attempt reports a step again, the newest attempt's value counts.
    """

    __tablename__ = "metric_points"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int]
    key: Mapped[str] = mapped_column(String(200))
    step: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[float] = mapped_column(Double)
    recorded_at: Mapped[datetime]


class LogChunk(Base):
    """Consecutive lines of one stream of a task's log. ``seq`` counts from 1 within the task.

    ``level`` is the highest level of the lines. ``levels`` lists the lines at which the level
    changes, in the form that ``rules.levels_of`` reads. If the lines were moved to a blob,
    ``segment`` describes it: ``sha256`` (null if nothing was kept), ``bytes``, ``lines``, and what
    was dropped.
    """

    __tablename__ = "log_chunks"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int]
    stream: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(Text)
    level: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    levels: Mapped[list[Any]] = mapped_column(server_default="[]")
    segment: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    recorded_at: Mapped[datetime]
