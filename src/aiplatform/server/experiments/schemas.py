"""Experiments as they go over the wire."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiplatform.protocol.enums import ExperimentStatus
from aiplatform.protocol.specs import Strict, TrainingSpec
from aiplatform.server.identity.schemas import UserRef

EXAMPLE_UUID = "5a0f3d1c-8b52-4d5e-9a51-2f3f3a8f0c44"
EXAMPLE_CONFIG: Any = {
    "type": "training",
    "base_model": EXAMPLE_UUID,
    "dataset": {"dataset": EXAMPLE_UUID, "version": "v1"},
    "eval_dataset": {"dataset": EXAMPLE_UUID},
    "output_name": "faq",
    "max_steps": 60,
}
Title = Annotated[str, Field(min_length=1, max_length=255)]
Description = Annotated[str, Field(max_length=10_000)]


class ExperimentIn(Strict):
    """A question asked of a base model. Without a version, a run reads the version of its day."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "FAQ, rank 16",
                    "description": "Does rank 16 suffice?",
                    "task_type": "sft",
                    "config": EXAMPLE_CONFIG,
                }
            ]
        }
    )

    name: Title
    description: Description | None = None
    task_type: Literal["sft"] = "sft"
    config: TrainingSpec


class ExperimentChange(Strict):
    """What is given is changed. A changed config counts for later runs only."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"description": "Rank 16 suffices."}]}
    )

    name: Title | None = None
    description: Description | None = None
    config: TrainingSpec | None = None

    @model_validator(mode="after")
    def _no_nulls(self) -> "ExperimentChange":
        for field in ("name", "config"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} can't be null")
        return self


class RunIn(Strict):
    """A training run of the experiment as it is now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 5}]})

    name: Title | None = None
    priority: int = Field(5, ge=1, le=10, description="higher first")


class ExperimentOut(BaseModel):
    """An experiment. ``metrics`` has the figures of its best run, and ``runs`` with each one's."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "project": EXAMPLE_UUID,
                    "name": "FAQ, rank 16",
                    "description": None,
                    "base_model": "smollm2@1",
                    "task_type": "sft",
                    "status": "completed",
                    "config": EXAMPLE_CONFIG,
                    "metrics": {
                        "task": EXAMPLE_UUID,
                        "model": EXAMPLE_UUID,
                        "eval_loss": 1.42,
                        "train_loss_last": 1.31,
                        "runs": [],
                    },
                    "author": {"uuid": EXAMPLE_UUID, "username": "admin"},
                    "created_at": "2026-11-24T16:00:00Z",
                    "updated_at": "2026-11-24T16:03:00Z",
                }
            ]
        }
    )

    uuid: UUID
    project: UUID
    name: str
    description: str | None
    base_model: str | None = Field(description="name@version; its uuid is in `config`")
    task_type: str | None
    status: ExperimentStatus = Field(description="of the latest run")
    config: dict[str, Any]
    metrics: dict[str, Any]
    author: UserRef | None
    created_at: datetime
    updated_at: datetime
