"""Request bodies for deployments."""

from typing import Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from aiplatform.protocol.names import Name
from aiplatform.protocol.references import After, NamedModel
from aiplatform.protocol.shapes.models import EXAMPLE_DEPLOYMENT, DeploymentOptions
from aiplatform.protocol.specs import InferenceSpec, ModelSpec, ServingResources, Strict
from aiplatform.protocol.task_options import QueueName


class _Served(Strict):
    """The model to serve, and whether to follow its alias."""

    model: ModelSpec = Field(description="a model, or the training that makes it")
    follow: bool = Field(
        False,
        description="update the deployment whenever the alias that `model` names moves",
    )

    @model_validator(mode="after")
    def _check_follow(self) -> Self:
        if self.follow and not isinstance(self.model, str):
            raise PydanticCustomError(
                "follow_without_alias",
                "follow needs an alias as the model, as in NAME@ALIAS",
                {"words_zh": "follow 需要以别名作为模型，写作 NAME@ALIAS"},
            )
        return self

    @property
    def followed(self) -> str | None:
        """The alias to follow, or None."""
        return self.model if self.follow and isinstance(self.model, str) else None


class DeploymentIn(_Served):
    """A model to serve. Chat requests use ``name`` as the model's name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "faq",
                    "model": EXAMPLE_DEPLOYMENT,
                    "options": {"engine": "transformers", "max_length": 2048},
                    "resources": {"cpus": 0.1, "memory_mb": 2048, "gpus": 0},
                }
            ]
        }
    )

    name: Name
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


class DeploymentUpdateIn(_Served):
    """Another model to serve under the same name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": EXAMPLE_DEPLOYMENT}]})

    model: NamedModel
