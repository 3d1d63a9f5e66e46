"""Task specs: what is asked of a task, from request body to runtime input.

References are uuids; the server checks on submission that the caller may use them and pins dataset
versions, so that a stored spec names exactly what was read.
"""

import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aiplatform.protocol.enums import TaskType

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Names of models and deployments: they appear in URLs and in the OpenAI ``model`` field."""

QueueName = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[a-z0-9][a-z0-9._-]*$")]


class Strict(BaseModel):
    """Unknown fields are refused: a misspelt hyper-parameter must not be ignored."""

    model_config = ConfigDict(extra="forbid")


class Resources(Strict):
    """What a task occupies on the worker that runs it."""

    cpus: float = Field(1.0, ge=0, le=1024, description="CPU cores")
    memory_mb: int = Field(0, ge=0, description="memory in MiB; 0 reserves none")
    gpus: int = Field(0, ge=0, le=64, description="whole GPUs")


class DatasetRef(Strict):
    """A dataset and one of its versions; without a version, the current one when submitted."""

    dataset: UUID
    version: str | None = Field(None, pattern=r"^v[1-9][0-9]{0,8}$")


class TaskOptions(Strict):
    """What every spec shares."""

    resources: Resources = Field(default_factory=Resources)
    queue: QueueName = Field("default", description="selector: which workers may take the task")
    max_attempts: int = Field(
        3, ge=1, le=20, description="how often a task whose worker was lost is started"
    )


class LoraSpec(Strict):
    """Low-rank adaptation, Hu et al. 2021 (arXiv:2106.09685)."""

    rank: int = Field(16, ge=1, le=1024)
    alpha: int = Field(32, ge=1, le=4096)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"


class TrainingSpec(TaskOptions):
    """Fine-tune a base model on a dataset version."""

    type: Literal[TaskType.TRAINING] = TaskType.TRAINING
    method: Literal["sft"] = "sft"
    base_model: UUID
    dataset: DatasetRef
    eval_dataset: DatasetRef | None = Field(None, description="held-out rows for loss by step")
    output_name: Name = Field("tuned", description="name of the model that is registered")
    lora: LoraSpec = Field(default_factory=LoraSpec)
    epochs: float = Field(1.0, gt=0, le=1000)
    max_steps: int | None = Field(None, ge=1, description="overrides epochs")
    learning_rate: float = Field(2e-4, gt=0, lt=1)
    lr_scheduler: Literal["linear", "cosine", "constant"] = "cosine"
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(8, ge=1, le=4096, description="rows per device and step")
    gradient_accumulation: int = Field(1, ge=1, le=4096)
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are cut")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = Field(42, ge=0, le=2**32 - 1)
    logging_steps: int = Field(1, ge=1)
    eval_steps: int | None = Field(None, ge=1, description="steps between evaluations")
    checkpoint_steps: int = Field(20, ge=1, description="steps between checkpoints")


class EvaluationSpec(TaskOptions):
    """Loss, perplexity and answers of a model and of its base on the same held-out rows."""

    type: Literal[TaskType.EVALUATION] = TaskType.EVALUATION
    model: UUID
    dataset: DatasetRef
    max_rows: int | None = Field(None, ge=1)
    batch_size: int = Field(8, ge=1, le=4096)
    max_length: int = Field(512, ge=8, le=1_048_576)
    answers: int = Field(3, ge=0, le=100, description="rows answered by both, side by side")
    max_new_tokens: int = Field(64, ge=1, le=8192)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class QualitySpec(TaskOptions):
    """The quality report of one dataset version."""

    type: Literal[TaskType.DATA_QUALITY] = TaskType.DATA_QUALITY
    dataset: DatasetRef
    base_model: UUID | None = Field(None, description="whose tokenizer counts the tokens")
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are reported")


class HubSource(Strict):
    """A repository of a model hub (Hugging Face, a mirror of it, or ModelScope, by setting)."""

    kind: Literal["hub"] = "hub"
    repository: str = Field(pattern=r"^[A-Za-z0-9._-]{1,96}/[A-Za-z0-9._-]{1,96}$")
    revision: str | None = Field(None, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$")

    @field_validator("repository", "revision")
    @classmethod
    def _no_traversal(cls, value: str | None) -> str | None:
        if value is not None and ".." in value:
            raise ValueError("must not contain '..'")
        return value


class PackageSource(Strict):
    """A model that an installed Python distribution ships as data; its code is never imported."""

    kind: Literal["package"] = "package"
    package: str = Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$")


class UploadSource(Strict):
    """Files that the caller uploads to the model before starting the import."""

    kind: Literal["upload"] = "upload"


ModelSource = Annotated[HubSource | PackageSource | UploadSource, Field(discriminator="kind")]


class ImportSpec(TaskOptions):
    """Bring a base model in: safetensors as they are, GGUF converted."""

    type: Literal[TaskType.MODEL_IMPORT] = TaskType.MODEL_IMPORT
    model: UUID | None = Field(None, description="the registry row; set by the server")
    source: ModelSource


class InferenceSpec(TaskOptions):
    """Serve a model; a task of this type runs until it is stopped."""

    type: Literal[TaskType.INFERENCE] = TaskType.INFERENCE
    model: UUID
    engine: Literal["transformers", "vllm"] = "transformers"
    max_length: int = Field(2048, ge=8, le=1_048_576, description="context, in tokens")
    max_batch_size: int = Field(8, ge=1, le=1024, description="requests decoded together")
    precision: Literal["auto", "fp32", "bf16"] = "auto"


TaskSpec = Annotated[
    TrainingSpec | EvaluationSpec | QualitySpec | ImportSpec | InferenceSpec,
    Field(discriminator="type"),
]


class ModelReference(Strict):
    """``name`` or ``name@version``, as people write it."""

    name: str
    version: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, value: object) -> object:
        if isinstance(value, str):
            match = re.fullmatch(r"([^@]+)(?:@(.+))?", value)
            if match is None:
                raise ValueError("write it as name or name@version")
            return {"name": match[1], "version": match[2]}
        return value
