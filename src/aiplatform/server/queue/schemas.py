"""Shapes of requests and answers about tasks, their logs and their artifacts."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.gates import OverrideReason
from aiplatform.protocol.references import After
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import Strict, TaskSpec

MAX_BATCH = 500
"""Largest number of tasks in one request."""

EXAMPLE_UUID = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"


class TaskIn(Strict):
    """A task to queue. Training starts through experiments, inference through deployments."""

    name: str = Field(min_length=1, max_length=255)
    priority: int = Field(5, ge=1, le=10, description="a higher priority starts first")
    spec: TaskSpec
    after: list[After] = Field(
        default_factory=list, max_length=50, description="tasks of the project that must end first"
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "evaluate tuned@1",
                    "priority": 5,
                    "spec": {
                        "type": "evaluation",
                        "model": EXAMPLE_UUID,
                        "dataset": {"dataset": EXAMPLE_UUID, "version": "v1"},
                    },
                }
            ]
        }
    )


class TaskOfBatchIn(TaskIn):
    """One of several tasks to queue."""

    idempotency_key: str | None = Field(
        None, min_length=1, max_length=150, pattern=r"^[\x21-\x7e]+$",
        description="a name for this task, so that the batch can be repeated safely",
    )  # fmt: skip


class TaskBatchIn(Strict):
    """Tasks to queue, all or none."""

    tasks: list[TaskOfBatchIn] = Field(min_length=1, max_length=MAX_BATCH)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "tasks": [
                        {
                            "name": "report",
                            "spec": {
                                "type": "data_quality",
                                "dataset": {"dataset": EXAMPLE_UUID, "version": "v1"},
                            },
                            "idempotency_key": "reports-1",
                        }
                    ]
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _keys(self) -> "TaskBatchIn":
        keys = [one.idempotency_key for one in self.tasks if one.idempotency_key is not None]
        if keys and len(set(keys)) < len(self.tasks):
            raise ValueError(
                "give each task an idempotency_key of its own, or give none to any of them"
            )
        return self


class TaskPatch(Strict):
    """The changes that are possible while a task waits."""

    priority: int = Field(ge=1, le=10, description="a higher priority starts first")

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 8}]})


class RetryIn(Strict):
    """The options for retrying a task."""

    override_gate: OverrideReason | None = Field(
        None,
        description="reason to train although the data fails the quality gate; it is recorded in "
        "the audit trail",
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"override_gate": None}]})


class MoveIn(Strict):
    """The new place of a waiting task: before another one of its project, or before all of them."""

    before: UUID | None = Field(
        None, description="the task before which to move it; null: move it to the front"
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"before": None}]})


class WaitingOut(BaseModel):
    """The reason why a task waits. ``ahead`` is null in lists of very long queues.

    ``reason`` names the tasks of the project that hold the missing resources, if the caller may
    read tasks. Tasks of other projects are never named.
    """

    ahead: int | None
    reason: str
    reason_zh: str
    not_before: datetime | None
    blocked: bool = Field(description="false if it can start now")


class AttemptOut(BaseModel):
    """One execution of the task and its outcome."""

    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None


class NodeOut(BaseModel):
    """A worker that runs a task together with other workers. Node 0 holds the lease.

    `state` of node 0: `gathering` until all nodes are there, `gathered` while they prepare,
    `running`; of the others: `joined`, `ready`, `leaving` or `failed`.
    """

    node: int
    worker: str
    state: str
    gpus: int


class TaskInputOut(BaseModel):
    """The lineage of a task: one thing that it reads."""

    role: str
    label: str
    content_hash: str | None


class TaskOut(BaseModel):
    """A task. ``progress`` runs from 0 to 1; ``position`` is its place in the queue."""

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
    stop_wanted: Literal["pause", "preempt"] | None
    retry_of: UUID | None
    error_message: str | None
    gpu_usage: dict[str, Any]
    result: dict[str, Any] | None
    author: UserRef | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class TaskBatchOut(BaseModel):
    """The tasks in the order of the request. ``replayed`` counts those that were queued before."""

    items: list[TaskOut]
    replayed: int


class NeedOut(BaseModel):
    """A task that must end before this one starts."""

    task: UUID
    name: str
    status: TaskStatus
    condition: Literal["ok", "any"]


class TaskDetailOut(TaskOut):
    """A task with its attempts, its inputs and the tasks that it waits for.

    `nodes` are the workers that run it now, if there are several.
    """

    after: list[NeedOut]

    attempts: list[AttemptOut]
    nodes: list[NodeOut]
    inputs: list[TaskInputOut]


class TaskEventOut(BaseModel):
    """An entry of the task's timeline."""

    kind: str
    data: dict[str, Any]
    time: datetime
