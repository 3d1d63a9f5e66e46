"""Tasks and all that hangs on them: scheduling, leases, attempts, events, telemetry."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Double,
    FetchedValue,
    ForeignKey,
    SmallInteger,
    String,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
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

    ``since`` is the age by which the task is sorted; ``blockers`` counts the tasks that must end
    before it; ``stop_wanted`` is what a running attempt was asked for: ``pause`` or ``preempt``.
    The table also has copies of the task's project, priority and whether it waits, kept by triggers
    for the index of the queue.

    What is asked for is asked of each of its ``nodes``. ``attempt`` counts starts; ``fence`` grows
    with every claim, and every write of an attempt carries the fence that it was claimed with.

    Without ``personal_secrets`` the author's own secrets are out of reach: the task was submitted
    with an API key that lacks the scope for them.
    """

    __tablename__ = "task_scheduling"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    queue: Mapped[str] = mapped_column(String(50))
    cpus: Mapped[float] = mapped_column(Double)
    memory_mb: Mapped[int]
    gpus: Mapped[int]
    gpu_memory_mb: Mapped[int] = mapped_column(server_default="0")
    labels: Mapped[list[str]] = mapped_column(server_default="[]")
    since: Mapped[datetime] = mapped_column(server_default=FetchedValue())
    preemptible: Mapped[bool] = mapped_column(server_default="false")
    time_limit_seconds: Mapped[int | None]
    retry_seconds: Mapped[float] = mapped_column(Double, server_default="10")
    stop_wanted: Mapped[str | None] = mapped_column(String(10))
    retry_of: Mapped[int | None]
    blockers: Mapped[int] = mapped_column(server_default="0")
    nodes: Mapped[int] = mapped_column(server_default="1")
    attempt: Mapped[int] = mapped_column(server_default="0")
    max_attempts: Mapped[int]
    failures: Mapped[int] = mapped_column(server_default="0")
    fence: Mapped[int] = mapped_column(BigInteger, server_default="0")
    not_before: Mapped[datetime | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    personal_secrets: Mapped[bool] = mapped_column(server_default="true")
    result: Mapped[dict[str, Any] | None]
    progress_detail: Mapped[dict[str, Any] | None]
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.current_timestamp(), onupdate=func.clock_timestamp()
    )


class Worker(Base):
    """A worker and what its machine offers. ``heartbeats`` counts, so no clock is compared.

    ``devices`` are its slots for GPU work, as :class:`rules.Device`; a lease names them by place.
    """

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
    labels: Mapped[list[str]] = mapped_column(server_default="[]")
    devices: Mapped[list[Any]] = mapped_column(server_default="[]")
    load: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    state: Mapped[str] = mapped_column(String(20), server_default="active")
    state_changed_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
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


class TaskGang(Base):
    """The nodes of an attempt over several: stands while its lease does, and goes with it.

    ``state``: ``gathering`` until all are there, ``gathered`` while they prepare, ``running``;
    ``endpoint`` is where they meet, host:port of node 0.
    """

    __tablename__ = "task_gangs"

    task_id: Mapped[int] = mapped_column(ForeignKey("task_leases.task_id"), primary_key=True)
    fence: Mapped[int] = mapped_column(BigInteger)
    nodes: Mapped[int]
    state: Mapped[str] = mapped_column(String(10), server_default="gathering")
    endpoint: Mapped[str | None] = mapped_column(Text)


class TaskNode(Base):
    """A worker that joined an attempt as a node other than 0, and what it holds for it.

    ``state``: ``joined``, ``ready`` when it has all that the job reads, ``leaving`` when its worker
    stops, ``failed`` when its processes did; ``report`` then says how.
    """

    __tablename__ = "task_nodes"

    task_id: Mapped[int] = mapped_column(ForeignKey("task_gangs.task_id"), primary_key=True)
    node: Mapped[int] = mapped_column(primary_key=True)
    worker_id: Mapped[int] = mapped_column(ForeignKey("workers.id"))
    project_id: Mapped[int | None]
    attempt: Mapped[int]
    fence: Mapped[int] = mapped_column(BigInteger)
    cpus: Mapped[float] = mapped_column(Double)
    memory_mb: Mapped[int]
    gpu_indices: Mapped[list[Any]] = mapped_column(server_default="[]")
    state: Mapped[str] = mapped_column(String(10), server_default="joined")
    report: Mapped[dict[str, Any] | None]
    renewals: Mapped[int] = mapped_column(BigInteger, server_default="0")
    acquired_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class TaskReservation(Base):
    """A worker's promise to the first task that does not fit yet, see ``rules.placement``."""

    __tablename__ = "task_reservations"

    worker_id: Mapped[int] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    runners: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class TaskDependency(Base):
    """A task that must end before another; ``condition`` is ``ok`` or ``any``."""

    __tablename__ = "task_dependencies"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    needs_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    condition: Mapped[str] = mapped_column(String(10))
    settled: Mapped[bool] = mapped_column(server_default="false")


class TaskSubmission(Base):
    """What was answered to a request with an ``Idempotency-Key``."""

    __tablename__ = "task_submissions"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


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


class ExternalRun(Base):
    """What is known of a run that executes elsewhere. ``renewals`` counts what was heard of it.

    ``given_up``: it was ended for its silence, and has not said since how it ended. ``client_id``
    is the name it gave itself. ``log_allowance`` is how many bytes it may print at once, as of
    ``log_filled_at``; null, it has printed nothing yet.
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
    """How far a writer's numbered records of one run were taken in."""

    __tablename__ = "run_writers"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    writer: Mapped[UUID] = mapped_column(primary_key=True)
    taken: Mapped[int] = mapped_column(BigInteger)


class LogChunk(Base):
    """Consecutive lines of one stream. ``seq`` counts from 1 within the task.

    ``level`` is the highest of its lines, ``levels`` from which line on which level it is, as
    ``rules.levels`` reads them. ``segment`` says what of the log lies in a blob in its place: its
    ``sha256`` (null: nothing was kept), ``bytes`` and ``lines``, and what was dropped.
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
