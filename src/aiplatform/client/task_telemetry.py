"""Telemetry of tasks: resource usage over time, GPU and CPU hours, cost and timeline."""

from datetime import datetime
from typing import Any, NamedTuple

from aiplatform.client.base import Resource
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.task_events import TaskEvents
from aiplatform.client.task_paths import TaskLike
from aiplatform.protocol.shapes.tasks import TaskEventOut, TaskUsageOut, TelemetryOut


class TelemetryPoint(NamedTuple):
    """The mean, smallest and largest value in an interval.

    ``time`` is the start of the interval, in seconds since the epoch.
    """

    time: float
    mean: float
    least: float
    most: float


class Telemetry(Resource, TelemetryOut):
    """Resource usage over time: a curve for each key, such as ``memory_mb``.

    :class:`~aiplatform.protocol.shapes.tasks.TelemetryOut` lists the keys. ``note`` is "no GPU" if
    the machine has none.
    """

    series: dict[str, list[TelemetryPoint]] = {}  # type: ignore[assignment]


class TaskUsage(Resource, TaskUsageOut):
    """The resources that a task has used; ``cost`` is None if none of them has a price."""

    # The SDK shows the parts of the attempts as plain JSON.
    attempts: list[dict[str, Any]] = []  # type: ignore[assignment]


class TimelineEvent(Resource, TaskEventOut):
    """An event of a task's timeline."""


class TaskTelemetry(TaskEvents):
    """The methods of ``client.tasks`` for telemetry."""

    def telemetry(
        self,
        task: TaskLike,
        *keys: str,
        points: int | None = None,
        attempt: int | None = None,
        since: datetime | None = None,
        project: ProjectLike | None = None,
    ) -> Telemetry:
        """Return the resource usage of a task over time, with at most ``points`` points per curve.

        ``keys`` limits the result to these curves.
        """
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

    def usage(self, task: TaskLike, *, project: ProjectLike | None = None) -> TaskUsage:
        """Return the GPU hours, CPU hours and cost of all attempts so far."""
        return self._get(TaskUsage, f"{self.path(task, project)}/usage")

    def timeline(
        self, task: TaskLike, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[TimelineEvent]:
        """List the events of a task's timeline, in order."""
        return self._pages(TimelineEvent, f"{self.path(task, project)}/timeline", limit=limit)
