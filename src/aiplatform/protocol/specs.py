"""Task specs: the input of each task type, from request body to runtime.

References are uuids. On submission, the server checks that the caller may use them and pins dataset
versions, so that a stored spec names exactly the data that was read.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, field_validator, model_validator

from aiplatform.protocol.accelerator_options import AcceleratorOptions
from aiplatform.protocol.dataset_sources import DataSource
from aiplatform.protocol.deepspeed import SpecValues, contradictions
from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.enums import DataFormat, TaskType
from aiplatform.protocol.model_sources import ModelSource
from aiplatform.protocol.names import Name
from aiplatform.protocol.pass_conditions import PassCondition
from aiplatform.protocol.reading_options import (
    KEYED_MODES,
    PreviousColumnTypes,
    Reading,
    UploadMode,
)
from aiplatform.protocol.references import (
    VERSION_OR_TAG,
    BundleId,
    Changes,
    DatasetRef,
    FromTask,
    ModelId,
)
from aiplatform.protocol.strict import Strict as Strict  # noqa: PLC0414  (others import it from here)

MAX_STEPS = 10_000_000
Steps = Annotated[int, Field(ge=1, le=MAX_STEPS)]
"""A number of optimizer steps. The bound is far above any real run and catches typos."""

MAX_ROWS = 1_000_000_000

QueueName = Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[a-z0-9][a-z0-9._-]*$")]

Label = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[a-z0-9][a-z0-9._:/-]*$")]
"""A qualitative property of a worker, such as ``gpu:a100`` or ``team-x``."""


class Resources(Strict):
    """The resources that a task occupies on its worker."""

    cpus: float = Field(1.0, ge=0, le=1024, description="CPU cores")
    memory_mb: int = Field(0, ge=0, le=1 << 30, description="memory in MiB; 0 reserves none")
    gpus: int = Field(0, ge=0, le=64, description="GPUs, or the slots a worker made of them")
    gpu_memory_mb: int = Field(
        0, ge=0, le=1 << 24, description="memory that each GPU must have, in MiB"
    )


class ServingResources(Resources):
    """The resources that a model server occupies.

    It reserves little by default, because an idle server computes nothing. While answering, it may
    use whatever the machine has.
    """

    cpus: float = Field(0.1, ge=0, le=1024, description="CPU cores")


class ReportResources(Resources):
    """The resources that a quality report or a fix occupies.

    The default is half a core, so that on a machine with two cores an upload's report can run
    alongside a training task.
    """

    cpus: float = Field(0.5, ge=0, le=1024, description="CPU cores")


FixAction = Literal["deduplicate", "drop", "mask", "rebalance", "repair", "strip", "trim"]
"""A fix for a finding.

``deduplicate`` keeps the first of equal rows; ``drop`` removes the rows; ``mask`` replaces personal
data with its kind in brackets; ``rebalance`` keeps at most ten times as many rows of each label as
of the rarest one; ``repair`` decodes wrongly decoded text again; ``strip`` removes markup; ``trim``
removes white space around texts, or everything after the last answer.
"""

Fixes = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=100)], FixAction],
    Field(min_length=1, max_length=50),
]
"""Fixes, keyed by the codes of the findings."""


class ComparedRef(DatasetRef):
    """A dataset version with which another one is compared.

    ``evaluation`` means that its rows, near duplicates of them and their questions must not be
    trained on; ``benchmark`` means that no passage of it may be, either.
    """

    role: Literal["evaluation", "benchmark"] = "evaluation"
    label: str = Field("", max_length=400, description="``name@version``; set by the server")


ComparedDatasets = Annotated[list[ComparedRef], Field(max_length=20)]


SecretVariable = Annotated[
    str,
    Field(
        max_length=64,
        # Only variables for credentials are allowed: setting PYTHONPATH or a proxy would be an
        # attack.
        pattern=r"^([A-Z][A-Z0-9_]*_(TOKEN|KEY|SECRET|PASSWORD|CREDENTIALS)"
        r"|AWS_ACCESS_KEY_ID)$",
    ),
]
SecretName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
SecretsByVariable = Annotated[dict[SecretVariable, SecretName], Field(max_length=16)]
"""Environment variables of a task's process, and the secrets that fill them."""


