"""The shapes of models, their files, and deployments."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from aiplatform.protocol.enums import DeploymentStatus, ModelKind, ModelStatus
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.shape import Shape
from aiplatform.protocol.specs import (
    PRECISION_MEANING,
    EngineName,
    ServingPrecision,
    Strict,
    require_precision_of_engine,
)
from aiplatform.protocol.task_options import Resources

EXAMPLE_MODEL = "3f0c9b1e-8d1a-4a52-b7a5-0a9a4f6d2b11"


class BaseModelOut(Shape):
    """The model from which another model was tuned."""

    uuid: UUID
    name: str
    version: str | None


class ModelOut(Shape):
    """A model version. ``size`` is in bytes. If ``project`` is null, all projects share it."""

    uuid: UUID
    project: UUID | None
    name: str
    version: str | None
    aliases: list[str] = Field(description="the aliases that point to this version")
    status: ModelStatus
    framework: str | None
    kind: ModelKind = Field(
        description="language models write text; the methods say which kinds they tune"
    )
    base_model: BaseModelOut | None
    license: str | None
    size: int
    metrics: dict[str, Any]
    card: str | None = Field(description="its README.md, Markdown")
    facts: dict[str, Any] = Field(description="source, architecture, parameters, data, …")
    task: UUID | None = Field(description="the task that made or imported it")
    experiment: UUID | None
    error: str | None
    author: UserRef | None
    created_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_MODEL,
                    "project": "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21",
                    "name": "smollm2",
                    "version": "1",
                    "aliases": ["production"],
                    "status": "ready",
                    "framework": "transformers",
                    "kind": "language_model",
                    "base_model": None,
                    "license": "apache-2.0",
                    "size": 272516345,
                    "metrics": {},
                    "card": "# Base model\n",
                    "facts": {"architecture": "LlamaForCausalLM", "parameters": 134515008},
                    "task": "b6a7c9b2-91a3-4f4c-9c84-0a2b1c3d4e5f",
                    "experiment": None,
                    "error": None,
                    "author": None,
                    "created_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class ModelAliasOut(Shape):
    """An alias of a model, with its last move. If ``project`` is null, all projects share it."""

    project: UUID | None
    model_name: str
    name: str
    model: UUID = Field(description="the version that it points to")
    version: str | None
    reason: str | None
    moved_by: UserRef | None
    moved_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project": "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21",
                    "model_name": "faq",
                    "name": "production",
                    "model": EXAMPLE_MODEL,
                    "version": "3",
                    "reason": "Better on the held-out questions.",
                    "moved_by": {"uuid": EXAMPLE_MODEL, "username": "admin"},
                    "moved_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class ModelAliasMoveOut(Shape):
    """A change of an alias. ``from_*`` is null if the alias is new, ``to_*`` if it was deleted.

    The uuids are also null for versions that have been deleted since.
    """

    alias: str
    from_model: UUID | None
    from_version: str | None
    to_model: UUID | None
    to_version: str | None
    reason: str | None
    is_undo: bool = Field(description="true if it took an earlier move back")
    undone: bool = Field(description="true if a later move took it back")
    moved_by: UserRef | None
    moved_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "alias": "production",
                    "from_model": EXAMPLE_MODEL,
                    "from_version": "2",
                    "to_model": EXAMPLE_MODEL,
                    "to_version": "3",
                    "reason": "Better on the held-out questions.",
                    "is_undo": False,
                    "undone": False,
                    "moved_by": {"uuid": EXAMPLE_MODEL, "username": "admin"},
                    "moved_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class ModelFileOut(Shape):
    """A file of a model. Uploaded files are below ``source/`` until they are imported."""

    path: str
    size: int
    sha256: str

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "path": "weights/config.json",
                    "size": 860,
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                }
            ]
        }
    )


EXAMPLE_DEPLOYMENT = "7d1f6a8e-0c64-4d6b-b5d5-35b8a3d7a9f0"


class DeploymentOptions(Strict):
    """Options for serving a model. The defaults are those of the inference spec."""

    engine: EngineName = "transformers"
    max_length: int = Field(2048, ge=8, le=1_048_576, description="context, in tokens")
    max_batch_size: int = Field(8, ge=1, le=1024, description="requests decoded together")
    precision: ServingPrecision = Field("auto", description=PRECISION_MEANING)

    @model_validator(mode="after")
    def _check_precision(self) -> "DeploymentOptions":
        require_precision_of_engine(self.engine, self.precision)
        return self


class DeploymentUpdateOut(Shape):
    """A deployment update in progress. The new server is starting; it takes over when ready."""

    model: UUID | None = Field(description="null when it was deleted since")
    model_name: str | None
    task: UUID | None = Field(description="of its server; to cancel it gives the update up")


class DeploymentOut(Shape):
    """A deployment. ``restarts`` counts the restarts since a user last started it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_DEPLOYMENT,
                    "project": EXAMPLE_DEPLOYMENT,
                    "name": "faq",
                    "model": EXAMPLE_DEPLOYMENT,
                    "model_name": "tuned@1",
                    "follows": "tuned@production",
                    "status": "ready",
                    "task": EXAMPLE_DEPLOYMENT,
                    "restarts": 0,
                    "error": None,
                    "updating": None,
                    "update_error": None,
                    "options": {"engine": "transformers", "max_length": 2048},
                    "resources": {"cpus": 0.1, "memory_mb": 2048, "gpus": 0},
                    "queue": "default",
                    "author": {"uuid": EXAMPLE_DEPLOYMENT, "username": "admin"},
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
    follows: str | None = Field(description="the alias whose moves update it, as `name@alias`")
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
