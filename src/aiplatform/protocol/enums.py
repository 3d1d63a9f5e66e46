"""Words shared by all processes: types and states as they stand in the database and on the wire."""

from enum import StrEnum


class TaskType(StrEnum):
    """What a task does; each has a spec of the same name in :mod:`aiplatform.protocol.specs`."""

    DATASET_IMPORT = "dataset_import"
    DATA_FIX = "data_fix"
    DATA_QUALITY = "data_quality"
    EVALUATION = "evaluation"
    EXTERNAL = "external"
    INFERENCE = "inference"
    MODEL_IMPORT = "model_import"
    SCRIPT = "script"
    TRAINING = "training"


class SecretKind(StrEnum):
    """What a secret is for; a word for people, all kinds are used alike."""

    GENERIC = "generic"
    HUB_TOKEN = "hub_token"  # noqa: S105
    S3 = "s3"


class TaskStatus(StrEnum):
    """Where a task is in its life; the transitions are a table, ``tasks/rules/states.py``."""

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True when the task has ended. Only one that ran elsewhere and was failed for its silence
        may change once more, to what it says itself.
        """
        return self in {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED}


class ProjectStatus(StrEnum):
    """An archived project is read-only."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class DatasetStatus(StrEnum):
    """``processing`` while the quality report of the current version is being made."""

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
    """What a deployment shows its users."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    CRASHED = "crashed"


class ModelStatus(StrEnum):
    """``pending`` while the files of a model are still being brought in."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class DataFormat(StrEnum):
    """File formats that datasets are uploaded in."""

    ARROW = "arrow"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    TEXT = "text"
    TSV = "tsv"


class DataShape(StrEnum):
    """What a row of a dataset is, recognised from its columns."""

    ALPACA = "alpaca"
    CHAT = "chat"
    CLASSIFICATION = "classification"
    PREFERENCE = "preference"
    PROMPT_COMPLETION = "prompt_completion"
    SHAREGPT = "sharegpt"
    TABLE = "table"
    TEXT = "text"


class LogStream(StrEnum):
    """Where a log line came from; ``system`` is the platform itself."""

    STDOUT = "stdout"
    STDERR = "stderr"
    SYSTEM = "system"


class LogLevel(StrEnum):
    """How severe a log line is, the least first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"
