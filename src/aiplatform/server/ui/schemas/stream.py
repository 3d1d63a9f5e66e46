"""Events of the browser's stream. The field ``event`` tells them apart."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, RootModel

from aiplatform.protocol.enums import DeploymentStatus, LogLevel, TaskStatus, TaskType
from aiplatform.protocol.shapes.notifications import NotificationOut
from aiplatform.protocol.shapes.tasks import WaitingOut
from aiplatform.server.core.problems import ProblemDocument


class TaskStatusData(BaseModel):
    """The status of a task, and why it failed."""

    status: TaskStatus
    error: str | None


class ProgressData(BaseModel):
    """The progress of a task from 0 to 1, with what else it reports, such as ``step``."""

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
    """A part of a log. To continue after it, name ``seq``."""

    seq: int
    attempt: int
    stream: str
    level: LogLevel | None
    text: str
    time: datetime


class ChangedTask(BaseModel):
    """The fields of a task that lists show and that may have changed."""

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
    """The fields of a deployment that lists show and that may have changed."""

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
    """The present state of a topic, once all that was missed has been sent."""

    unread: int | None = Field(None, description="of the topic `notifications`")


class NoData(BaseModel):
    """An event that says all by its name."""


class EventBase(BaseModel):
    """The fields of all events."""

    topic: str | None = Field(description="as it was asked for; null for the whole stream")
    position: str | None = Field(description="from which the topic can continue")


class StatusEvent(EventBase):
    """The task's status changed; sent first with the present one."""

    event: Literal["status"]
    data: TaskStatusData


class ProgressEvent(EventBase):
    """The task's progress changed; sent first with the present one."""

    event: Literal["progress"]
    data: ProgressData


class WaitingEvent(EventBase):
    """The reason why the task waits has changed."""

    event: Literal["waiting"]
    data: WaitingOut


class TimelineEvent(EventBase):
    """An addition to the timeline of a task."""

    event: Literal["event"]
    data: TimelineData


class MetricsEvent(EventBase):
    """The task reported metrics of a step."""

    event: Literal["metrics"]
    data: MetricsData


class LogEvent(EventBase):
    """The task wrote to its log."""

    event: Literal["log"]
    data: LogData


class EndEvent(EventBase):
    """The task has ended, and nothing of this topic will follow."""

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
    """More has changed than can be told; read the list again."""

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
    """All that was missed of this topic has been sent."""

    event: Literal["ready"]
    data: ReadyData


class ErrorEvent(EventBase):
    """The topic, or without one the whole stream, has ended."""

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
