"""Metrics of several tasks beside each other: ``client.metrics``."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.experiments import ExperimentLike
from aiplatform.client.projects import ProjectLike
from aiplatform.client.tasks import MetricPoint, TaskLike
from aiplatform.protocol.enums import TaskStatus


class Line(Resource):
    """One task's series, drawn with few of its ``total`` points."""

    task: UUID
    name: str
    total: int
    points: list[MetricPoint]


class TaskSummary(Resource):
    """A task and its series in few words: first, last, min, max and best, each with its step.

    ``best`` is there when the name of the metric says whether lower or higher is better.
    """

    task: UUID
    name: str
    status: TaskStatus
    metrics: dict[str, dict[str, float | None]]


class Metrics(Group):
    """``client.metrics``."""

    def compare(
        self,
        *keys: str,
        tasks: Sequence[TaskLike] = (),
        experiment: ExperimentLike | None = None,
        points: int = 500,
        first: int | None = None,
        last: int | None = None,
        project: ProjectLike | None = None,
    ) -> dict[str, list[Line]]:
        """The series of each key in several tasks, in one request, to be drawn in one chart.

        Args:
            keys: which series.
            tasks: whose; up to 100.
            experiment: whose newest tasks besides.
            points: at most so many of each series; of what is left out no peak is.
            first: the first step to be drawn.
            last: the last one.
            project: where; by default the client's.
        """
        answer = self._ask(
            "metrics", keys, tasks, experiment, project, points=points, first=first, last=last
        )
        return {key: self._make_all(Line, lines) for key, lines in answer["charts"].items()}

    def summaries(
        self,
        *keys: str,
        tasks: Sequence[TaskLike] = (),
        experiment: ExperimentLike | None = None,
        project: ProjectLike | None = None,
    ) -> list[TaskSummary]:
        """The series of several tasks summed up, all of them or those of ``keys``."""
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
        client = self._client
        return self._http.get(
            f"{client.projects.path(project)}/{what}",
            key=list(keys) or None,
            task=[client.tasks.resolve(task, project) for task in tasks] or None,
            experiment=(
                None if experiment is None else client.experiments.resolve(experiment, project)
            ),
            **params,
        )
