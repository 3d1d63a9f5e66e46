"""Task specs: the input of each task type, from request body to runtime.

References are uuids. On submission, the server checks that the caller may use them and pins dataset
versions, so that a stored spec names exactly the data that was read.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, model_validator

from aiplatform.protocol.dataset_sources import DataSource
from aiplatform.protocol.discriminated_unions import KindErrors
from aiplatform.protocol.enums import DataFormat, TaskType
from aiplatform.protocol.estimates import Pace
from aiplatform.protocol.model_sources import ModelSource
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
    NamedModel,
)
from aiplatform.protocol.strict import Strict as Strict  # noqa: PLC0414  (others import it from here)
from aiplatform.protocol.task_options import QueueName, Resources, TaskOptions
from aiplatform.protocol.trainings import AnyTraining, TrainingSpec

MAX_ROWS = 1_000_000_000


class ServingResources(Resources):
    """The resources that a model server occupies.

    The server reserves little by default, because it computes nothing while it is idle. While it
    answers requests, it may use more than it has reserved.
    """

    cpus: float = Field(0.1, ge=0, le=1024, description="CPU cores")


class ReportResources(Resources):
    """The resources that a quality report, a fix or an estimate occupies.

    The default is half a core, so that on a machine with two cores an upload's report can run
    alongside a training task.
    """

    cpus: float = Field(0.5, ge=0, le=1024, description="CPU cores")


FixAction = Literal["deduplicate", "drop", "mask", "rebalance", "repair", "strip", "trim"]
"""A fix for a finding.

``deduplicate`` keeps the first of equal rows; ``drop`` removes the rows; ``mask`` replaces personal
data with its kind in brackets; ``rebalance`` keeps, for each label, at most ten times as many rows
as the rarest label has; ``repair`` restores wrongly decoded text; ``strip`` removes markup;
``trim`` removes whitespace around text, or everything after the last answer.
"""

Fixes = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=100)], FixAction],
    Field(min_length=1, max_length=50),
]
"""Fixes, keyed by the codes of the findings."""


class ComparedRef(DatasetRef):
    """A dataset version with which another one is compared.

    Training data must not contain rows of ``evaluation`` data, near duplicates of these rows, or
    their questions. Of ``benchmark`` data, it must not even contain a passage.
    """

    role: Literal["evaluation", "benchmark"] = "evaluation"
    label: str = Field("", max_length=400, description="``name@version``; set by the server")


ComparedDatasets = Annotated[list[ComparedRef], Field(max_length=20)]


ModelSpec = NamedModel | FromTask
"""An existing model, or the model of a training task.

As soon as the training task's model exists, the server replaces the reference with it.
"""


class EvaluationSpec(TaskOptions):
    """An evaluation of a model and its base model: loss, perplexity, answers on held-out rows."""

    type: Literal[TaskType.EVALUATION] = TaskType.EVALUATION
    model: ModelSpec
    dataset: DatasetRef
    pass_if: list[PassCondition] = Field(
        default_factory=list,
        max_length=20,
        description="conditions on the model's metrics; the task fails unless all are met",
    )
    max_rows: int | None = Field(None, ge=1, le=MAX_ROWS)
    batch_size: int = Field(8, ge=1, le=4096)
    max_length: int = Field(512, ge=8, le=1_048_576)
    answers: int = Field(3, ge=0, le=100, description="rows answered by both, side by side")
    max_new_tokens: int = Field(64, ge=1, le=8192)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class EstimateSpec(TaskOptions):
    """A training estimate. The rows are encoded, but nothing is trained."""

    type: Literal[TaskType.ESTIMATE] = TaskType.ESTIMATE
    resources: ReportResources = Field(default_factory=ReportResources)
    training: AnyTraining
    pace: Pace | None = Field(
        None, description="the speed of earlier trainings; without it, a few steps are measured"
    )


class QualitySpec(TaskOptions):
    """The creation of a quality report for a dataset version."""

    type: Literal[TaskType.DATA_QUALITY] = TaskType.DATA_QUALITY
    resources: ReportResources = Field(default_factory=ReportResources)
    dataset: DatasetRef
    base_model: ModelId | None = Field(None, description="whose tokenizer counts the tokens")
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are reported")
    against: ComparedDatasets = Field(
        default_factory=list, description="evaluation data and benchmarks that it is compared with"
    )


class FixSpec(TaskOptions):
    """The commit of a dataset version in which findings of the quality report are fixed.

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
    """The import of a base model. Safetensors are kept unchanged; GGUF is converted."""

    type: Literal[TaskType.MODEL_IMPORT] = TaskType.MODEL_IMPORT
    model: Annotated[UUID, Changes()] | None = Field(
        None, description="the registry row; set by the server"
    )
    source: ModelSource


class DatasetImportSpec(TaskOptions):
    """The import of rows for a new dataset ``name``, or for a new version of ``dataset``.

    ``mode`` says how these rows change those of ``parent``, or of the version that is current once
    the rows have been fetched.
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


EngineName = Literal["transformers", "llama_cpp", "vllm"]
"""The programs that serve models; ``runtime/serving/engines`` starts them."""


ServingPrecision = Literal["auto", "fp32", "bf16", "fp16", "q8_0"]
PRECISION_MEANING = (
    "number format of the weights; `auto` is what the hardware does well, and `q8_0` with the "
    "engine `llama_cpp`, which alone has `fp16` and `q8_0`"
)


def require_precision_of_engine(engine: EngineName, precision: ServingPrecision) -> None:
    """Check that an engine can compute in a number format.

    Raises:
        ValueError: The engine does not support this format.
    """
    if precision in {"fp16", "q8_0"} and engine != "llama_cpp":
        raise ValueError(
            f"the engine {engine} has no precision {precision}; choose auto, bf16 or fp32, or the "
            "engine llama_cpp"
        )


class InferenceSpec(TaskOptions):
    """Model serving; a task of this type runs until it is stopped."""

    type: Literal[TaskType.INFERENCE] = TaskType.INFERENCE
    resources: ServingResources = Field(default_factory=ServingResources)
    model: ModelSpec
    engine: EngineName = "transformers"
    max_length: int = Field(2048, ge=8, le=1_048_576, description="context, in tokens")
    max_batch_size: int = Field(8, ge=1, le=1024, description="requests decoded together")
    precision: ServingPrecision = Field("auto", description=PRECISION_MEANING)

    @model_validator(mode="after")
    def _check_precision(self) -> "InferenceSpec":
        require_precision_of_engine(self.engine, self.precision)
        return self


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
    """A user's own command, run on a code bundle with datasets and models as local files.

    A ``memory_mb`` of 0 in ``resources`` means the default in the platform's settings. The amounts
    in ``resources`` are reserved on every node; ``max_disk_mb`` also applies to each node.
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
    models: dict[InputName, NamedModel] = Field(default_factory=dict, max_length=32)
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
        1024,
        ge=1,
        le=65536,
        description="processes and threads; only if the script has its own user",
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
    AnyTraining
    | EvaluationSpec
    | EstimateSpec
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
