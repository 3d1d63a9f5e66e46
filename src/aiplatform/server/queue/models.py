"""Tables for the queue: tasks with attempts, events and inputs, and workers with leases."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Double,
    FetchedValue,
    ForeignKey,
    String,
    Text,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from aiplatform.server.core.database import Base, BigKey, Created, Identified


class Task(Identified, Created, Base):
    """One piece of queued work. ``progress`` runs from 0 to 1.

    The columns are fixed by the schema contract; see docs/architecture.md.
    """

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
    """Fields of a task that the queue needs, but for which the schema contract has no columns.

    ``since`` is the time from which a task's waiting time is counted when the queue is ordered.
    ``blockers`` is the number of tasks that must end first. ``stop_wanted`` is ``pause`` or
    ``preempt`` if a running attempt was asked to stop. The table also has copies of the task's
    project and priority, and a flag that is set while the task waits; triggers maintain them for
    the queue's index.

    Resources are per node, so a task needs them on each of its ``nodes``. ``attempt`` is the number
    of attempts so far. ``fence`` is the fencing number: it grows with every claim, and every write
    of an attempt carries the number of its claim.

    ``personal_secrets`` is false if the task was submitted with an API key that lacks the scope for
    the author's own secrets; the task then can't read them.
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
    """A worker and the resources of its machine.

    ``heartbeats`` counts the heartbeats. It is not a time, so that the clocks of different machines
    are never compared. ``devices`` are the slots for GPU work (:class:`rules.Device`); a lease
    refers to them by index.
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
    """The lease of a running attempt: the worker that holds it and the resources that it uses."""

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


class TaskNodeGroup(Base):
    """A group of nodes that run one attempt together. It exists as long as the attempt's lease.

    ``state``: ``gathering`` until all nodes have joined, ``gathered`` while they prepare their
    files, ``running``. ``endpoint`` is the address at which the nodes connect: host:port of node 0.
    """

    __tablename__ = "task_gangs"

    task_id: Mapped[int] = mapped_column(ForeignKey("task_leases.task_id"), primary_key=True)
    fence: Mapped[int] = mapped_column(BigInteger)
    nodes: Mapped[int]
    state: Mapped[str] = mapped_column(String(10), server_default="gathering")
    endpoint: Mapped[str | None] = mapped_column(Text)


class TaskNode(Base):
    """A worker that joined an attempt as a node other than node 0, and the resources it holds.

    ``state``: ``joined``; ``ready`` once it has all files that the job reads; ``leaving`` while its
    worker is stopping; ``failed`` when its processes failed. ``report`` then contains the reason.
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
    """A reservation of a worker's resources for a task that doesn't fit on the worker yet.

    ``runners`` are the tasks that ran on the worker when the reservation was made, as pairs of
    task id and fencing number. See :class:`rules.Reservation`.
    """

    __tablename__ = "task_reservations"

    worker_id: Mapped[int] = mapped_column(ForeignKey("workers.id"), primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    runners: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class TaskDependency(Base):
    """A task that must end before another one; ``condition`` is ``ok`` or ``any``."""

    __tablename__ = "task_dependencies"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    needs_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    condition: Mapped[str] = mapped_column(String(10))
    settled: Mapped[bool] = mapped_column(server_default="false")


class TaskSubmission(Base):
    """The stored response to a submission with an ``Idempotency-Key``."""

    __tablename__ = "task_submissions"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class TaskAttempt(Base):
    """One execution of a task and its outcome."""

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
    """An entry of a task's timeline.

    Several processes write entries, so the order of ids is not the order of commits. Readers must
    also check the column ``transaction_id``; see :func:`queries.settled_events`.
    """

    __tablename__ = "task_events"

    id: Mapped[BigKey]
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"))
    kind: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class TaskInput(Base):
    """One input of a task with its hash, for lineage. ``label`` is kept if the input is deleted."""

    __tablename__ = "task_inputs"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(30), primary_key=True)
    dataset_version_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_versions.id"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    label: Mapped[str] = mapped_column(String(400))
    content_hash: Mapped[str | None] = mapped_column(String(64))
