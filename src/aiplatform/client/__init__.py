"""The Python SDK: a client of the HTTP API, and of nothing else.

What is exported here is the public surface; everything else may change without notice.
"""

from aiplatform.client.base import Resource, UserRef
from aiplatform.client.chat import ChatReply, ChatStream
from aiplatform.client.client import DEFAULT_URL, Client
from aiplatform.client.credentials import CredentialStore, Session
from aiplatform.client.datasets import Dataset, DatasetVersion
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
from aiplatform.client.models import Model, ModelFile
from aiplatform.client.paging import Pages
from aiplatform.client.people import AuditEntry, Notification, User
from aiplatform.client.projects import Member, Project
from aiplatform.client.tasks import LogChunk, MetricPoint, Task, TaskEvent
from aiplatform.protocol.specs import (
    DatasetRef,
    EvaluationSpec,
    LoraSpec,
    QualitySpec,
    Resources,
    TrainingSpec,
)

__all__ = [
    "DEFAULT_URL",
    "AmbiguousName",
    "ApiError",
    "AuditEntry",
    "ChatReply",
    "ChatStream",
    "Client",
    "ClientError",
    "Conflict",
    "CorruptDownload",
    "CredentialStore",
    "Dataset",
    "DatasetRef",
    "DatasetVersion",
    "Deployment",
    "EvaluationSpec",
    "Experiment",
    "LogChunk",
    "LoraSpec",
    "Member",
    "MetricPoint",
    "Model",
    "ModelFile",
    "NotFound",
    "NotReady",
    "Notification",
    "Pages",
    "PasswordChangeRequired",
    "PermissionDenied",
    "PreconditionFailed",
    "Project",
    "QualitySpec",
    "RateLimited",
    "Resource",
    "Resources",
    "ServerUnavailable",
    "Session",
    "Task",
    "TaskEvent",
    "TaskFailed",
    "TrainingSpec",
    "Unauthenticated",
    "UnexpectedAnswer",
    "User",
    "UserRef",
    "ValidationFailed",
    "WaitTimeout",
]
