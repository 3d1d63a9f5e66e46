"""Tables for execution: checkpoints, and runs that execute outside the platform."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    String,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey


class ExternalRun(Base):
    """The state of a run that executes outside the platform.

    ``renewals`` counts the run's reports. ``given_up`` is true if the platform ended the run
    because the run was silent for too long, and the run has not reported its end since.
    ``client_id`` is an id that the run chose for itself. ``log_allowance`` is the number of bytes
    that the rate limit allowed the run to print at the time ``log_filled_at``; null if the run has
    not printed anything yet.
    """

    __tablename__ = "external_runs"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    client_id: Mapped[str | None] = mapped_column(String(64))
    renewals: Mapped[int] = mapped_column(BigInteger, server_default="0")
    given_up: Mapped[bool] = mapped_column(server_default="false")
    log_allowance: Mapped[float | None] = mapped_column(Double)
    log_filled_at: Mapped[datetime | None]
    log_lost_bytes: Mapped[int] = mapped_column(BigInteger, server_default="0")


class RunWriter(Base):
    """A source of numbered records (points or log lines) in an external run.

    Its records up to number ``taken`` are stored. ``writer`` is the uuid that the source chose.
    """

    __tablename__ = "run_writers"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    writer: Mapped[UUID] = mapped_column(primary_key=True)
    taken: Mapped[int] = mapped_column(BigInteger)


class TaskCheckpoint(Base):
    """A complete checkpoint in the blob store, written by one attempt at one step."""

    __tablename__ = "task_checkpoints"

    id: Mapped[BigKey]
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    attempt: Mapped[int]
    step: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
