"""Estimates of the rows, tokens, steps, memory and time of training runs before they start."""

from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.dataset_paths import DatasetLike
from aiplatform.client.experiments import Experiments
from aiplatform.client.models import ModelLike
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import Tasks
from aiplatform.protocol.shapes.estimates import EstimateOut
from aiplatform.protocol.trainings import TrainingSpec


class Estimate(Resource, EstimateOut):
    """A training estimate. ``result`` is None until the estimate is completed."""

    def wait(self, timeout: float | None = None) -> "Estimate":
        """Wait until the estimate is completed, and return it with its result.

        Args:
            timeout: the maximum number of seconds to wait.

        Raises:
            TaskFailed: if the estimate failed; a training run would fail for the same reason.
            WaitTimeout: after ``timeout`` seconds; the estimate continues.
        """
        Tasks(self._client).wait(self.uuid, timeout)
        return Estimates(self._client).get(self.uuid)


class Estimates(Group):
    """The operations on training estimates (``client.estimates``)."""

    def create(
        self,
        spec: TrainingSpec | None = None,
        *,
        project: ProjectLike | None = None,
        base_model: ModelLike | None = None,
        dataset: DatasetLike | None = None,
        eval_dataset: DatasetLike | None = None,
        **fields: Any,
    ) -> Estimate:
        """Queue an estimate of a training run: its rows, tokens, steps, memory and time.

        The arguments are those of :meth:`Experiments.create`::

            estimate = client.estimates.create(base_model="smollm2", dataset="faq").wait()
            print(estimate.result.steps.total, estimate.result.memory_mb.expected)

        Raises:
            pydantic.ValidationError: for an unknown field or a value out of range.
        """
        if spec is None:
            spec = Experiments(self._client).spec(
                project=project,
                base_model=base_model,
                dataset=dataset,
                eval_dataset=eval_dataset,
                **fields,
            )
        elif fields or base_model or dataset or eval_dataset:
            raise TypeError("give either a spec or its fields, not both")
        path = f"{Projects(self._client).path(project)}/training-estimates"
        return self._make(Estimate, self._http.post(path, {"config": spec}))

    def get(self, estimate: Estimate | UUID | str) -> Estimate:
        """Read an estimate by its uuid."""
        uuid = estimate.uuid if isinstance(estimate, Estimate) else estimate
        return self._get(Estimate, f"training-estimates/{uuid}")
