"""Sweeps: hyper-parameter searches for an experiment."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Pages, Resource, as_uuid, find_by_name
from aiplatform.client.errors import WaitTimeout
from aiplatform.client.experiments import ExperimentLike, Experiments
from aiplatform.client.models import Model, Models
from aiplatform.client.polling import WaitingReasonReporter
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import TaskEvent
from aiplatform.language import tr
from aiplatform.protocol.shapes.experiments import SweepOut, TrialOut
from aiplatform.protocol.sweeps import SweepSpec, SweepStatus


class Trial(TrialOut):
    """A trial of a sweep: the chosen parameters and the result of the run with them."""


class Sweep(Resource, SweepOut):
    """A hyper-parameter search. ``trials`` and ``best`` are not set in lists."""

    trials: list[Trial] = []
    best: Trial | None = None

    def refresh(self) -> "Sweep":
        """Read the sweep again."""
        return Sweeps(self._client).get(self)

    def cancel(self) -> "Sweep":
        """Cancel the sweep: start no more trials, and stop those that are running."""
        return Sweeps(self._client).cancel(self)

    def register(self, name: str) -> Model:
        """Register the best trial's model under a name; see :meth:`Sweeps.register`."""
        return Sweeps(self._client).register(self, name)

    def wait(
        self,
        timeout: float | None = None,
        *,
        interval: float = 1.0,
        on_event: Callable[[TaskEvent], None] | None = None,
        on_change: "Callable[[Sweep], None] | None" = None,
    ) -> "Sweep":
        """Wait until the sweep has ended, with any outcome; times are in seconds.

        Args:
            timeout: the longest time to wait.
            interval: time between two requests.
            on_event: called with an event of kind ``waiting`` while the next trial can't start; the
                event says why.
            on_change: called with the sweep after each request.

        Raises:
            WaitTimeout: if the sweep has not ended within ``timeout``.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        reasons = WaitingReasonReporter(self._client, on_event)
        while True:
            found = self.refresh()
            if on_change is not None:
                on_change(found)
            reasons.report(next((t.task for t in found.trials if t.state == "running"), None))
            if found.status is not SweepStatus.RUNNING:
                return found
            if deadline is not None and time.monotonic() > deadline:
                raise WaitTimeout(
                    tr(
                        "the sweep {name} still runs after {timeout:g} s",
                        name=self.name,
                        timeout=timeout,
                    )
                )
            time.sleep(interval)


SweepLike = Sweep | UUID | str
"""A sweep, its uuid, or its name."""


class Sweeps(Group):
    """The operations on sweeps (``client.sweeps``)."""

    def create(
        self,
        name: str,
        experiment: ExperimentLike,
        parameters: Mapping[str, Any],
        *,
        project: ProjectLike | None = None,
        **options: Any,
    ) -> Sweep:
        """Start a hyper-parameter search; each trial is a run of the experiment.

        For example::

            client.sweeps.create("search", "faq", {
                "learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-3, "log": True},
                "lora.rank": [4, 8, 16],
            }, max_trials=20, pruning={"series": "loss", "min_steps": 10})

        Args:
            name: the name of the sweep.
            experiment: the experiment.
            parameters: the parameters to search, keyed by their path in the config; a list means a
                choice among its values.
            project: the project in which to look up a name.
            options: other fields of :class:`~aiplatform.protocol.sweeps.SweepSpec`.

        Raises:
            pydantic.ValidationError: for an unknown field or a value out of range.
        """
        spec = SweepSpec.model_validate(
            {
                "experiment": Experiments(self._client).resolve(experiment, project),
                "parameters": {
                    path: {"kind": "choice", "values": value} if isinstance(value, list) else value
                    for path, value in parameters.items()
                },
                **options,
            }
        )
        path = f"{Projects(self._client).path(project)}/sweeps"
        return self._make(Sweep, self._http.post(path, {"name": name, "spec": spec}))

    def get(self, sweep: SweepLike, *, project: ProjectLike | None = None) -> Sweep:
        """Read a sweep with its trials, by uuid or by its name in a project."""
        return self._get(Sweep, self.path(sweep, project))

    def list(
        self,
        *,
        name: str | None = None,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[Sweep]:
        """List the sweeps of a project, newest first."""
        path = f"{Projects(self._client).path(project)}/sweeps"
        return self._pages(Sweep, path, name=name, limit=limit)

    def cancel(self, sweep: SweepLike, *, project: ProjectLike | None = None) -> Sweep:
        """Cancel a sweep: start no more trials, and stop those that are running."""
        return self._make(Sweep, self._http.post(f"{self.path(sweep, project)}/cancel"))

    def register(self, sweep: SweepLike, name: str, *, project: ProjectLike | None = None) -> Model:
        """Register the best trial's model as the next version of ``name``.

        If this model is already a version of ``name``, that version is returned.

        Raises:
            Conflict: if no trial has succeeded, or the best trial's model was deleted.
        """
        answer = self._http.post(f"{self.path(sweep, project)}/register", {"name": name})
        return Models(self._client).get(str(answer["model"]))

    def path(self, sweep: SweepLike, project: ProjectLike | None = None) -> str:
        """Return the path of the sweep in the API."""
        if isinstance(sweep, Sweep):
            return f"sweeps/{sweep.uuid}"
        uuid = as_uuid(sweep)
        if uuid is None:
            pages = partial(self.list, project=project)
            uuid = find_by_name(pages, str(sweep), "sweep", "in this project").uuid
        return f"sweeps/{uuid}"
