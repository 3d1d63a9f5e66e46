"""The Python SDK, a client of the platform's HTTP API.

The names that this module exports are the public interface. Everything else may change without
notice.
"""

from aiplatform.client import reporting
from aiplatform.client.accounts import (
    Enrolment,
    Invitation,
    Key,
    Link,
    LoginSession,
    NewKey,
    PermissionInfo,
    Role,
    SecondFactor,
    User,
)
from aiplatform.client.audit import AuditEntry, AuditVerification
from aiplatform.client.base import Pages, Resource
from aiplatform.client.chat import ChatReply, ChatStream
from aiplatform.client.client import DEFAULT_URL, Client
from aiplatform.client.credentials import CredentialStore, Session
from aiplatform.client.data_cache import DataCache
from aiplatform.client.dataset_changes import DatasetTag
from aiplatform.client.dataset_files import DatasetVersion, LocalDataset
from aiplatform.client.dataset_quality import FixPreview
from aiplatform.client.dataset_rows import DatasetDiff, PlacedRow
from aiplatform.client.datasets import Dataset
from aiplatform.client.deployments import Deployment
from aiplatform.client.errors import (
    AmbiguousName,
    ApiError,
    ClientError,
    Conflict,
    CorruptDownload,
    NotFound,
    NotReady,
    PasswordChangeRequired,
    PermissionDenied,
    PreconditionFailed,
    RateLimited,
    ServerUnavailable,
    TaskFailed,
    Unauthenticated,
    UnexpectedAnswer,
    ValidationFailed,
    WaitTimeout,
)
from aiplatform.client.estimates import Estimate
from aiplatform.client.experiments import (
    Comparison,
    Experiment,
    MetricSeries,
    Run,
    TaskSummary,
    git_state,
)
from aiplatform.client.external import ExternalRun, RunCancelled, Synced
from aiplatform.client.models import Model, ModelAlias, ModelAliasMove, ModelFile
from aiplatform.client.notifications import Delivery, Notification, Preferences, Webhook
from aiplatform.client.projects import (
    Access,
    BinItem,
    Member,
    Project,
    ProjectInvitation,
    Restored,
    Retention,
    Usage,
)
from aiplatform.client.resumable_uploads import PartialUpload
from aiplatform.client.schedules import Firing, Schedule
from aiplatform.client.scripts import Bundle
from aiplatform.client.secrets import Secret
from aiplatform.client.sweeps import Sweep, Trial
from aiplatform.client.tasks import (
    Artifact,
    LogChunk,
    LogLine,
    MetricPoint,
    Task,
    TaskEvent,
    TaskUsage,
    Telemetry,
    TelemetryPoint,
    TimelineEvent,
)
from aiplatform.client.views import SavedView
from aiplatform.client.workers import Worker
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import EvaluationSpec, QualitySpec, ScriptSpec
from aiplatform.protocol.task_options import Resources
from aiplatform.protocol.trainings import (
    ClassificationSpec,
    CptSpec,
    DpoSpec,
    EmbeddingSpec,
    GrpoSpec,
    KtoSpec,
    LoraSpec,
    OrpoSpec,
    RewardSpec,
    SftSpec,
    TrainingSpec,
)

__all__ = [
    "DEFAULT_URL",
    "Access",
    "AmbiguousName",
    "ApiError",
    "Artifact",
    "AuditEntry",
    "AuditVerification",
    "BinItem",
    "Bundle",
    "ChatReply",
    "ChatStream",
    "ClassificationSpec",
    "Client",
    "ClientError",
    "Comparison",
    "Conflict",
    "CorruptDownload",
    "CptSpec",
    "CredentialStore",
    "DataCache",
    "Dataset",
    "DatasetDiff",
    "DatasetRef",
    "DatasetTag",
    "DatasetVersion",
    "Delivery",
    "Deployment",
    "DpoSpec",
    "EmbeddingSpec",
    "Enrolment",
    "Estimate",
    "EvaluationSpec",
    "Experiment",
    "ExternalRun",
    "Firing",
    "FixPreview",
    "GrpoSpec",
    "Invitation",
    "Key",
    "KtoSpec",
    "Link",
    "LocalDataset",
    "LogChunk",
    "LogLine",
    "LoginSession",
    "LoraSpec",
    "Member",
    "MetricPoint",
    "MetricSeries",
    "Model",
    "ModelAlias",
    "ModelAliasMove",
    "ModelFile",
    "NewKey",
    "NotFound",
    "NotReady",
    "Notification",
    "OrpoSpec",
    "Pages",
    "PartialUpload",
    "PasswordChangeRequired",
    "PermissionDenied",
    "PermissionInfo",
    "PlacedRow",
    "PreconditionFailed",
    "Preferences",
    "Project",
    "ProjectInvitation",
    "QualitySpec",
    "RateLimited",
    "Resource",
    "Resources",
    "Restored",
    "Retention",
    "RewardSpec",
    "Role",
    "Run",
    "RunCancelled",
    "SavedView",
    "Schedule",
    "ScriptSpec",
    "SecondFactor",
    "Secret",
    "ServerUnavailable",
    "Session",
    "SftSpec",
    "Sweep",
    "Synced",
    "Task",
    "TaskEvent",
    "TaskFailed",
    "TaskSummary",
    "TaskUsage",
    "Telemetry",
    "TelemetryPoint",
    "TimelineEvent",
    "TrainingSpec",
    "Trial",
    "Unauthenticated",
    "UnexpectedAnswer",
    "Usage",
    "User",
    "UserRef",
    "ValidationFailed",
    "WaitTimeout",
    "Webhook",
    "Worker",
    "git_state",
    "reporting",
]
