"""Shapes of runs, their records, and comparisons."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.gates import OverrideReason
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import Strict
from aiplatform.server.experiments.schemas.experiments import EXAMPLE_UUID, Title


class ExperimentRef(BaseModel):
    """The experiment of a run."""

    uuid: UUID
    name: str


EXAMPLE_RUN: Any = {
    "uuid": EXAMPLE_UUID,
    "experiment": {"uuid": EXAMPLE_UUID, "name": "FAQ, rank 16"},
    "name": "FAQ, rank 16 #1",
    "type": "training",
    "status": "completed",
    "progress": 1.0,
    "config": {"type": "training", "lora": {"rank": 16}, "seed": 42},
    "metrics": {"eval_loss": 1.42, "loss": 1.31, "steps": 60},
    "model": EXAMPLE_UUID,
    "rerun_of": None,
    "error_message": None,
    "author": {"uuid": EXAMPLE_UUID, "username": "admin"},
    "created_at": "2026-11-24T16:00:00Z",
    "started_at": "2026-11-24T16:00:01Z",
    "completed_at": "2026-11-24T16:03:00Z",
}


class RunOut(BaseModel):
    """A training or an external run. The task with the same uuid has its logs and series."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_RUN]})

    uuid: UUID
    experiment: ExperimentRef | None
    name: str
    type: TaskType = Field(description="training, or external for one that executes elsewhere")
    status: TaskStatus
    progress: float
    config: dict[str, Any]
    metrics: dict[str, Any] = Field(
        description="the figures of its result and the last value of each series, once it has ended"
    )
    model: UUID | None
    rerun_of: UUID | None
    error_message: str | None
    author: UserRef | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class RecordedInput(BaseModel):
    """An input of a run: a label for people, and the hash of its content."""

    role: str
    label: str
    sha256: str | None


class Record(BaseModel):
    """Everything that is needed to repeat a run, and to explain differences between runs."""

    seed: int | None
    config: dict[str, Any]
    inputs: list[RecordedInput] = Field(description="dataset versions and base model, with hashes")
    git: dict[str, Any] | None = Field(description="the caller's source code, where it was told")
    environment: dict[str, Any] | None = Field(
        description="platform, Python, packages, hardware; null until the run has begun"
    )


class RunDetailOut(RunOut):
    """A run with its record."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                EXAMPLE_RUN
                | {
                    "record": {
                        "seed": 42,
                        "config": EXAMPLE_RUN["config"],
                        "inputs": [{"role": "dataset", "label": "faq@v1", "sha256": "9f86d081…"}],
                        "git": None,
                        "environment": {"python": "3.12.3"},
                    }
                }
            ]
        }
    )

    record: Record


class RerunIn(Strict):
    """A repetition of a run with the same config, dataset versions, base model and seed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 5}]})

    name: Title | None = None
    priority: int = Field(5, ge=1, le=10, description="higher first")
    override_gate: OverrideReason | None = Field(
        None,
        description="why it is trained although the data fails the quality gate; kept by the audit",
    )


class ComparedOut(BaseModel):
    """A column of a comparison. ``run`` is the run that the figures come from."""

    kind: Literal["experiment", "run"]
    uuid: UUID
    name: str
    status: str
    run: UUID | None


class ComparisonOut(BaseModel):
    """A comparison of experiments and runs; lists are in the order of ``items``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "kind": "run",
                            "uuid": EXAMPLE_UUID,
                            "name": "FAQ #1",
                            "status": "completed",
                            "run": EXAMPLE_UUID,
                        }
                    ],
                    "same": {"max_steps": 60},
                    "differs": {"lora.rank": [8]},
                    "metrics": {"eval_loss": [1.42]},
                    "series": ["eval_loss", "loss"],
                }
            ]
        }
    )

    items: list[ComparedOut]
    same: dict[str, Any] = Field(description="what the configs have in common, by path")
    differs: dict[str, list[Any]] = Field(description="what they do not; null where one lacks it")
    metrics: dict[str, list[Any]]
    series: list[str] = Field(
        description="keys of series that one of them has; see `GET …/tasks/{task}/metrics`"
    )
