"""Events of the browser's stream, distinguished by the field ``event``."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel

from aiplatform.protocol.enums import DeploymentStatus, LogLevel, TaskStatus, TaskType
from aiplatform.protocol.shapes.notifications import NotificationOut
from aiplatform.protocol.shapes.tasks import WaitingOut
from aiplatform.server.core.problems import ProblemDocument


class TaskStatusData(BaseModel):
    """The status of a task, and the reason if it failed."""

    status: TaskStatus
    error: str | None


class ProgressData(BaseModel):
    """A task's progress from 0 to 1, with anything else it reports, such as ``step``."""

    model_config = ConfigDict(extra="allow")

    value: float


class TimelineData(BaseModel):
    """An entry of a task's timeline."""

    kind: str
    data: dict[str, Any]
    time: datetime


class MetricsData(BaseModel):
    """The values of metrics at a step. ``time`` is in seconds since 1970."""

    step: int
    values: dict[str, float | None]
    time: float


class LogData(BaseModel):
    """A part of a log. Pass ``seq`` to continue the log after it."""

    seq: int
    attempt: int
    stream: str
    level: LogLevel | None
    text: str
    time: datetime


class ChangedTask(BaseModel):
    """The fields of a task that are shown in lists and may have changed."""

    uuid: UUID
    name: str
    type: TaskType
    status: TaskStatus
    progress: float
    priority: int
    error: str | None


class ChangedTasks(BaseModel):
    """Tasks that have changed."""

    items: list[ChangedTask]


class ChangedDeployment(BaseModel):
    """The fields of a deployment that are shown in lists and may have changed."""

    uuid: UUID
    name: str
    status: DeploymentStatus
    error: str | None
    restarts: int
    updated_at: datetime


class ChangedDeployments(BaseModel):
    """Deployments that have changed."""

    items: list[ChangedDeployment]


class UnreadData(BaseModel):
    """The number of unread notifications."""

    unread: int


class ReadyData(BaseModel):
    """The current state of a topic, after all missed changes have been sent."""

    unread: int | None = Field(None, description="of the topic `notifications`")


class NoData(BaseModel):
    """The empty data of an event whose name says everything."""


class EventBase(BaseModel):
    """The fields common to all events."""

    topic: str | None = Field(description="as it was asked for; null for the whole stream")
    position: str | None = Field(description="from which the topic can continue")


class StatusEvent(EventBase):
    """The task's status changed; the first such event contains the current status."""

    event: Literal["status"]
    data: TaskStatusData


class ProgressEvent(EventBase):
    """The task's progress changed; the first such event contains the current progress."""

    event: Literal["progress"]
    data: ProgressData


class WaitingEvent(EventBase):
    """The reason why the task is waiting has changed."""

    event: Literal["waiting"]
    data: WaitingOut


class TimelineEvent(EventBase):
    """A new entry in the task's timeline."""

    event: Literal["event"]
    data: TimelineData


class MetricsEvent(EventBase):
    """The task reported the metrics of a step."""

    event: Literal["metrics"]
    data: MetricsData


class LogEvent(EventBase):
    """The task wrote to its log."""

    event: Literal["log"]
    data: LogData


class EndEvent(EventBase):
    """The task has ended, and no more events of this topic will follow."""

    event: Literal["end"]
    data: TaskStatusData


class TasksEvent(EventBase):
    """Tasks of the project have changed."""

    event: Literal["tasks"]
    data: ChangedTasks


class DeploymentsEvent(EventBase):
    """Deployments of the project have changed."""

    event: Literal["deployments"]
    data: ChangedDeployments


class ResyncEvent(EventBase):
    """More has changed than the stream can report; read the list again."""

    event: Literal["resync"]
    data: NoData


class NotificationEvent(EventBase):
    """A new notification is in the inbox."""

    event: Literal["notification"]
    data: NotificationOut


class UnreadEvent(EventBase):
    """The number of unread notifications has changed."""

    event: Literal["unread"]
    data: UnreadData


class ReadyEvent(EventBase):
    """All changes of this topic that the client had missed have been sent."""

    event: Literal["ready"]
    data: ReadyData


class ErrorEvent(EventBase):
    """The topic, or the whole stream if none is given, has ended."""

    event: Literal["error"]
    data: ProblemDocument


AnyEvent = (
    StatusEvent
    | ProgressEvent
    | WaitingEvent
    | TimelineEvent
    | MetricsEvent
    | LogEvent
    | EndEvent
    | TasksEvent
    | DeploymentsEvent
    | ResyncEvent
    | NotificationEvent
    | UnreadEvent
    | ReadyEvent
    | ErrorEvent
)


class StreamEvent(RootModel[Annotated[AnyEvent, Field(discriminator="event")]]):
    """An event of the stream, as JSON in the field ``data`` of a server-sent event."""
