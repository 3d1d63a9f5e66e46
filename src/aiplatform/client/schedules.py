"""Schedules: tasks and runs that start at regular times."""

from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, Pages, Resource, as_uuid, find_by_name
from aiplatform.client.experiments import ExperimentLike, Experiments
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.protocol.schedules import Missed, Overlap
from aiplatform.protocol.shapes.experiments import FiringOut, ScheduleOut
from aiplatform.protocol.specs import TaskSpec


class Firing(Resource, FiringOut):
    """A time at which a schedule was due, and its outcome."""


class Schedule(Resource, ScheduleOut):
    """A task or run that is submitted at regular times.

    It is submitted with the current permissions of the schedule's owner.
    """

    def update(self, **changes: Any) -> "Schedule":
        """Change the schedule; see :meth:`Schedules.update`."""
        return Schedules(self._client).update(self, **changes)

    def enable(self) -> "Schedule":
        """Enable the schedule. Times that were missed while it was disabled are skipped."""
        return self.update(enabled=True)

    def disable(self) -> "Schedule":
        """Disable the schedule."""
        return self.update(enabled=False)

    def firings(self, *, limit: int | None = None) -> Pages[Firing]:
        """List the times at which the schedule was due, with their outcomes, newest first."""
        return Schedules(self._client).firings(self, limit=limit)

    def delete(self) -> None:
        """Delete the schedule; tasks that it has submitted are kept."""
        Schedules(self._client).delete(self)


ScheduleLike = Schedule | UUID | str
"""A schedule, its uuid, or its name."""


class Schedules(Group):
    """The operations on schedules (``client.schedules``)."""

    def create(
        self,
        name: str,
        cron: str,
        *,
        timezone: str = "UTC",
        experiment: ExperimentLike | None = None,
        spec: TaskSpec | Mapping[str, Any] | None = None,
        priority: int | None = None,
        missed: Missed | str | None = None,
        overlap: Overlap | str | None = None,
        enabled: bool = True,
        project: ProjectLike | None = None,
    ) -> Schedule:
        """Create a schedule that starts runs of an experiment, or submits a task.

        For example::

            client.schedules.create("nightly", "30 2 * * *", timezone="Asia/Shanghai",
                                    experiment="faq")

        Raises:
            TypeError: unless exactly one of ``experiment`` and ``spec`` is given.
            ValidationFailed: for an invalid cron expression or time zone.
        """
        action: dict[str, Any]
        if (experiment is None) == (spec is None):
            raise TypeError("give either an experiment or a task's spec")
        if experiment is not None:
            uuid = Experiments(self._client).resolve(experiment, project)
            action = {"kind": "run", "experiment": uuid}
        else:
            action = {"kind": "task", "name": name, "spec": spec}
        if priority is not None:
            action["priority"] = priority
        body: dict[str, Any] = {
            "name": name,
            "cron": cron,
            "timezone": timezone,
            "action": action,
            "enabled": enabled,
        }
        policies = {"missed": missed, "overlap": overlap}
        body |= {key: value for key, value in policies.items() if value is not None}
        path = f"{Projects(self._client).path(project)}/schedules"
        return self._make(Schedule, self._http.post(path, body))

    def get(self, schedule: ScheduleLike, *, project: ProjectLike | None = None) -> Schedule:
        """Read a schedule, by uuid or by its name in a project."""
        return self._get(Schedule, self.path(schedule, project))

    def list(
        self,
        *,
        name: str | None = None,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[Schedule]:
        """List the schedules of a project, newest first."""
        path = f"{Projects(self._client).path(project)}/schedules"
        return self._pages(Schedule, path, name=name, limit=limit)

    def update(
        self, schedule: ScheduleLike, *, project: ProjectLike | None = None, **changes: Any
    ) -> Schedule:
        """Change the name, cron, timezone, action, missed, overlap or enabled field.

        Any change except disabling the schedule makes you its new owner.
        """
        return self._patch(Schedule, self.path(schedule, project), schedule, changes)

    def delete(self, schedule: ScheduleLike, *, project: ProjectLike | None = None) -> None:
        """Delete a schedule; tasks that it has submitted are kept."""
        self._http.request("DELETE", self.path(schedule, project))

    def firings(
        self,
        schedule: ScheduleLike,
        *,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[Firing]:
        """List the times at which a schedule was due, with their outcomes, newest first."""
        return self._pages(Firing, f"{self.path(schedule, project)}/firings", limit=limit)

    def path(self, schedule: ScheduleLike, project: ProjectLike | None = None) -> str:
        """Return the path of the schedule in the API."""
        if isinstance(schedule, Schedule):
            return f"schedules/{schedule.uuid}"
        uuid = as_uuid(schedule)
        if uuid is None:
            pages = partial(self.list, project=project)
            uuid = find_by_name(pages, str(schedule), "schedule", "in this project").uuid
        return f"schedules/{uuid}"
