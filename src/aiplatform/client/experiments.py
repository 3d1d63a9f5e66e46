"""Experiments, in which a base model is fine-tuned on a dataset, with their runs and metrics."""

import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Pages, Resource, as_uuid, find_by_name
from aiplatform.client.dataset_paths import DatasetLike, DatasetPaths
from aiplatform.client.models import ModelLike, Models
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import MetricPoint, Task, TaskLike, Tasks
from aiplatform.protocol.shapes.estimates import RunEstimate
from aiplatform.protocol.shapes.experiments import ComparisonOut, ExperimentOut, RunOut
from aiplatform.protocol.shapes.experiments import Record as RecordOut
from aiplatform.protocol.shapes.tasks import LineOut, TaskSummaryOut
from aiplatform.protocol.trainings import SPECS, TrainingSpec, parse_training


class Experiment(Resource, ExperimentOut):
    """A base model and a training spec; ``metrics`` is the summary of the best run."""

    def run(
        self,
        *,
        name: str | None = None,
        priority: int | None = None,
        override_gate: str | None = None,
        git: Mapping[str, Any] | None = None,
        after: Sequence[TaskLike] = (),
        after_any: Sequence[TaskLike] = (),
    ) -> Task:
        """Queue a training run; see :meth:`Experiments.run`."""
        return Experiments(self._client).run(
            self,
            name=name,
            priority=priority,
            override_gate=override_gate,
            git=git,
            after=after,
            after_any=after_any,
        )

    def runs(self, *, limit: int | None = None) -> Pages[Task]:
        """List the training runs, newest first."""
        return Experiments(self._client).runs(self, limit=limit)

    def update(self, **changes: Any) -> "Experiment":
        """Change the name, description, note, tags, config, or ``archived``."""
        return Experiments(self._client).update(self, **changes)

    def clone(
        self, name: str | None = None, *, changes: Mapping[str, Any] | None = None
    ) -> "Experiment":
        """Create a similar experiment; see :meth:`Experiments.clone`."""
        return Experiments(self._client).clone(self, name, changes=changes)

    def archive(self) -> "Experiment":
        """Archive the experiment: lists leave it out by default, and it can't start runs."""
        return self.update(archived=True)

    def unarchive(self) -> "Experiment":
        """Take the experiment out of the archive."""
        return self.update(archived=False)

    def delete(self) -> None:
        """Delete the experiment."""
        Experiments(self._client).delete(self)


OTHER_DATASETS = {field for spec in SPECS.values() for field in spec.training_data} - {"dataset"}
"""Method-specific fields that name a dataset, such as ``replay_dataset``."""

ExperimentLike = Experiment | UUID | str
"""An experiment, its uuid, or its name."""


