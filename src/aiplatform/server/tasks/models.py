"""Tasks and all that hangs on them: scheduling, leases, attempts, events, telemetry."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Double, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from aiplatform.server.core.database import Base, BigKey, Created, Identified


class Task(Identified, Created, Base):
    """One piece of queued work; the contract's table. ``progress`` runs from 0 to 1."""

    __tablename__ = "tasks"

    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    name: Mapped[str] = mapped_column(String(255))
    type: Mapped[str] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(50), server_default="pending")
    priority: Mapped[int] = mapped_column(server_default="5")
    config: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    logs: Mapped[str | None] = mapped_column(Text, deferred=True)
    progress: Mapped[float] = mapped_column(Double, server_default="0")
    gpu_usage: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    error_message: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    scheduling: Mapped["TaskScheduling"] = relationship(lazy="joined", innerjoin=True)


class TaskScheduling(Base):
    """What the queue needs and the contract has no column for.

    ``attempt`` counts starts; ``fence`` grows with every claim, and every write of an attempt
    carries the fence that it was claimed with.
    """

    __tablename__ = "task_scheduling"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    queue: Mapped[str] = mapped_column(String(50))
    cpus: Mapped[float] = mapped_column(Double)
    memory_mb: Mapped[int]
    gpus: Mapped[int]
    attempt: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int]
    failures: Mapped[int] = mapped_column(server_default="0")
    fence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    not_before: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    result: Mapped[dict[str, Any] | None]
    progress_detail: Mapped[dict[str, Any] | None]
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.current_timestamp(), onupdate=func.clock_timestamp()
    )


class Worker(Base):
    """A worker and what its machine offers. ``heartbeats`` counts, so no clock is compared."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    name: Mapped[str] = mapped_column(String(100))
    hostname: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    software_version: Mapped[str] = mapped_column(String(50))
    queues: Mapped[list[str]]
    cpus: Mapped[float] = mapped_column(Double)
    memory_mb: Mapped[int]
    gpus: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    heartbeats: Mapped[int] = mapped_column(BigInteger, server_default="0")
    heartbeat_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    stopped_at: Mapped[datetime | None]


class TaskLease(Base):
    """Exists while an attempt runs: who holds the task, and what it occupies."""

    __tablename__ = "task_leases"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    worker_id: Mapped[int] = mapped_column(ForeignKey("workers.id"))
    project_id: Mapped[int | None]
    attempt: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    cpus: Mapped[float] = mapped_column(Double)
    memory_mb: Mapped[int]
    gpu_indices: Mapped[list[Any]] = mapped_column(server_default="[]")
    renewals: Mapped[int] = mapped_column(BigInteger, server_default="0")
    acquired_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    renewed_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class TaskAttempt(Base):
    """One start of a task and how it ended."""

    __tablename__ = "task_attempts"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    fence: Mapped[int] = mapped_column(BigInteger)
    worker: Mapped[str] = mapped_column(String(100))
    started_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(Text)


class TaskEvent(Base):
    """A line of a task's timeline. Several processes write, so readers go by ``transaction_id``."""

    __tablename__ = "task_events"

    id: Mapped[BigKey]
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    kind: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class MetricPoint(Base):
    """One value of one series. A resumed attempt repeats steps; the later attempt counts."""

    __tablename__ = "metric_points"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int]
    key: Mapped[str] = mapped_column(String(200))
    step: Mapped[int] = mapped_column(BigInteger)
    value: Mapped[float] = mapped_column(Double)
    recorded_at: Mapped[datetime]


class LogChunk(Base):
    """Consecutive lines of one stream. ``seq`` counts from 1 within the task."""

    __tablename__ = "log_chunks"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    attempt: Mapped[int]
    stream: Mapped[str] = mapped_column(String(10))
    text: Mapped[str] = mapped_column(Text)
    recorded_at: Mapped[datetime]


class TaskCheckpoint(Base):
    """A complete checkpoint in the blob store, written by one attempt at one step."""

    __tablename__ = "task_checkpoints"

    id: Mapped[BigKey]
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    attempt: Mapped[int]
    step: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class TaskInput(Base):
    """Lineage: what a task read, with its hash; ``label`` outlives the thing itself."""

    __tablename__ = "task_inputs"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(30), primary_key=True)
    dataset_version_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_versions.id"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    label: Mapped[str] = mapped_column(String(400))
    content_hash: Mapped[str | None] = mapped_column(String(64))
