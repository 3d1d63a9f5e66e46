"""Request bodies for experiments and runs."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from aiplatform.protocol.enums import TrainingMethod
from aiplatform.protocol.gates import OverrideReason
from aiplatform.protocol.references import After
from aiplatform.protocol.shapes.experiments import EXAMPLE_CONFIG
from aiplatform.protocol.specs import Strict
from aiplatform.protocol.trainings import AnyTraining

Title = Annotated[str, Field(min_length=1, max_length=255)]
Description = Annotated[str, Field(max_length=10_000)]
Note = Annotated[str, Field(max_length=100_000)]
Tag = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[\w][\w .:/@+-]*$")]
Tags = Annotated[list[Tag], Field(max_length=50)]


class ExperimentIn(Strict):
    """An experiment to create. If ``config`` names no dataset version, each run uses the newest."""

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
    task_type: TrainingMethod | None = Field(
        None, description="the method of `config`, which may be left out here"
    )
    config: AnyTraining

    @model_validator(mode="after")
    def _task_type_is_the_method(self) -> "ExperimentIn":
        if self.task_type not in {None, self.config.method}:
            raise ValueError(
                f"task_type is {self.task_type} but config.method is {self.config.method}; "
                "leave task_type out"
            )
        return self


class EstimateIn(Strict):
    """A training run to estimate."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"config": EXAMPLE_CONFIG}]})

    config: AnyTraining = Field(description="the training's spec, as in an experiment")


class ExperimentChange(Strict):
    """Changes to an experiment; omitted fields keep their values.

    A changed config affects only later runs.
    """

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
        None, description="an archived experiment is not listed by default and starts no runs"
    )
    config: AnyTraining | None = None

    @model_validator(mode="after")
    def _no_nulls(self) -> "ExperimentChange":
        for field in ("name", "config", "tags", "archived"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} can't be null")
        return self


class CloneIn(Strict):
    """A copy of an experiment. Keys of ``changes`` may be paths, such as ``lora.rank``."""

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


class RerunIn(Strict):
    """A repetition of a run with the same config, dataset versions, base model and seed."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 5}]})

    name: Title | None = None
    priority: int = Field(5, ge=1, le=10, description="higher first")
    override_gate: OverrideReason | None = Field(
        None,
        description="why it is trained although the data fails the quality gate; kept by the audit",
    )