class TaskOptions(Strict):
    """The options common to all specs."""

    secrets: SecretsByVariable = Field(
        default_factory=dict,
        description="environment variables and the secrets, by name, that fill them: yours, "
        'else the project\'s; such as `{"HF_TOKEN": "hub"}`',
    )

    resources: Resources = Field(default_factory=Resources)
    queue: QueueName = Field("default", description="selector: which workers may take the task")
    labels: list[Label] = Field(
        default_factory=list, max_length=20, description="what the worker must offer, all of it"
    )
    max_attempts: int = Field(
        3, ge=1, le=20, description="how often a task whose worker was lost is started"
    )
    retry_seconds: float = Field(
        10, ge=0, le=3600, description="wait before a retry; doubled each time, to an hour at most"
    )
    time_limit_seconds: int | None = Field(
        None, ge=1, le=31_536_000, description="an attempt that runs longer is stopped and fails"
    )
    preemptible: bool | None = Field(
        None,
        description="whether an urgent task may make it pause; by default what has checkpoints",
    )

    @field_validator("resources", mode="before")
    @classmethod
    def _keep_own_defaults(cls, value: object) -> object:
        """Keep only the given amounts of ``Resources``, so that the spec's own defaults apply."""
        return value.model_dump(exclude_unset=True) if isinstance(value, Resources) else value


class LoraSpec(Strict):
    """Low-rank adaptation, Hu et al. 2021 (arXiv:2106.09685)."""

    rank: int = Field(16, ge=1, le=1024)
    alpha: int = Field(32, ge=1, le=4096)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: str | list[str] = "all-linear"


class TrainingSpec(TaskOptions):
    """Fine-tune a base model on a dataset version.

    The amounts in ``resources`` are reserved on every node.
    """

    type: Literal[TaskType.TRAINING] = TaskType.TRAINING
    method: Literal["sft"] = "sft"
    base_model: ModelId
    dataset: DatasetRef
    eval_dataset: DatasetRef | None = Field(None, description="held-out rows for loss by step")
    output_name: Name = Field("tuned", description="name of the model that is registered")
    lora: LoraSpec = Field(default_factory=LoraSpec)
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


ModelSpec = ModelId | FromTask
"""An existing model, or the model of a training task.

As soon as the training task's model exists, the server replaces the reference with it.
"""


class EvaluationSpec(TaskOptions):
    """Evaluate a model and its base model on the same held-out rows: loss, perplexity, answers."""

    type: Literal[TaskType.EVALUATION] = TaskType.EVALUATION
    model: ModelSpec
    dataset: DatasetRef
    pass_if: list[PassCondition] = Field(
        default_factory=list,
        max_length=20,
        description="what must be so of the model's figures, all of it, or the task fails",
    )
    max_rows: int | None = Field(None, ge=1, le=MAX_ROWS)
    batch_size: int = Field(8, ge=1, le=4096)
    max_length: int = Field(512, ge=8, le=1_048_576)
    answers: int = Field(3, ge=0, le=100, description="rows answered by both, side by side")
    max_new_tokens: int = Field(64, ge=1, le=8192)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class QualitySpec(TaskOptions):
    """Create the quality report of a dataset version."""

    type: Literal[TaskType.DATA_QUALITY] = TaskType.DATA_QUALITY
    resources: ReportResources = Field(default_factory=ReportResources)
    dataset: DatasetRef
    base_model: ModelId | None = Field(None, description="whose tokenizer counts the tokens")
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are reported")
    against: ComparedDatasets = Field(
        default_factory=list, description="evaluation data and benchmarks that it is compared with"
    )


class FixSpec(TaskOptions):
    """Commit a version in which findings of the quality report are fixed.

    The fix uses the comparison data and token settings of the report.
    """

    type: Literal[TaskType.DATA_FIX] = TaskType.DATA_FIX
    resources: ReportResources = Field(default_factory=ReportResources)
    dataset: DatasetRef
    fixes: Fixes
    message: str | None = Field(None, max_length=10_000)
    branch: bool = Field(
        False, description="commit even when the dataset has moved on from that version"
    )
    base_model: ModelId | None = Field(None, description="for findings that only a tokenizer shows")
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are meant")
    against: ComparedDatasets = Field(default_factory=list)


class ImportSpec(TaskOptions):
    """Import a base model: safetensors unchanged, GGUF converted."""

    type: Literal[TaskType.MODEL_IMPORT] = TaskType.MODEL_IMPORT
    model: Annotated[UUID, Changes()] | None = Field(
        None, description="the registry row; set by the server"
    )
    source: ModelSource


class DatasetImportSpec(TaskOptions):
    """Import rows for a new dataset ``name``, or for a new version of ``dataset``.

    ``mode`` says how they change the rows of ``parent``, or of the version that is current once the
    rows have been fetched.
    """

    type: Literal[TaskType.DATASET_IMPORT] = TaskType.DATASET_IMPORT
    source: DataSource
    name: str | None = None
    dataset: Annotated[UUID, Changes()] | None = None
    format: DataFormat | None = None
    reading: Reading = Field(default_factory=Reading)
    message: str | None = Field(None, max_length=10_000)
    base_model: ModelId | None = Field(
        None,
        description="whose tokenizer counts in the report, else that of the version before",
    )
    max_length: int | None = Field(None, ge=8, le=1_048_576)
    allow_identical: bool = False
    mode: UploadMode = "replace"
    key: str | None = Field(None, min_length=1, max_length=255, description="matches rows")
    parent: str | None = Field(None, pattern=VERSION_OR_TAG, description="else what is current")
    before: PreviousColumnTypes | None = Field(
        None, description="types of the columns of that version; set by the server"
    )

    @model_validator(mode="after")
    def _check_mode(self) -> "DatasetImportSpec":
        if self.dataset is None and (self.mode != "replace" or self.parent is not None):
            raise ValueError("mode and parent are of a dataset that is there; give dataset")
        if (self.mode in KEYED_MODES) != (self.key is not None):
            raise ValueError("key is the column by which upsert and delete match rows")
        return self


