"""Experiments: fine-tuning of a base model on a dataset, in any number of runs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource, as_uuid, find_by_name
from aiplatform.client.dataset_paths import DatasetLike, DatasetPaths
from aiplatform.client.models import ModelLike, Models
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.task_paths import TaskLike
from aiplatform.client.tasks import Task, Tasks
from aiplatform.protocol.shapes.experiments import ExperimentOut
from aiplatform.protocol.specs import TrainingSpec


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
        """Change name, description, note, tags, config, or ``archived``."""
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

        Pass either a complete ``spec`` or single fields of
        :class:`~aiplatform.protocol.specs.TrainingSpec`. In the latter case, models and datasets
        can be given by name, too::

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
        return TrainingSpec.model_validate(values)

    def get(self, experiment: ExperimentLike, *, project: ProjectLike | None = None) -> Experiment:
        """Read an experiment, by uuid or by its name in a project."""
        return self._get(Experiment, self.path(experiment, project))

    def update(
        self, experiment: ExperimentLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> Experiment:
        """Change name, description, note, tags, config, or ``archived``."""
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

        Archived experiments are listed only with ``archived=True`` or a filter that asks for them.
        """
        path = f"{Projects(self._client).path(project)}/experiments"
        return self._pages(Experiment, path, limit=limit, **filters)
