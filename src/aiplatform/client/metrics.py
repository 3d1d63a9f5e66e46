"""Comparison of the metrics of several tasks: ``client.metrics``."""

from collections.abc import Sequence
from typing import Any

from aiplatform.client.base import Group, Resource
from aiplatform.client.experiments import ExperimentLike, Experiments
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.task_paths import TaskLike
from aiplatform.client.tasks import MetricPoint, Tasks
from aiplatform.protocol.shapes.tasks import LineOut, TaskSummaryOut


class MetricSeries(Resource, LineOut):
    """A metric series of one task, reduced to some of its ``total`` points."""

    points: list[MetricPoint]  # type: ignore[assignment]


class TaskSummary(Resource, TaskSummaryOut):
    """A summary of a task's metrics: first, last, min, max and best, each with its step.

    ``best`` is set if the metric's name shows whether lower or higher is better.
    """

    metrics: dict[str, dict[str, float | None]]  # type: ignore[assignment]


class Metrics(Group):
    """The operations on metrics (``client.metrics``)."""

    def compare(
        self,
        *keys: str,
        tasks: Sequence[TaskLike] = (),
        experiment: ExperimentLike | None = None,
        points: int = 500,
        first: int | None = None,
        last: int | None = None,
        project: ProjectLike | None = None,
    ) -> dict[str, list[MetricSeries]]:
        """Return the series of each key in several tasks, for drawing them in one chart.

        Args:
            keys: the names of the series.
            tasks: the tasks, at most 100.
            experiment: an experiment whose newest tasks are added.
            points: the largest number of points per series. Points are left out in such a way that
                peaks remain.
            first: the first step whose points are returned.
            last: the last step whose points are returned.
            project: the project; by default the client's.
        """
        answer = self._ask(
            "metrics", keys, tasks, experiment, project, points=points, first=first, last=last
        )
        return {key: self._make_all(MetricSeries, lines) for key, lines in answer["charts"].items()}

    def summaries(
        self,
        *keys: str,
        tasks: Sequence[TaskLike] = (),
        experiment: ExperimentLike | None = None,
        project: ProjectLike | None = None,
    ) -> list[TaskSummary]:
        """Return summaries of the metrics of several tasks: of all series, or only of ``keys``."""
        answer = self._ask("metrics/summary", keys, tasks, experiment, project)
        return self._make_all(TaskSummary, answer["tasks"])

    def _ask(
        self,
        what: str,
        keys: Sequence[str],
        tasks: Sequence[TaskLike],
        experiment: ExperimentLike | None,
        project: ProjectLike | None,
        **params: Any,
    ) -> Any:
        return self._http.get(
            f"{Projects(self._client).path(project)}/{what}",
            key=list(keys) or None,
            task=[Tasks(self._client).resolve(task, project) for task in tasks] or None,
            experiment=(
                None
                if experiment is None
                else Experiments(self._client).resolve(experiment, project)
            ),
            **params,
        )
