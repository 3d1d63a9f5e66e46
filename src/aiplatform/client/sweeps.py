"""Sweeps: hyper-parameter searches for an experiment."""

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from aiplatform.client.base import Group, Resource, UserRef, as_uuid, only
from aiplatform.client.errors import WaitTimeout
from aiplatform.client.experiments import ExperimentLike
from aiplatform.client.models import Model
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.task_watching import TaskEvent
from aiplatform.client.waiting import WaitingReasons
from aiplatform.language import tr
from aiplatform.protocol.sweeps import SweepSpec, SweepStatus


class Trial(BaseModel):
    """One choice of parameters, and what came of it."""

    model_config = ConfigDict(extra="allow")

    number: int
    state: str
    params: dict[str, Any] = {}
    value: float | None = None
    task: UUID | None = None
    model: UUID | None = None
    progress: float | None = None
    error: str | None = None


class Sweep(Resource):
    """A search. ``trials`` and ``best`` are there when it was read by itself."""

    uuid: UUID
    name: str
    status: SweepStatus
    project: UUID | None = None
    experiment: UUID | None = None
    error: str | None = None
    spec: dict[str, Any] = {}
    trials: list[Trial] = []
    best: Trial | None = None
    author: UserRef | None = None
    created_at: datetime | None = None
    ended_at: datetime | None = None

    def refresh(self) -> "Sweep":
        """Read it again."""
        return self.client.sweeps.get(self)

    def cancel(self) -> "Sweep":
        """Cancel a sweep: start no more trials, and stop those that are running."""
        return self.client.sweeps.cancel(self)

    def register(self, name: str) -> Model:
        """Register the best trial's model under a name; see :meth:`Sweeps.register`."""
        return self.client.sweeps.register(self, name)

    def wait(
        self,
        timeout: float | None = None,
        *,
        interval: float = 1.0,
        on_event: Callable[[TaskEvent], None] | None = None,
        on_change: "Callable[[Sweep], None] | None" = None,
    ) -> "Sweep":
        """Wait for its end, however it ends; times in seconds.

        Args:
            timeout: how long to wait at most.
            interval: between two looks.
            on_event: called with an event of kind ``waiting`` when something keeps the next trial
                from starting.
            on_change: called with the sweep after each look.

        Raises:
            WaitTimeout: when it has not ended by then.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        reasons = WaitingReasons(self.client, on_event)
        while True:
            found = self.refresh()
            if on_change is not None:
                on_change(found)
            reasons.look(next((t.task for t in found.trials if t.state == "running"), None))
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
    """``client.sweeps``."""

    def create(
        self,
        name: str,
        experiment: ExperimentLike,
        parameters: Mapping[str, Any],
        *,
        project: ProjectLike | None = None,
        **options: Any,
    ) -> Sweep:
        """Begin a search; each trial is a run of the experiment::

            client.sweeps.create("search", "faq", {
                "learning_rate": {"kind": "float", "low": 1e-5, "high": 1e-3, "log": True},
                "lora.rank": [4, 8, 16],
            }, max_trials=20, pruning={"series": "loss", "min_steps": 10})

        Args:
            parameters: by path in the config; a list stands for a choice of its values.
            options: other fields of :class:`~aiplatform.protocol.sweeps.SweepSpec`.

        Raises:
            pydantic.ValidationError: for a field that does not exist or a value out of range.
        """
        spec = SweepSpec.model_validate(
            {
                "experiment": self._client.experiments.resolve(experiment, project),
                "parameters": {
                    path: {"kind": "choice", "values": value} if isinstance(value, list) else value
                    for path, value in parameters.items()
                },
                **options,
            }
        )
        path = f"{self._client.projects.path(project)}/sweeps"
        return self._make(Sweep, self._http.post(path, {"name": name, "spec": spec}))

    def get(self, sweep: SweepLike, *, project: ProjectLike | None = None) -> Sweep:
        """Read one with its trials, by uuid or by name in a project."""
        return self._get(Sweep, self.path(sweep, project))

    def list(
        self,
        *,
        name: str | None = None,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[Sweep]:
        """The sweeps of a project, newest first."""
        path = f"{self._client.projects.path(project)}/sweeps"
        return self._pages(Sweep, path, name=name, limit=limit)

    def cancel(self, sweep: SweepLike, *, project: ProjectLike | None = None) -> Sweep:
        """Cancel a sweep: start no more trials, and stop those that are running."""
        return self._make(Sweep, self._http.post(f"{self.path(sweep, project)}/cancel"))

    def register(self, sweep: SweepLike, name: str, *, project: ProjectLike | None = None) -> Model:
        """Enter the best trial's model as the next version of ``name``, unless it is one already.

        Raises:
            Conflict: when no trial has succeeded, or the best one's model is gone.
        """
        answer = self._http.post(f"{self.path(sweep, project)}/register", {"name": name})
        return self._client.models.get(str(answer["model"]))

    def path(self, sweep: SweepLike, project: ProjectLike | None = None) -> str:
        """Where the sweep lives in the API."""
        if isinstance(sweep, Sweep):
            return f"sweeps/{sweep.uuid}"
        uuid = as_uuid(sweep)
        if uuid is None:
            pages = partial(self.list, project=project)
            uuid = only(pages, str(sweep), "sweep", "in this project").uuid
        return f"sweeps/{uuid}"
