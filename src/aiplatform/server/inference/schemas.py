"""Schemas of deployments."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.protocol.names import Name
from aiplatform.protocol.references import After
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import (
    InferenceSpec,
    ModelSpec,
    QueueName,
    Resources,
    ServingResources,
    Strict,
)

EXAMPLE_UUID = "7d1f6a8e-0c64-4d6b-b5d5-35b8a3d7a9f0"


class DeploymentOptions(Strict):
    """Options for serving a model. The defaults are those of the inference spec."""

    engine: Literal["transformers", "vllm"] = "transformers"
    max_length: int = Field(2048, ge=8, le=1_048_576, description="context, in tokens")
    max_batch_size: int = Field(8, ge=1, le=1024, description="requests decoded together")
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class DeploymentIn(Strict):
    """A model to serve. Chat requests use ``name`` as the name of the model."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "faq",
                    "model": EXAMPLE_UUID,
                    "options": {"engine": "transformers", "max_length": 2048},
                    "resources": {"cpus": 0.1, "memory_mb": 2048, "gpus": 0},
                }
            ]
        }
    )

    name: Name
    model: ModelSpec = Field(description="a model, or the training that makes it")
    options: DeploymentOptions = Field(default_factory=DeploymentOptions)
    resources: ServingResources = Field(default_factory=ServingResources)
    queue: QueueName = Field("default", description="selector: which workers may serve it")
    after: list[After] = Field(
        default_factory=list,
        max_length=50,
        description="tasks of the project that must end before it starts",
    )

    def spec(self) -> InferenceSpec:
        """Return the spec of the task that serves the model."""
        return InferenceSpec(
            model=self.model,
            resources=self.resources,
            queue=self.queue,
            **self.options.model_dump(),
        )


class DeploymentUpdateIn(Strict):
    """Another model to serve under the same name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": EXAMPLE_UUID}]})

    model: UUID


class DeploymentUpdateOut(BaseModel):
    """An update that is under way. Its server starts, and takes over when it is ready."""

    model: UUID | None = Field(description="null when it was deleted since")
    model_name: str | None
    task: UUID | None = Field(description="of its server; to cancel it gives the update up")


class DeploymentOut(BaseModel):
    """A deployment. ``restarts`` counts the restarts since a person last started it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "project": EXAMPLE_UUID,
                    "name": "faq",
                    "model": EXAMPLE_UUID,
                    "model_name": "tuned@1",
                    "status": "ready",
                    "task": EXAMPLE_UUID,
                    "restarts": 0,
                    "error": None,
                    "updating": None,
                    "update_error": None,
                    "options": {"engine": "transformers", "max_length": 2048},
                    "resources": {"cpus": 0.1, "memory_mb": 2048, "gpus": 0},
                    "queue": "default",
                    "author": {"uuid": EXAMPLE_UUID, "username": "admin"},
                    "created_at": "2026-11-24T16:00:00Z",
                    "updated_at": "2026-11-24T16:00:12Z",
                }
            ]
        }
    )

    uuid: UUID
    project: UUID
    name: str
    model: UUID | None = Field(description="null when it was deleted since, or is yet to be made")
    model_name: str | None
    status: DeploymentStatus
    task: UUID | None = Field(description="the task of the current or last run")
    restarts: int
    error: str | None = Field(description="why the last run ended, when it crashed or never began")
    updating: DeploymentUpdateOut | None = Field(description="the update that is under way")
    update_error: str | None = Field(description="why the last update failed")
    options: DeploymentOptions
    resources: Resources
    queue: str
    author: UserRef | None
    created_at: datetime
    updated_at: datetime
