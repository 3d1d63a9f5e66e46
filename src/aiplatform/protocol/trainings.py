"""Training specs: one per method, and their union, which the field ``method`` discriminates.

A method is a subclass of :class:`TrainingSpec` here, and a function in ``runtime/training``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, TypeAdapter, model_validator

from aiplatform.protocol.accelerator_options import AcceleratorOptions
from aiplatform.protocol.deepspeed import SpecValues, contradictions
from aiplatform.protocol.discriminated_unions import KindErrors, members_of
from aiplatform.protocol.enums import DataShape, TaskType, TrainingMethod
from aiplatform.protocol.names import Name
from aiplatform.protocol.references import DatasetRef, ModelId
from aiplatform.protocol.strict import Strict
from aiplatform.protocol.task_options import TaskOptions

MAX_STEPS = 10_000_000
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]
"""A number of optimizer steps. The bound is far above any real run and catches typos."""


class LoraSpec(Strict):
    """Low-rank adaptation, Hu et al. 2021 (arXiv:2106.09685)."""

    kind: Literal["lora", "dora", "rslora"] = Field(
        "lora",
        description="dora also learns the length of each weight vector (arXiv:2402.09353), at a "
        "lower speed; rslora divides alpha by the root of the rank (arXiv:2312.03732), for high "
        "ranks",
    )
    rank: int = Field(16, ge=1, le=1024)
    alpha: int = Field(32, ge=1, le=4096)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"


class TrainingSpec(TaskOptions):
    """The part that the specs of all training methods have in common.

    Each method has a subclass with the fields that only it has. The amounts in ``resources`` are
    reserved on every node.
    """

    reads: ClassVar[frozenset[DataShape]]
    """The shapes of the rows from which the method can learn."""

    type: Literal[TaskType.TRAINING] = TaskType.TRAINING
    method: TrainingMethod
    base_model: ModelId
    dataset: DatasetRef
    eval_dataset: DatasetRef | None = Field(None, description="held-out rows for loss by step")
    output_name: Name = Field("tuned", description="name of the model that is registered")
    epochs: float = Field(1.0, gt=0, le=1000)
    max_steps: Steps | None = Field(None, description="overrides epochs")
    learning_rate: float = Field(2e-4, gt=0, lt=1)
    lr_scheduler: Literal["linear", "cosine", "constant"] = "cosine"
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, lt=1)
    batch_size: int = Field(8, ge=1, le=4096, description="rows per device and step")
    gradient_accumulation: int = Field(1, ge=1, le=4096)
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are cut")
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = Field(42, ge=0, le=2**32 - 1)
    logging_steps: Steps = Field(1, description="steps between logged losses")
    eval_steps: Steps | None = Field(None, description="steps between evaluations")
    checkpoint_steps: Steps = Field(20, description="steps between checkpoints")
    nodes: int = Field(1, ge=1, le=64, description="workers that train it together")
    processes: int | None = Field(
        None, ge=1, le=64, description="on each node; by default one for each GPU, or one"
    )
    accelerator: AcceleratorOptions | None = None

    @model_validator(mode="after")
    def _one_process_for_each_gpu(self) -> "TrainingSpec":
        if self.resources.gpus and (self.processes or 0) > self.resources.gpus:
            raise ValueError("with GPUs there is at most one process for each; ask for more gpus")
        return self

    @model_validator(mode="after")
    def _fsdp_needs_several_processes(self) -> "TrainingSpec":
        fsdp = self.accelerator is not None and self.accelerator.fsdp is not None
        if fsdp and self.all_processes == 1:
            raise ValueError(
                "accelerator.fsdp needs two processes or more; ask for gpus, processes or nodes"
            )
        return self

    @model_validator(mode="after")
    def _matches_deepspeed(self) -> "TrainingSpec":
        if self.accelerator is not None and self.accelerator.deepspeed is not None:
            values = SpecValues(
                batch_size=self.batch_size,
                gradient_accumulation=self.gradient_accumulation,
                processes=self.all_processes,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                lr_scheduler=self.lr_scheduler,
                precision=self.precision,
            )
            if found := list(contradictions(self.accelerator.deepspeed, values)):
                raise ValueError("; ".join(found))
        return self

    @property
    def all_processes(self) -> int:
        """The total number of processes that train together, on all nodes."""
        return self.nodes * (self.processes or self.resources.gpus or 1)


CONVERSATIONS = frozenset(
    {DataShape.CHAT, DataShape.SHAREGPT, DataShape.ALPACA, DataShape.PROMPT_COMPLETION}
)
"""The shapes of rows that are conversations, or are read as such."""


class SftSpec(TrainingSpec):
    """Supervised fine-tuning: the model learns to give the answers of the dataset."""

    reads = CONVERSATIONS | {DataShape.TEXT}

    method: Literal[TrainingMethod.SFT] = TrainingMethod.SFT
    tuning: Literal["lora", "full"] = Field(
        "lora",
        description="full trains all weights instead of an adapter; it takes several times the "
        "memory, and a learning rate about ten times lower",
    )
    lora: LoraSpec = Field(default_factory=LoraSpec)
    loss: Literal["assistant", "all", "last"] = Field(
        "assistant",
        description="the turns of a conversation that are learned: the assistant's, all, or only "
        "the last answer",
    )
    neftune_alpha: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="strength of the noise on the embeddings (NEFTune, arXiv:2310.05914), such as "
        "5; it helps answers to sound less like the data",
    )

    @model_validator(mode="after")
    def _full_tuning_is_not_sharded(self) -> "SftSpec":
        options = self.accelerator
        if self.tuning == "full" and options is not None and (options.fsdp or options.deepspeed):
            raise ValueError(
                "tuning=full can't be combined with accelerator.fsdp or accelerator.deepspeed; "
                "leave them out, or use tuning=lora"
            )
        return self


AnyTraining = Annotated[SftSpec, KindErrors("method", default=TrainingMethod.SFT)]
"""The spec of any training method; without ``method``, supervised fine-tuning."""

SPECS: Mapping[TrainingMethod, type[TrainingSpec]] = {
    get_args(member.model_fields["method"].annotation)[0]: member
    for member in members_of(AnyTraining)
    if issubclass(member, TrainingSpec)
}
"""The spec of each training method."""

_any_training: TypeAdapter[AnyTraining] = TypeAdapter(AnyTraining)


def methods_for(shape: DataShape) -> list[TrainingMethod]:
    """Return the training methods that can learn from rows of this shape."""
    return [method for method, spec in SPECS.items() if shape in spec.reads]


def parse_training(config: Mapping[str, Any]) -> AnyTraining:
    """Return the training spec with these fields, such as those of a stored config.

    Raises:
        pydantic.ValidationError: A field is unknown, missing or out of range.
    """
    return _any_training.validate_python(dict(config))
