"""Training specs: one per method, and their union, discriminated by the field ``method``.

A method is a subclass of :class:`TrainingSpec` here, and a function in ``runtime/training``.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from typing_extensions import TypeAliasType

from aiplatform.protocol.accelerator_options import AcceleratorOptions
from aiplatform.protocol.deepspeed import SpecValues, contradictions
from aiplatform.protocol.discriminated_unions import KindErrors, members_of
from aiplatform.protocol.enums import DataShape, ModelKind, TaskType, TrainingMethod
from aiplatform.protocol.names import Name
from aiplatform.protocol.references import DatasetRef, NamedModel
from aiplatform.protocol.rewards import MAX_REWARDS, AnyReward, refusal
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


def _require_method(schema: dict[str, Any], model: type[Any]) -> None:
    """Mark ``method`` as required, except for the default method."""
    if model.model_fields["method"].default != TrainingMethod.SFT:
        schema["required"] = [*schema.get("required", ()), "method"]


class TrainingSpec(TaskOptions):
    """The base class of all training specs.

    Each method has a subclass with its own fields. The amounts in ``resources`` are reserved on
    every node.
    """

    model_config = ConfigDict(json_schema_extra=_require_method)

    reads: ClassVar[frozenset[DataShape]]
    """The shapes of the rows from which the method can learn."""
    tunes: ClassVar[tuple[ModelKind, ...]] = (ModelKind.LANGUAGE_MODEL,)
    """The kinds of base models that the method can tune."""
    makes: ClassVar[ModelKind] = ModelKind.LANGUAGE_MODEL
    """The kind of the tuned model; only a language model can be deployed and evaluated."""
    note_on_use: ClassVar[str] = ""
    """Notes on the use of a tuned model that generates no text, for its model card."""
    estimable: ClassVar[bool] = True
    """True if training runs with this method can be estimated."""
    one_process: ClassVar[bool] = False
    """True if the method can't train in several processes."""
    training_data: ClassVar[tuple[str, ...]] = ("dataset",)
    """The fields that name data to learn from; ``eval_dataset`` is only for evaluation."""

    type: Literal[TaskType.TRAINING] = TaskType.TRAINING
    method: TrainingMethod
    base_model: NamedModel
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
    def _processes_fit_the_method(self) -> "TrainingSpec":
        if self.one_process and self.all_processes > 1:
            raise ValueError(
                f"the method {self.method} trains in one process; leave nodes and processes out, "
                "and ask for at most one of gpus"
            )
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

    @classmethod
    def shapes_of(cls, field: str) -> frozenset[DataShape]:  # noqa: ARG003
        """Return the shapes that the rows of a dataset in this field may have."""
        return cls.reads

    def datasets(self) -> dict[str, DatasetRef]:
        """Return the datasets that the training reads, keyed by the field that names each."""
        fields = (*self.training_data, "eval_dataset")
        return {field: ref for field in fields if (ref := getattr(self, field)) is not None}


CONVERSATIONS = frozenset(
    {DataShape.CHAT, DataShape.SHAREGPT, DataShape.ALPACA, DataShape.PROMPT_COMPLETION}
)
"""The shapes of rows that are conversations, or are read as such."""


class TuningSpec(TrainingSpec):
    """The base class of specs for methods that train an adapter or all weights."""

    tuning: Literal["lora", "full"] = Field(
        "lora",
        description="full trains all weights instead of an adapter; it takes several times the "
        "memory, and a learning rate about ten times lower",
    )
    lora: LoraSpec = Field(default_factory=LoraSpec)

    @model_validator(mode="after")
    def _full_tuning_is_not_sharded(self) -> "TuningSpec":
        options = self.accelerator
        if self.tuning == "full" and options is not None and (options.fsdp or options.deepspeed):
            raise ValueError(
                "tuning=full can't be combined with accelerator.fsdp or accelerator.deepspeed; "
                "leave them out, or use tuning=lora"
            )
        return self


