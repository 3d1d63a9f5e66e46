"""Shapes of experiments and of the requests that change them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiplatform.protocol.enums import ExperimentStatus
from aiplatform.protocol.gates import OverrideReason
from aiplatform.protocol.references import After
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import Strict, TrainingSpec

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
Note = Annotated[str, Field(max_length=100_000)]
Tag = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[\w][\w .:/@+-]*$")]
Tags = Annotated[list[Tag], Field(max_length=50)]


class ExperimentIn(Strict):
    """An experiment to create. If its dataset has no version, each run reads the newest one."""

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
    note: Note | None = Field(None, description="Markdown")
    tags: Tags = Field(default_factory=list)
    task_type: Literal["sft"] = "sft"
    config: TrainingSpec


class ExperimentChange(Strict):
    """Changes of an experiment; omitted fields stay. A changed config affects later runs only."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"description": "Rank 16 suffices.", "tags": ["faq", "prod"]}]
        }
    )

    name: Title | None = None
    description: Description | None = None
    note: Note | None = Field(None, description="Markdown")
    tags: Tags | None = Field(None, description="all of them; an empty list takes them away")
    archived: bool | None = Field(
        None, description="an archived experiment is not listed by itself and starts no runs"
    )
    config: TrainingSpec | None = None

    @model_validator(mode="after")
    def _no_nulls(self) -> "ExperimentChange":
        for field in ("name", "config", "tags", "archived"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} can't be null")
        return self


class CloneIn(Strict):
    """A copy of an experiment. Keys of ``changes`` may be paths: ``lora.rank``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "FAQ, rank 8", "changes": {"lora.rank": 8, "max_steps": 30}}]
        }
    )

    name: Title | None = Field(None, description="by default the other's with (copy)")
    changes: Annotated[dict[str, Any], Field(max_length=100)] = Field(
        default_factory=dict, description="what of the config is different"
    )


class GitState(Strict):
    """The state of the caller's source code: its commit, and whether files differed from it."""

    commit: str = Field(pattern=r"^[0-9a-f]{7,64}$")
    branch: Annotated[str, Field(max_length=255)] | None = None
    dirty: bool = Field(False, description="whether files differed from the commit")


class RunIn(Strict):
    """A training run with the experiment's current config."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 5}]})

    name: Title | None = None
    priority: int = Field(5, ge=1, le=10, description="higher first")
    override_gate: OverrideReason | None = Field(
        None,
        description="why it is trained although the data fails the quality gate; kept by the audit",
    )
    git: GitState | None = Field(None, description="kept in the run's record")
    after: list[After] = Field(
        default_factory=list, max_length=50, description="tasks of the project that must end first"
    )


class ExperimentOut(BaseModel):
    """An experiment. ``metrics`` has the figures of its best run, and of each run in ``runs``."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "project": EXAMPLE_UUID,
                    "name": "FAQ, rank 16",
                    "description": None,
                    "note": None,
                    "tags": ["faq"],
                    "archived_at": None,
                    "cloned_from": None,
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
    note: str | None
    tags: list[str]
    archived_at: datetime | None
    cloned_from: UUID | None
    base_model: str | None = Field(description="name@version; its uuid is in `config`")
    task_type: str | None
    status: ExperimentStatus = Field(description="of the latest run")
    config: dict[str, Any]
    metrics: dict[str, Any]
    author: UserRef | None
    created_at: datetime
    updated_at: datetime
