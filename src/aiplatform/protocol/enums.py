"""Types and states shared by all processes, as stored in the database and sent in requests."""

from enum import StrEnum


class TaskType(StrEnum):
    """The type of a task; each type has a spec in :mod:`aiplatform.protocol.specs`."""

    DATASET_IMPORT = "dataset_import"
    DATA_FIX = "data_fix"
    DATA_QUALITY = "data_quality"
    ESTIMATE = "estimate"
    EVALUATION = "evaluation"
    EXTERNAL = "external"
    INFERENCE = "inference"
    MODEL_IMPORT = "model_import"
    SCRIPT = "script"
    TRAINING = "training"


class SecretKind(StrEnum):
    """The purpose of a secret. It is only shown to users; all kinds behave alike."""

    GENERIC = "generic"
    HUB_TOKEN = "hub_token"  # noqa: S105
    S3 = "s3"


class TaskStatus(StrEnum):
    """The state of a task; ``queue/rules/states.py`` lists the transitions."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True if the task has ended.

        One final status can change once more: an external run that failed because its heartbeats
        stopped may still report how it really ended.
        """
        return self in {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}


class ProjectStatus(StrEnum):
    """The state of a project; an archived project is read-only."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class DatasetStatus(StrEnum):
    """The state of a dataset: ``processing`` while its current version's report is being made."""

    UPLOADED = "uploaded"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class ExperimentStatus(StrEnum):
    """The state of the experiment's latest run."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DeploymentStatus(StrEnum):
    """The state of a deployment."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CRASHED = "crashed"


class ModelStatus(StrEnum):
    """The state of a model: ``pending`` until its files are imported."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class DataFormat(StrEnum):
    """A file format in which datasets can be uploaded."""

    ARROW = "arrow"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    TEXT = "text"
    TSV = "tsv"

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of such files, in lower case and without compression suffixes."""
        return (f".{self.value}", *_OTHER_SUFFIXES.get(self, ()))


_OTHER_SUFFIXES: dict[DataFormat, tuple[str, ...]] = {
    DataFormat.ARROW: (".arrows", ".feather", ".ipc"),
    DataFormat.JSONL: (".ndjson",),
    DataFormat.PARQUET: (".pq",),
    DataFormat.TEXT: (".txt",),
    DataFormat.TSV: (".tab",),
}


class DataShape(StrEnum):
    """The meaning of a dataset's rows, recognised from its columns."""

    ALPACA = "alpaca"
    CHAT = "chat"
    CLASSIFICATION = "classification"
    EMBEDDING_PAIRS = "embedding_pairs"
    PREFERENCE = "preference"
    PROMPT_COMPLETION = "prompt_completion"
    SCORED_PAIRS = "scored_pairs"
    SHAREGPT = "sharegpt"
    TABLE = "table"
    TEXT = "text"
    UNPAIRED_PREFERENCE = "unpaired_preference"


class ModelKind(StrEnum):
    """The kind of a model, which determines its output.

    A language model continues text, an encoder represents text as vectors, a classifier assigns
    labels to text, and a reward model gives text a score.
    """

    CLASSIFIER = "classifier"
    ENCODER = "encoder"
    LANGUAGE_MODEL = "language_model"
    REWARD_MODEL = "reward_model"


class TrainingMethod(StrEnum):
    """The method by which a model is trained."""

    CLASSIFICATION = "classification"
    CPT = "cpt"
    DPO = "dpo"
    EMBEDDING = "embedding"
    GRPO = "grpo"
    KTO = "kto"
    ORPO = "orpo"
    REWARD = "reward"
    SFT = "sft"


class ListPage(StrEnum):
    """A list in the web interface for which users can save views."""

    DATASETS = "datasets"
    EXPERIMENTS = "experiments"
    MODELS = "models"
    RUNS = "runs"
    TASKS = "tasks"


class LogStream(StrEnum):
    """The source of a log line; ``system`` is the platform itself."""

    STDOUT = "stdout"
    STDERR = "stderr"
    SYSTEM = "system"


class LogLevel(StrEnum):
    """The severity of a log line, in ascending order."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"