class SftSpec(TuningSpec):
    """Supervised fine-tuning: the model learns to give the answers of the dataset."""

    reads = CONVERSATIONS | {DataShape.TEXT}

    method: Literal[TrainingMethod.SFT] = TrainingMethod.SFT
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
    packing: bool = Field(
        False,
        description="fill each sequence of max_length tokens with several rows, which do not see "
        "each other; faster if most rows are short. batch_size then counts sequences",
    )


class CptSpec(TuningSpec):
    """Continued pre-training: the model learns all tokens of plain text.

    The texts are joined, with the end token after each, and cut into blocks of ``max_length``
    tokens, so that no text is cut off and hardly any token is padding.
    """

    reads = frozenset({DataShape.TEXT})
    training_data = ("dataset", "replay_dataset")

    method: Literal[TrainingMethod.CPT] = TrainingMethod.CPT
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens of a block")
    batch_size: int = Field(8, ge=1, le=4096, description="blocks per device and step")
    replay_dataset: DatasetRef | None = Field(
        None,
        description="other texts or conversations that are mixed in, so that the model does not "
        "forget what it could do",
    )
    replay_share: float = Field(
        0.1, gt=0, lt=1, description="share of the blocks that come from replay_dataset"
    )

    @classmethod
    def shapes_of(cls, field: str) -> frozenset[DataShape]:
        """Return the shapes that the rows of a dataset in this field may have."""
        return cls.reads | CONVERSATIONS if field == "replay_dataset" else cls.reads


class ClassificationSpec(TuningSpec):
    """Classification: the model learns to give each text its label, or several labels.

    The tuned model has a head with one output per label. It writes no text.
    """

    reads = frozenset({DataShape.CLASSIFICATION})
    tunes = (ModelKind.ENCODER, ModelKind.LANGUAGE_MODEL)
    makes = ModelKind.CLASSIFIER
    note_on_use = "The model has a head with one output per label. It writes no text."
    one_process = True

    method: Literal[TrainingMethod.CLASSIFICATION] = TrainingMethod.CLASSIFICATION
    label_separator: str | None = Field(
        None,
        min_length=1,
        max_length=10,
        description="what stands between the labels of a row that has several, such as a comma; "
        "by default each row has one label",
    )
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced lets all labels count equally, although some have fewer rows"
    )

    @model_validator(mode="after")
    def _one_label_is_balanced(self) -> "ClassificationSpec":
        if self.label_separator is not None and self.class_weights == "balanced":
            raise ValueError("class_weights=balanced needs rows with one label each")
        return self


class EmbeddingSpec(TuningSpec):
    """Embeddings: the model learns to give texts that belong together similar vectors.

    From pairs and triplets it learns to find the positive of each anchor among all texts of the
    batch (multiple negatives ranking, arXiv:1705.00652). From scored pairs it learns to rank the
    pairs by their scores (CoSENT).
    """

    reads = frozenset({DataShape.EMBEDDING_PAIRS, DataShape.SCORED_PAIRS})
    tunes = (ModelKind.ENCODER,)
    makes = ModelKind.ENCODER
    note_on_use = "The model represents a text as a vector. sentence-transformers loads it."
    one_process = True

    method: Literal[TrainingMethod.EMBEDDING] = TrainingMethod.EMBEDDING
    batch_size: int = Field(
        32, ge=2, le=4096, description="rows per step; the more, the harder it is to find a text"
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean",
        description="the vector of a text: the mean of its tokens' vectors, or that of the first "
        "token; leave it as the base model was trained",
    )
    scale: float = Field(
        20.0,
        gt=0,
        le=1000,
        description="factor of the similarities in the loss, the inverse of a temperature",
    )


class PreferenceLora(LoraSpec):
    """LoRA without dropout, whose noise would hide the small differences between answers."""

    dropout: float = Field(0.0, ge=0, lt=1)


class PreferenceSpec(TrainingSpec):
    """The base class of specs for methods that learn from preference pairs.

    These methods train an adapter in a single process.
    """

    reads = frozenset({DataShape.PREFERENCE})
    one_process = True

    lora: PreferenceLora = Field(default_factory=PreferenceLora)
    learning_rate: float = Field(5e-5, gt=0, lt=1)
    batch_size: int = Field(8, ge=1, le=4096, description="pairs per step")