class Experiments(Group):
    """The operations on experiments (``client.experiments``)."""

    def create(
        self,
        name: str,
        spec: TrainingSpec | None = None,
        *,
        project: ProjectLike | None = None,
        description: str | None = None,
        note: str | None = None,
        tags: Sequence[str] = (),
        base_model: ModelLike | None = None,
        dataset: DatasetLike | None = None,
        eval_dataset: DatasetLike | None = None,
        **fields: Any,
    ) -> Experiment:
        """Create an experiment.

        Pass either a complete ``spec`` or individual fields of
        :class:`~aiplatform.protocol.trainings.TrainingSpec` and of the spec of the chosen
        ``method`` (by default ``sft``).
        In the latter case, models and datasets can also be given by name::

            client.experiments.create("faq", base_model="smollm2", dataset="faq@v2", max_steps=60)

        Raises:
            pydantic.ValidationError: for an unknown field or a value out of range.
        """
        if spec is None:
            spec = self.spec(
                project=project,
                base_model=base_model,
                dataset=dataset,
                eval_dataset=eval_dataset,
                **fields,
            )
        elif fields or base_model or dataset or eval_dataset:
            raise TypeError("give either a spec or its fields, not both")
        body: dict[str, Any] = {"name": name, "task_type": spec.method, "config": spec}
        if description is not None:
            body["description"] = description
        if note is not None:
            body["note"] = note
        if tags:
            body["tags"] = list(tags)
        path = f"{Projects(self._client).path(project)}/experiments"
        return self._make(Experiment, self._http.post(path, body))

    def spec(
        self,
        *,
        project: ProjectLike | None = None,
        base_model: ModelLike | None = None,
        dataset: DatasetLike | None = None,
        eval_dataset: DatasetLike | None = None,
        **fields: Any,
    ) -> TrainingSpec:
        """Return a training spec, with the names of models and datasets replaced by references."""
        values: dict[str, Any] = dict(fields)
        if base_model is not None:
            values["base_model"] = Models(self._client).resolve(base_model, project)
        if dataset is not None:
            values["dataset"] = DatasetPaths(self._client).reference(dataset, project=project)
        if eval_dataset is not None:
            values["eval_dataset"] = DatasetPaths(self._client).reference(
                eval_dataset, project=project
            )
        for field in OTHER_DATASETS & values.keys():
            if isinstance(values[field], str | UUID | Resource):
                values[field] = DatasetPaths(self._client).reference(values[field], project=project)
        return parse_training(values)

    def get(self, experiment: ExperimentLike, *, project: ProjectLike | None = None) -> Experiment:
        """Read an experiment, by uuid or by its name in a project."""
        return self._get(Experiment, self.path(experiment, project))

    def update(
        self, experiment: ExperimentLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> Experiment:
        """Change the name, description, note, tags, config, or ``archived``."""
        return self._patch(Experiment, self.path(experiment, project), experiment, changes)

    def clone(
        self,
        experiment: ExperimentLike,
        name: str | None = None,
        *,
        changes: Mapping[str, Any] | None = None,
        project: ProjectLike | None = None,
    ) -> Experiment:
        """Create an experiment with the config of another one, except for ``changes``.

        For example::

            client.experiments.clone("faq", "faq, rank 8", changes={"lora.rank": 8})
        """
        body: dict[str, Any] = {"changes": dict(changes or {})}
        if name is not None:
            body["name"] = name
        path = f"{self.path(experiment, project)}/clone"
        return self._make(Experiment, self._http.post(path, body))

    def delete(self, experiment: ExperimentLike, *, project: ProjectLike | None = None) -> None:
        """Delete an experiment; its tasks and models are kept."""
        self._http.request("DELETE", self.path(experiment, project))

    def run(
        self,
        experiment: ExperimentLike,
        *,
        project: ProjectLike | None = None,
        name: str | None = None,
        priority: int | None = None,
        override_gate: str | None = None,
        git: Mapping[str, Any] | None = None,
        after: Sequence[TaskLike] = (),
        after_any: Sequence[TaskLike] = (),
    ) -> Task:
        """Queue a training run.

        Args:
            experiment: the experiment.
            project: the project in which to look up a name.
            name: the name of the run.
            priority: 1 to 10; higher priorities start first.
            override_gate: the reason for training although the data fails the project's quality
                gate.
            git: the state of your source code, stored with the run; see
                :func:`~aiplatform.client.git_state`.
            after: tasks that must succeed before the run starts; if one fails, so does the run.
            after_any: tasks that must end before the run starts, with any result.
        """
        given: Mapping[str, Any] = {
            "name": name,
            "priority": priority,
            "override_gate": override_gate,
            "git": git,
        }
        body = {key: value for key, value in given.items() if value is not None}
        body |= Tasks(self._client).needs(after, after_any, project)
        path = f"{self.path(experiment, project)}/runs"
        return self._make(Task, self._http.post(path, body))

    def runs(
        self,
        experiment: ExperimentLike,
        *,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[Task]:
        """List the training runs of an experiment, newest first."""
        return self._pages(Task, f"{self.path(experiment, project)}/runs", limit=limit)

    def path(self, experiment: ExperimentLike, project: ProjectLike | None = None) -> str:
        """Return the path of the experiment in the API."""
        return f"experiments/{self.resolve(experiment, project)}"

    def resolve(self, experiment: ExperimentLike, project: ProjectLike | None = None) -> UUID:
        """Return the uuid of an experiment.

        Raises:
            NotFound: if no experiment of the project has this name.
        """
        if isinstance(experiment, Experiment):
            return experiment.uuid
        uuid = as_uuid(experiment)
        if uuid is not None:
            return uuid
        name = str(experiment)
        pages = partial(self.list, project=project)
        return find_by_name(pages, name, "experiment", "in this project").uuid

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None, **filters: Any
    ) -> Pages[Experiment]:
        """List the experiments of a project; ``filter`` and ``sort`` are as in :meth:`Runs.list`.

        Archived experiments are listed only with ``archived=True`` or a filter that selects them.
        """
        path = f"{Projects(self._client).path(project)}/experiments"
        return self._pages(Experiment, path, limit=limit, **filters)


RunLike = Resource | UUID | str
"""A run or its task, its uuid, or the name of its task."""


class Record(RecordOut):
    """The details needed to repeat a run: config, seed, input hashes, source, environment."""

    # The SDK shows the inputs as plain JSON.
    inputs: list[dict[str, Any]] = []  # type: ignore[assignment]


class Run(Resource, RunOut):
    """A training run or an external run.

    ``record`` and ``estimate`` are set only by :meth:`Runs.get`.
    """

    record: Record | None = None
    estimate: RunEstimate | None = None

    def rerun(
        self,
        *,
        name: str | None = None,
        priority: int | None = None,
        override_gate: str | None = None,
    ) -> Task:
        """Queue the same run again; see :meth:`Runs.rerun`."""
        return Runs(self._client).rerun(
            self, name=name, priority=priority, override_gate=override_gate
        )

    def task(self) -> Task:
        """Return the task of the run, which has its logs and metric series."""
        return Tasks(self._client).get(self.uuid)


class Comparison(Resource, ComparisonOut):
    """A comparison of experiments and runs; its lists follow the order of ``items``."""

    def curve(self, key: str) -> dict[str, list[MetricPoint]]:
        """Return the points of a metric for each run that has it, keyed by the run's name."""
        found = {}
        for item in self.items:
            if item.run is not None:
                points = Tasks(self._client).metrics(item.run, key).get(key)
                if points:
                    found[item.name] = points
        return found


class Runs(Group):
    """The operations on runs (``client.runs``)."""

    def list(
        self,
        filter: str | None = None,  # noqa: A002  (the API's name)
        *,
        sort: str | None = None,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[Run]:
        """List runs, newest first, optionally filtered and sorted by a metric.

        For example::

            client.runs.list("metrics.eval_loss < 1.5 and config.lora.rank = 16",
                             sort="metrics.eval_loss")

        Raises:
            ValidationFailed: if the filter is invalid; the message says where.
        """
        path = f"{Projects(self._client).path(project)}/runs"
        return self._pages(Run, path, filter=filter, sort=sort, limit=limit)

    def get(self, run: RunLike, *, project: ProjectLike | None = None) -> Run:
        """Read a run, with its record."""
        return self._get(Run, self.path(run, project))

    def rerun(
        self,
        run: RunLike,
        *,
        name: str | None = None,
        priority: int | None = None,
        override_gate: str | None = None,
        project: ProjectLike | None = None,
    ) -> Task:
        """Queue a run again, with the same config, data, base model and seed.

        Args:
            run: the run.
            name: the name of the new run.
            priority: 1 to 10; higher priorities start first.
            override_gate: the reason for training although the data fails the project's quality
                gate.
            project: the project in which to look up a name.

        Raises:
            Conflict: if an input of the run has changed or is gone.
        """
        given = {"name": name, "priority": priority, "override_gate": override_gate}
        body = {key: value for key, value in given.items() if value is not None}
        return self._make(Task, self._http.post(f"{self.path(run, project)}/rerun", body))

    def compare(
        self,
        runs: Sequence[RunLike] = (),
        *,
        experiments: Sequence[ExperimentLike] = (),
        project: ProjectLike | None = None,
    ) -> Comparison:
        """Compare up to 20 experiments (with the metrics of their best runs) and up to 20 runs.

        The columns are the experiments, then the runs, in the given order.
        """
        answer = self._http.get(
            f"{Projects(self._client).path(project)}/comparison",
            experiment=[Experiments(self._client).resolve(e, project) for e in experiments] or None,
            run=[self._uuid(run, project) for run in runs] or None,
        )
        return self._make(Comparison, answer)

    def path(self, run: RunLike, project: ProjectLike | None = None) -> str:
        """Return the path of the run in the API."""
        return f"runs/{self._uuid(run, project)}"

    def _uuid(self, run: RunLike, project: ProjectLike | None) -> UUID:
        if isinstance(run, Run):
            return run.uuid
        if isinstance(run, Resource) and not isinstance(run, Task):
            raise TypeError(f"a {type(run).__name__} is not a run")
        return Tasks(self._client).resolve(run, project)


def git_state(directory: Path | None = None) -> dict[str, Any] | None:
    """Return the commit, branch and state of the git checkout in ``directory``, or None.

    ``directory`` defaults to the current directory. ``dirty`` is true if there are uncommitted
    changes.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=directory, capture_output=True, text=True, timeout=10,
                check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if not commit:
        return None
    return {
        "commit": commit,
        "branch": git("branch", "--show-current") or None,
        "dirty": bool(git("status", "--porcelain")),
    }


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
        """Return the metric series of several tasks, grouped by key, to draw one chart per key.

        Args:
            keys: the names of the series.
            tasks: the tasks, at most 100.
            experiment: an experiment whose newest tasks are added.
            points: the largest number of points per series. Longer series are downsampled without
                losing their peaks.
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
        """Return metric summaries of several tasks, for all series or only for ``keys``."""
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
