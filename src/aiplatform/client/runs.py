"""Runs: training runs, and external runs from ``client.run()``."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Resource
from aiplatform.client.experiments import ExperimentLike, Experiments
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.tasks import MetricPoint, Task, Tasks
from aiplatform.protocol.shapes.experiments import ComparisonOut, RunOut
from aiplatform.protocol.shapes.experiments import Record as RecordOut

RunLike = Resource | UUID | str
"""A run or its task, its uuid, or the name of its task."""


class Record(RecordOut):
    """The facts that make a run repeatable: config, seed, input hashes, source, environment."""

    # The SDK shows the inputs as plain JSON.
    inputs: list[dict[str, Any]] = []  # type: ignore[assignment]


class Run(Resource, RunOut):
    """A training run or an external run. ``record`` is set only by :meth:`Runs.get`."""

    record: Record | None = None

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
    """Return commit, branch and state of the git checkout in ``directory``, or None.

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
