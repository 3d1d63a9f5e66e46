"""The shapes of tasks, their logs, series and usage, and of workers."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from aiplatform.protocol.enums import LogLevel, LogStream, TaskStatus, TaskType
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.shape import Extensible, Shape


class WaitingOut(Shape):
    """The reason why a task is waiting. ``ahead`` is null in lists of very long queues.

    ``reason`` names the project's tasks that hold the missing resources, if the caller may read
    tasks. Tasks of other projects are never named.
    """

    ahead: int | None
    reason: str
    reason_zh: str
    not_before: datetime | None
    blocked: bool = Field(description="false if it can start now")


class AttemptOut(Shape):
    """One execution of the task and its outcome."""

    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None


class NodeOut(Shape):
    """A worker that runs a task together with other workers. Node 0 holds the lease.

    The `state` of node 0 is `gathering` until all nodes have joined, `gathered` while they prepare,
    then `running`; that of the others is `joined`, `ready`, `leaving` or `failed`.
    """

    node: int
    worker: str
    state: str
    gpus: int


class TaskInputOut(Shape):
    """An input of a task, as part of its lineage."""

    role: str
    label: str
    content_hash: str | None


class TaskOut(Shape):
    """A task. ``progress`` runs from 0 to 1; ``position`` is its position in the queue."""

    uuid: UUID
    project: UUID | None
    experiment: UUID | None
    model: UUID | None
    name: str
    type: TaskType
    status: TaskStatus
    priority: int
    progress: float
    progress_detail: dict[str, Any] | None
    config: dict[str, Any]
    queue: str
    attempt: int
    max_attempts: int
    worker: str | None
    position: int | None
    waiting: WaitingOut | None
    labels: list[str]
    preemptible: bool
    stop_wanted: Annotated[Literal["pause", "preempt"], Extensible()] | None
    retry_of: UUID | None
    error_message: str | None
    gpu_usage: dict[str, Any]
    result: dict[str, Any] | None
    author: UserRef | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class NeedOut(Shape):
    """A task that must end before this one starts."""

    task: UUID
    name: str
    status: TaskStatus
    condition: Literal["ok", "any"]


class TaskDetailOut(TaskOut):
    """A task with its attempts, its inputs and the tasks that it is waiting for.

    `nodes` are the workers that run it now, if there are several.
    """

    after: list[NeedOut]

    attempts: list[AttemptOut]
    nodes: list[NodeOut]
    inputs: list[TaskInputOut]


class TaskEventOut(Shape):
    """An entry of the task's timeline."""

    kind: str
    data: dict[str, Any]
    time: datetime


class TelemetryOut(Shape):
    """Curves as ``[seconds since the epoch, mean, minimum, maximum]``, grouped by key.

    Keys of a task: ``cpu_percent`` (of one core), ``memory_mb`` (MiB), ``processes``, ``read_mb_s``
    and ``write_mb_s``; of its n-th GPU ``gpuN.percent``, ``.memory_mb``, ``.memory_mb_total``,
    ``.power_w``, ``.temperature_c`` and ``.throttled``. A machine also has ``cpu_percent`` (of all
    cores), ``load_1m``, ``memory_percent``, ``disk_percent``, ``disk_read_mb_s``,
    ``disk_write_mb_s``, ``net_in_mb_s`` and ``net_out_mb_s``. Values that are not measured are left
    out; ``note`` is "no GPU" if there is none.
    """

    note: str | None
    series: dict[str, list[list[float]]]


class AttemptUsageOut(Shape):
    """The resources that an attempt held, and for how long; until now if it is still running."""

    attempt: int
    running: bool
    seconds: float
    cpus: float
    gpus: list[dict[str, Any]]
    cost: float | None


class TaskUsageOut(Shape):
    """The resources that a task has used; ``cost`` is null if no prices are configured."""

    seconds: float
    gpu_hours: float
    cpu_hours: float
    cost: float | None
    currency: str
    attempts: list[AttemptUsageOut]


class LineOut(Shape):
    """One task's series in a chart. The full series has `total` points."""

    task: UUID
    name: str
    total: int
    points: list[list[float | str]]


class SummaryOut(Shape):
    """The summary of a series. `best` is set if the key implies which direction is better."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"points": 2, "first": 0.9, "first_step": 1, "last": 0.4, "last_step": 2}]
        }
    )

    points: int
    first: float | str
    first_step: int
    last: float | str
    last_step: int
    min: float | str | None = None
    min_step: int | None = None
    max: float | str | None = None
    max_step: int | None = None
    best: float | str | None = None
    best_step: int | None = None
    nan_step: int | None = None


class TaskSummaryOut(Shape):
    """The summaries of one task's series."""

    task: UUID
    name: str
    status: TaskStatus
    metrics: dict[str, SummaryOut]


class LogChunkOut(Shape):
    """Consecutive lines of one stream; ``level`` is the highest level among them.

    ``kept_bytes`` is the size of the lines that this chunk replaces; only downloads and searches
    include these lines.
    """

    seq: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    kept_bytes: int
    time: datetime


class LogLineOut(Shape):
    """A line of the log; ``number`` counts from 0 within its chunk."""

    seq: int
    number: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    time: datetime


class AcceptedOut(Shape):
    """The number of stored records, and the run's status; `cancelling` means the run must stop.

    The writer's records up to number `taken` are stored.
    """

    accepted: int
    dropped_bytes: int = Field(0, description="size of the lines that exceeded the log's rate")
    taken: int | None
    status: TaskStatus


class ArtifactOut(Shape):
    """A file that a task left as a result. ``size`` is in bytes."""

    path: str
    size: int
    sha256: str

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "path": "plots/loss.png",
                    "size": 48211,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                }
            ]
        }
    )


class DeviceOut(Shape):
    """A slot for GPU work; ``memory_mb`` is 0 if unknown."""

    id: str
    name: str
    memory_mb: int
    task: UUID | None


class RunningOut(Shape):
    """A task that the worker runs."""

    task: UUID
    type: str
    attempt: int
    cpus: float
    memory_mb: int
    gpus: int
    since: datetime


class WorkerOut(Shape):
    """A worker. It is ``alive`` if its last heartbeat is at most 30 s old. Memory is in MiB."""

    uuid: UUID
    name: str
    hostname: str
    version: str
    state: Annotated[Literal["active", "cordoned", "draining"], Extensible()]
    alive: bool
    queues: list[str]
    labels: list[str]
    cpus: float
    cpus_free: float
    memory_mb: int
    memory_mb_free: int
    devices: list[DeviceOut]
    load: dict[str, Any]
    running: list[RunningOut]
    started_at: datetime
    heartbeat_at: datetime
    stopped_at: datetime | None


class FreedOut(Shape):
    """The tasks, checkpoints and bytes that the next cleanup will delete."""

    log_tasks: int
    log_bytes: int
    telemetry_tasks: int
    telemetry_bytes: int
    checkpoints: int
    checkpoint_bytes: int


class RetentionOut(Shape):
    """The retention policy of a project, and the data that the next cleanup will delete.

    Days are counted from a task's end; null keeps the data forever. ``checkpoints_last`` and
    ``checkpoints_best`` are the numbers of checkpoints to keep.
    """

    log_days: int | None
    telemetry_days: int | None
    checkpoint_days: int | None
    checkpoints_last: int
    checkpoints_best: int
    frees: FreedOut

    model_config = ConfigDict(from_attributes=True)