class DpoSpec(PreferenceSpec):
    """Direct preference optimisation, Rafailov et al. 2023 (arXiv:2305.18290).

    The model learns to prefer the chosen answer of each pair. It is compared with the base model,
    which is the same model with the adapter disabled.
    """

    method: Literal[TrainingMethod.DPO] = TrainingMethod.DPO
    beta: float = Field(
        0.1, gt=0, le=100, description="how strongly the model is kept near the base model"
    )
    loss_type: Literal["sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "apo_zero"] = Field(
        "sigmoid",
        description="sigmoid is DPO itself; hinge (arXiv:2305.10425) ignores pairs that are "
        "learned; ipo (arXiv:2310.12036) does not push them further apart; robust "
        "(arXiv:2403.00409) expects wrong pairs, see label_smoothing; sigmoid_norm divides by the "
        "length; apo_zero (arXiv:2408.06266) makes chosen answers more likely in any case",
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="the share of pairs whose sides are expected to be swapped; only for robust",
    )

    @model_validator(mode="after")
    def _smoothing_is_used(self) -> "DpoSpec":
        if self.label_smoothing and self.loss_type != "robust":
            raise ValueError("label_smoothing has no effect without loss_type=robust")
        return self


class OrpoSpec(PreferenceSpec):
    """Odds ratio preference optimisation, Hong et al. 2024 (arXiv:2403.07691).

    The model learns to give the chosen answers, as in supervised fine-tuning, and to prefer them to
    the rejected answers. It is not compared with the base model.
    """

    method: Literal[TrainingMethod.ORPO] = TrainingMethod.ORPO
    beta: float = Field(
        0.1, gt=0, le=100, description="weight of the preference beside the chosen answers"
    )


class KtoSpec(TrainingSpec):
    """Kahneman-Tversky optimisation, Ethayarajh et al. 2024 (arXiv:2402.01306).

    The model learns from answers that are labelled good or bad; no pairs are needed. It is compared
    with the base model, which is the same model with the adapter disabled.
    """

    reads = frozenset({DataShape.UNPAIRED_PREFERENCE})
    one_process = True

    method: Literal[TrainingMethod.KTO] = TrainingMethod.KTO
    lora: PreferenceLora = Field(default_factory=PreferenceLora)
    learning_rate: float = Field(5e-5, gt=0, lt=1)
    batch_size: int = Field(
        8,
        ge=2,
        le=4096,
        description="rows per step; the questions of a batch are also compared with the answers to "
        "others, so there are at least two",
    )
    beta: float = Field(
        0.1, gt=0, le=100, description="how strongly the model is kept near the base model"
    )
    desirable_weight: float = Field(
        1.0,
        gt=0,
        le=100,
        description="weight of the good answers; raise it if they are much fewer than the bad ones",
    )
    undesirable_weight: float = Field(
        1.0,
        gt=0,
        le=100,
        description="weight of the bad answers; raise it if they are much fewer than the good ones",
    )
    loss_type: Literal["kto", "apo_zero_unpaired"] = Field(
        "kto",
        description="kto compares answers with how far the model has moved in general; "
        "apo_zero_unpaired (arXiv:2408.06266) makes good answers more likely in any case",
    )


