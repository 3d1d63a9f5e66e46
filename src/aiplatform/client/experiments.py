"""Experiments: fine-tuning a base model on a dataset, as often as it takes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource, UserRef, as_uuid, only
from aiplatform.client.datasets import DatasetLike
from aiplatform.client.models import ModelLike
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.tasks import Task, TaskLike
from aiplatform.protocol.enums import ExperimentStatus
from aiplatform.protocol.specs import TrainingSpec


class Experiment(Resource):
    """A question asked of a base model; ``metrics`` is the summary of its best run."""

    uuid: UUID
    name: str
    project: UUID | None = None
    description: str | None = None
    note: str | None = None
    tags: list[str] = []
    archived_at: datetime | None = None
    cloned_from: UUID | None = None
    base_model: str | None = None
    task_type: str | None = None
    status: ExperimentStatus = ExperimentStatus.PENDING
    config: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    author: UserRef | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

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
        """Queue a training run, see :meth:`Experiments.run`."""
        return self.client.experiments.run(
            self,
            name=name,
            priority=priority,
            override_gate=override_gate,
            git=git,
            after=after,
            after_any=after_any,
        )

    def runs(self, *, limit: int | None = None) -> Pages[Task]:
        """Its training runs, newest first."""
        return self.client.experiments.runs(self, limit=limit)

    def update(self, **changes: Any) -> "Experiment":
        """Change name, description, note, tags, config, or whether it is archived."""
        return self.client.experiments.update(self, **changes)

    def clone(
        self, name: str | None = None, *, changes: Mapping[str, Any] | None = None
    ) -> "Experiment":
        """A new experiment like it, see :meth:`Experiments.clone`."""
        return self.client.experiments.clone(self, name, changes=changes)

    def archive(self) -> "Experiment":
        """Put it into the archive: it is not listed by itself any more, and starts no runs."""
        return self.update(archived=True)

    def unarchive(self) -> "Experiment":
        """Take it out of the archive."""
        return self.update(archived=False)

    def delete(self) -> None:
        """Delete it."""
        self.client.experiments.delete(self)


ExperimentLike = Experiment | UUID | str
"""An experiment, its uuid, or its name."""


class Experiments(Group):
    """``client.experiments``."""

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

        Either ``spec`` says everything, or the fields of
        :class:`~aiplatform.protocol.specs.TrainingSpec` are given one by one; models and datasets
        then also by name::

            client.experiments.create("faq", base_model="smollm2", dataset="faq@v2", max_steps=60)

        Raises:
            pydantic.ValidationError: for a field that does not exist or a value out of range.
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
        path = f"{self._client.projects.path(project)}/experiments"
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
        """A training spec, with the names of models and datasets replaced by what they mean."""
        values: dict[str, Any] = dict(fields)
        if base_model is not None:
            values["base_model"] = self._client.models.resolve(base_model, project)
        if dataset is not None:
            values["dataset"] = self._client.datasets.reference(dataset, project=project)
        if eval_dataset is not None:
            values["eval_dataset"] = self._client.datasets.reference(eval_dataset, project=project)
        return TrainingSpec.model_validate(values)

    def get(self, experiment: ExperimentLike, *, project: ProjectLike | None = None) -> Experiment:
        """Read one, by uuid or by name in a project."""
        return self._get(Experiment, self.path(experiment, project))

    def update(
        self, experiment: ExperimentLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> Experiment:
        """Change name, description, note, tags, config, or whether it is archived."""
        return self._patch(Experiment, self.path(experiment, project), experiment, changes)

    def clone(
        self,
        experiment: ExperimentLike,
        name: str | None = None,
        *,
        changes: Mapping[str, Any] | None = None,
        project: ProjectLike | None = None,
    ) -> Experiment:
        """A new experiment with the config of another, but for ``changes``::

        client.experiments.clone("faq", "faq, rank 8", changes={"lora.rank": 8})
        """
        body: dict[str, Any] = {"changes": dict(changes or {})}
        if name is not None:
            body["name"] = name
        path = f"{self.path(experiment, project)}/clone"
        return self._make(Experiment, self._http.post(path, body))

    def delete(self, experiment: ExperimentLike, *, project: ProjectLike | None = None) -> None:
        """Delete it; its tasks and models stay."""
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
        """Queue a training run; higher priorities, of 1 to 10, go first.

        Args:
            override_gate: why it is trained although the data fails the project's quality gate.
            git: your source code for the run's record, see :func:`~aiplatform.client.git_state`.
            after: tasks that must succeed first; when one fails, so does this.
            after_any: tasks that must end first, however.
        """
        given: Mapping[str, Any] = {
            "name": name,
            "priority": priority,
            "override_gate": override_gate,
            "git": git,
        }
        body = {key: value for key, value in given.items() if value is not None}
        body |= self._client.tasks.needs(after, after_any, project)
        path = f"{self.path(experiment, project)}/runs"
        return self._make(Task, self._http.post(path, body))

    def runs(
        self,
        experiment: ExperimentLike,
        *,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[Task]:
        """Its training runs, newest first."""
        return self._pages(Task, f"{self.path(experiment, project)}/runs", limit=limit)

    def path(self, experiment: ExperimentLike, project: ProjectLike | None = None) -> str:
        """Where the experiment lives in the API."""
        return f"experiments/{self.resolve(experiment, project)}"

    def resolve(self, experiment: ExperimentLike, project: ProjectLike | None = None) -> UUID:
        """The uuid that is meant.

        Raises:
            NotFound: when no experiment of the project has the name.
        """
        if isinstance(experiment, Experiment):
            return experiment.uuid
        uuid = as_uuid(experiment)
        if uuid is not None:
            return uuid
        name = str(experiment)
        pages = partial(self.list, project=project)
        return only(pages, name, "experiment", "in this project").uuid

    def list(
        self, *, project: ProjectLike | None = None, limit: int | None = None, **filters: Any
    ) -> Pages[Experiment]:
        """The experiments of a project; ``filter`` and ``sort`` as in :meth:`Runs.list`.

        Those in the archive are left out unless ``archived=True`` or a filter asks for them.
        """
        path = f"{self._client.projects.path(project)}/experiments"
        return self._pages(Experiment, path, limit=limit, **filters)
