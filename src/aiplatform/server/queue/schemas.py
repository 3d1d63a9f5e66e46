"""Shapes of requests and responses about tasks, their logs and their artifacts."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiplatform.protocol.gates import OverrideReason
from aiplatform.protocol.references import After
from aiplatform.protocol.shapes.tasks import TaskOut
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
                "give each task a different idempotency_key, or give none to any of them"
            )
        return self


class TaskPatch(Strict):
    """Changes that are possible while a task waits."""

    priority: int = Field(ge=1, le=10, description="a higher priority starts first")

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 8}]})


class RetryIn(Strict):
    """Options for retrying a task."""

    override_gate: OverrideReason | None = Field(
        None,
        description="reason to train although the data fails the quality gate; it is recorded in "
        "the audit trail",
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"override_gate": None}]})


class MoveIn(Strict):
    """The new position of a waiting task: before another task of its project, or before all."""

    before: UUID | None = Field(
        None, description="the task before which to move it; null: move it to the front"
    )

    model_config = ConfigDict(json_schema_extra={"examples": [{"before": None}]})


class TaskBatchOut(BaseModel):
    """The tasks in request order. ``replayed`` counts those that had been queued before."""

    items: list[TaskOut]
    replayed: int