class GrpoSpec(TrainingSpec):
    """Group relative policy optimisation, Shao et al. 2024 (arXiv:2402.03300).

    The model answers each question several times, the rewards score the answers, and the model
    learns to give answers like those that are better than the average of their group. Each answer
    is used for one step. The model is compared with the base model, which is the same model with
    the adapter disabled.
    """

    reads = CONVERSATIONS
    estimable = False
    one_process = True

    method: Literal[TrainingMethod.GRPO] = TrainingMethod.GRPO
    lora: PreferenceLora = Field(default_factory=PreferenceLora)
    learning_rate: float = Field(5e-5, gt=0, lt=1)
    rewards: list[AnyReward] = Field(
        min_length=1,
        max_length=MAX_REWARDS,
        description="what answers are scored by; the sum of the weighted rewards counts",
    )
    num_generations: int = Field(
        8, ge=2, le=1024, description="answers to each question, which are compared"
    )
    batch_size: int = Field(
        8,
        ge=1,
        le=4096,
        description="answers that are learned at once; together with gradient_accumulation a "
        "multiple of num_generations",
    )
    max_length: int = Field(
        512, ge=8, le=1_048_576, description="tokens of a question and its answer together"
    )
    max_answer_tokens: int = Field(
        128, ge=1, le=1_048_576, description="tokens after which an answer is cut off"
    )
    temperature: float = Field(
        1.0, gt=0, le=10, description="how different the answers to a question are"
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="share of the most likely tokens from which answers are drawn"
    )
    beta: float = Field(
        0.04,
        ge=0,
        le=100,
        description="how strongly the model is kept near the base model; 0 saves the computation "
        "of the comparison",
    )
    loss_type: Literal["grpo", "dr_grpo", "bnpo"] = Field(
        "grpo",
        description="grpo gives all answers the same weight, bnpo all tokens of a batch; dr_grpo "
        "(arXiv:2503.20783) divides by max_answer_tokens, so that long wrong answers are not "
        "favoured",
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        "group",
        description="what the differences from the average are divided by: the standard deviation "
        "in the group, that in the batch, or nothing",
    )

    @model_validator(mode="after")
    def _batch_has_whole_groups(self) -> "GrpoSpec":
        answers = self.batch_size * self.gradient_accumulation
        if answers % self.num_generations:
            raise refusal(
                "incomplete_groups",
                f"batch_size times gradient_accumulation is {answers}, which is not a multiple of "
                f"num_generations ({self.num_generations}); each step needs all answers to a "
                "question",
                f"batch_size 与 gradient_accumulation 的乘积为 {answers}，不是 num_generations"
                f"（{self.num_generations}）的整数倍；每一步都需要同一问题的全部回答",
            )
        return self

    @model_validator(mode="after")
    def _a_reward_counts(self) -> "GrpoSpec":
        if not any(reward.weight for reward in self.rewards):
            raise refusal(
                "no_weight",
                "all rewards have the weight 0, so there is nothing to learn; give one of them "
                "another weight",
                "所有奖励的权重都为 0，没有可学习的内容；请至少为其中一个设置其他权重",
            )
        return self

    @model_validator(mode="after")
    def _questions_have_room(self) -> "GrpoSpec":
        if self.max_answer_tokens >= self.max_length:
            raise refusal(
                "no_room_for_questions",
                f"max_answer_tokens ({self.max_answer_tokens}) leaves no room for a question "
                f"within max_length ({self.max_length}); lower it, or raise max_length",
                f"max_answer_tokens（{self.max_answer_tokens}）在 max_length（{self.max_length}）内"
                "没有给问题留出空间；请调低它，或调高 max_length",
            )
        return self


class RewardSpec(PreferenceSpec):
    """A reward model, which gives chosen answers a higher score than rejected ones.

    It writes no text, so it can't be deployed for chat.
    """

    makes = ModelKind.REWARD_MODEL
    note_on_use = "The model has a head that gives one score per text. It writes no text."

    method: Literal[TrainingMethod.REWARD] = TrainingMethod.REWARD
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    center_rewards: float | None = Field(
        None,
        gt=0,
        le=10,
        description="how strongly scores are kept around 0 (arXiv:2312.09244), such as 0.01",
    )


AnyTraining = TypeAliasType(
    "AnyTraining",
    Annotated[
        SftSpec
        | CptSpec
        | ClassificationSpec
        | EmbeddingSpec
        | DpoSpec
        | GrpoSpec
        | KtoSpec
        | OrpoSpec
        | RewardSpec,
        Field(discriminator="method"),
        KindErrors("method", default=TrainingMethod.SFT),
    ],
)
"""The spec of any training method; without ``method``, supervised fine-tuning.

The union has its own name in the API description, because the union of all tasks refers to it.
"""

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
    """Return the training spec that has these fields, for example those of a stored config.

    Raises:
        pydantic.ValidationError: A field is unknown, missing or out of range.
    """
    return _any_training.validate_python(dict(config))
