"""The Python SDK, a client of the platform's HTTP API.

The names that this module exports are the public interface. Everything else may change without
notice.
"""

from aiplatform.client import reporting
from aiplatform.client.accounts import (
    Enrolment,
    Invitation,
    Link,
    LoginSession,
    SecondFactor,
)
from aiplatform.client.artifacts import Artifact
from aiplatform.client.audit import AuditEntry
from aiplatform.client.base import Resource
from aiplatform.client.bin import BinItem, Restored
from aiplatform.client.bundles import Bundle
from aiplatform.client.chat import ChatReply, ChatStream
from aiplatform.client.client import Client
from aiplatform.client.credentials import CredentialStore, Session
from aiplatform.client.data_cache import DataCache
from aiplatform.client.dataset_changes import DatasetTag
from aiplatform.client.dataset_files import DatasetVersion
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
from aiplatform.client.experiments import Experiment
from aiplatform.client.external import ExternalRun, RunCancelled, Synced
from aiplatform.client.keys import Key, NewKey
from aiplatform.client.local_dataset import LocalDataset
from aiplatform.client.local_platform import DEFAULT_URL
from aiplatform.client.metrics import MetricSeries, TaskSummary
from aiplatform.client.models import Model, ModelFile
from aiplatform.client.notifications import Notification, Preferences
from aiplatform.client.pages import Pages
from aiplatform.client.partial_uploads import PartialUpload
from aiplatform.client.projects import Access, Member, Project, ProjectInvitation, Retention, Usage
from aiplatform.client.roles import PermissionInfo, Role
from aiplatform.client.runs import Comparison, Run, git_state
from aiplatform.client.schedules import Firing, Schedule
from aiplatform.client.secrets import Secret
from aiplatform.client.sweeps import Sweep, Trial
from aiplatform.client.task_events import TaskEvent
from aiplatform.client.task_logs import LogChunk, LogLine
from aiplatform.client.task_telemetry import (
    TaskUsage,
    Telemetry,
    TelemetryPoint,
    TimelineEvent,
)
from aiplatform.client.tasks import MetricPoint, Task
from aiplatform.client.users import User
from aiplatform.client.webhooks import Delivery, Webhook
from aiplatform.client.workers import Worker
from aiplatform.protocol.references import DatasetRef
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import (
    EvaluationSpec,
    LoraSpec,
    QualitySpec,
    Resources,
    ScriptSpec,
    TrainingSpec,
)

__all__ = [
    "DEFAULT_URL",
    "Access",
    "AmbiguousName",
    "ApiError",
    "Artifact",
    "AuditEntry",
    "BinItem",
    "Bundle",
    "ChatReply",
    "ChatStream",
    "Client",
    "ClientError",
    "Comparison",
    "Conflict",
    "CorruptDownload",
    "CredentialStore",
    "DataCache",
    "Dataset",
    "DatasetDiff",
    "DatasetRef",
    "DatasetTag",
    "DatasetVersion",
    "Delivery",
    "Deployment",
    "Enrolment",
    "EvaluationSpec",
    "Experiment",
    "ExternalRun",
    "Firing",
    "Invitation",
    "Key",
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
    "ModelFile",
    "NewKey",
    "NotFound",
    "NotReady",
    "Notification",
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
    "Role",
    "Run",
    "RunCancelled",
    "Schedule",
    "ScriptSpec",
    "SecondFactor",
    "Secret",
    "ServerUnavailable",
    "Session",
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
