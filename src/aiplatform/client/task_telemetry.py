"""What tasks used and what happened to them: curves, hours, cost, timeline."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from aiplatform.client.base import Resource
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.task_watching import TaskWatching

if TYPE_CHECKING:
    from aiplatform.client.tasks import TaskLike


class TelemetryPoint(NamedTuple):
    """What was measured in a span that begins at ``time`` (seconds since the epoch)."""

    time: float
    mean: float
    least: float
    most: float


class Telemetry(Resource):
    """Curves by key, see the API's description; ``note`` says "no GPU" where there is none."""

    note: str | None = None
    series: dict[str, list[TelemetryPoint]] = {}


class TaskUsage(Resource):
    """What a task has used; ``cost`` is None when nothing it held has a price."""

    seconds: float = 0.0
    gpu_hours: float = 0.0
    cpu_hours: float = 0.0
    cost: float | None = None
    currency: str | None = None
    attempts: list[dict[str, Any]] = []


class TimelineEvent(Resource):
    """A line of a task's timeline."""

    kind: str
    data: dict[str, Any] = {}
    time: datetime


class TaskTelemetry(TaskWatching):
    """What of ``client.tasks`` is about telemetry."""

    def telemetry(
        self,
        task: "TaskLike",
        *keys: str,
        points: int | None = None,
        attempt: int | None = None,
        since: datetime | None = None,
        project: ProjectLike | None = None,
    ) -> Telemetry:
        """What it used, as curves of at most ``points``: all of them or those of ``keys``."""
        return self._make(
            Telemetry,
            self._http.get(
                f"{self.path(task, project)}/telemetry",
                key=list(keys) or None,
                points=points,
                attempt=attempt,
                since=None if since is None else since.isoformat(),
            ),
        )

    def usage(self, task: "TaskLike", *, project: ProjectLike | None = None) -> TaskUsage:
        """GPU-hours, CPU-hours and cost of all its attempts, until now."""
        return self._get(TaskUsage, f"{self.path(task, project)}/usage")

    def timeline(
        self, task: "TaskLike", *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[TimelineEvent]:
        """What happened to it, in order."""
        return self._pages(TimelineEvent, f"{self.path(task, project)}/timeline", limit=limit)
