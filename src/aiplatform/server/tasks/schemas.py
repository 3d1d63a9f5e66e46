"""Tasks as they go over the wire."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.enums import LogStream, TaskStatus, TaskType
from aiplatform.protocol.specs import Strict, TaskSpec
from aiplatform.server.identity.schemas import UserRef

EXAMPLE_UUID = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"


class TaskIn(Strict):
    """A task to queue. Training starts through experiments, inference through deployments."""

    name: str = Field(min_length=1, max_length=255)
    priority: int = Field(5, ge=1, le=10, description="higher first")
    spec: TaskSpec

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


class AttemptOut(BaseModel):
    """One start of the task and how it ended."""

    attempt: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: str | None


class TaskInputOut(BaseModel):
    """Lineage: what the task reads."""

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
    error_message: str | None
    gpu_usage: dict[str, Any]
    result: dict[str, Any] | None
    author: UserRef | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class TaskDetailOut(TaskOut):
    """A task with its attempts and inputs."""

    attempts: list[AttemptOut]
    inputs: list[TaskInputOut]


class LogChunkOut(BaseModel):
    """Consecutive lines of one stream."""

    seq: int
    attempt: int
    stream: LogStream
    text: str
    time: datetime


class SeriesOut(BaseModel):
    """Points as ``[step, value, seconds since the epoch]``, by key."""

    series: dict[str, list[list[float | str]]]


class TaskEventOut(BaseModel):
    """A line of the task's timeline."""

    kind: str
    data: dict[str, Any]
    time: datetime