EngineName = Literal["transformers", "vllm"]
"""The programs that serve models; ``runtime/serving/engines`` starts them."""


class InferenceSpec(TaskOptions):
    """Serve a model; a task of this type runs until it is stopped."""

    type: Literal[TaskType.INFERENCE] = TaskType.INFERENCE
    resources: ServingResources = Field(default_factory=ServingResources)
    model: ModelSpec
    engine: EngineName = "transformers"
    max_length: int = Field(2048, ge=8, le=1_048_576, description="context, in tokens")
    max_batch_size: int = Field(8, ge=1, le=1024, description="requests decoded together")
    precision: Literal["auto", "fp32", "bf16"] = "auto"


InputName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]
"""The name under which a script finds an input, as a file or directory."""


def _refuse_reserved(variable: str) -> str:
    if variable.startswith(("AIPLATFORM_", "LD_")):
        raise ValueError("variables that begin with AIPLATFORM_ or LD_ are the platform's")
    return variable


Variable = Annotated[
    str, Field(max_length=64, pattern=r"^[A-Z_][A-Z0-9_]*$"), AfterValidator(_refuse_reserved)
]


class ScriptSpec(TaskOptions):
    """Run a user's own command on a code bundle, with datasets and models as local files.

    A ``memory_mb`` of 0 in ``resources`` means the default in the platform's settings. The amounts
    in ``resources`` are reserved on every node; ``max_disk_mb`` applies to each node, too.
    """

    type: Literal[TaskType.SCRIPT] = TaskType.SCRIPT
    bundle: BundleId = Field(description="the code, see `POST …/bundles`")
    command: list[Annotated[str, Field(max_length=4096)]] = Field(
        min_length=1,
        max_length=256,
        description="program and arguments; no shell reads them",
        examples=[["python", "train.py", "--epochs", "3"]],
    )
    environment: QueueName = Field(
        "default", description="name of the environment, as workers offer it"
    )
    datasets: dict[InputName, DatasetRef] = Field(default_factory=dict, max_length=32)
    models: dict[InputName, ModelId] = Field(default_factory=dict, max_length=32)
    variables: dict[Variable, Annotated[str, Field(max_length=4096)]] = Field(
        default_factory=dict, max_length=64, description="environment variables; no secrets"
    )
    max_file_mb: int = Field(
        10_240, ge=1, le=1 << 24, description="largest file that it may write, in MiB"
    )
    nodes: int = Field(1, ge=1, le=64, description="workers that run it together")
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="of the command on each node; where there are several, each finds `RANK`, "
        "`WORLD_SIZE`, `MASTER_ADDR` and the others of torchrun's variables",
    )
    max_disk_mb: int | None = Field(
        None,
        ge=1,
        le=1 << 24,
        description="all that it may write to its directories, in MiB; by default what the "
        "platform's settings say",
        examples=[20480],
    )
    max_open_files: int = Field(4096, ge=16, le=65536)
    max_processes: int = Field(
        1024, ge=1, le=65536, description="processes and threads; where it has a user of its own"
    )


class ExternalSpec(TaskOptions):
    """A run that executes outside the platform and reports to it; no worker ever runs it."""

    type: Literal[TaskType.EXTERNAL] = TaskType.EXTERNAL
    config: dict[str, Any] = Field(
        default_factory=dict, description="what the run was configured with, as it says"
    )
    facts: dict[str, Any] = Field(
        default_factory=dict, description="where it runs: host, program, versions, git commit"
    )


TaskSpec = Annotated[
    TrainingSpec
    | EvaluationSpec
    | ExternalSpec
    | QualitySpec
    | FixSpec
    | ImportSpec
    | DatasetImportSpec
    | InferenceSpec
    | ScriptSpec,
    Field(discriminator="type"),
    KindErrors("type"),
]


def nodes_of(spec: TaskSpec) -> int:
    """Return the number of workers that a task needs at the same time."""
    return spec.nodes if isinstance(spec, TrainingSpec | ScriptSpec) else 1


def source_training(spec: TaskSpec) -> UUID | None:
    """Return the training task whose model the task waits for, or None."""
    model = spec.model if isinstance(spec, EvaluationSpec | InferenceSpec) else None
    return model.from_task if isinstance(model, FromTask) else None
