"""API paths of tasks, from the names, uuids or objects that callers pass."""

import re
from itertools import islice
from typing import Any
from uuid import UUID

from aiplatform.client.base import Group, as_uuid
from aiplatform.client.errors import NotFound
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.language import tr
from aiplatform.protocol.shapes.tasks import TaskOut

_TASKS_SEARCHED = 500
"""Number of recent tasks searched for a uuid prefix."""

_UUID_PREFIX = re.compile(r"[0-9a-f-]{6,36}")

TaskLike = TaskOut | UUID | str
"""A task, its uuid, a prefix of its uuid, or a name (meaning the newest task with that name)."""


class TaskPaths(Group):
    """The methods of ``client.tasks`` that look up a task."""

    def path(self, task: TaskLike, project: ProjectLike | None = None) -> str:
        """Return the path of the task in the API."""
        return f"tasks/{self.resolve(task, project)}"

    def resolve(self, task: TaskLike, project: ProjectLike | None = None) -> UUID:
        """Return the uuid of a task.

        Raises:
            NotFound: if the project has no task with this name and no recent task whose uuid starts
                with it.
        """
        if isinstance(task, TaskOut):
            return task.uuid
        uuid = as_uuid(task)
        if uuid is not None:
            return uuid
        meant = str(task)
        named = self._search(project, name=meant).first()
        if named is not None and named.name == meant:
            return named.uuid
        if _UUID_PREFIX.fullmatch(meant.lower()):
            for found in islice(self._search(project), _TASKS_SEARCHED):
                if str(found.uuid).startswith(meant.lower()):
                    return found.uuid
        raise NotFound(
            tr("no task in this project is named {meant}", meant=meant),
            code="client.no_such_name",
            hint=tr("`aiplatform tasks ls` shows them."),
        )

    def _search(self, project: ProjectLike | None, **filters: Any) -> Pages[TaskOut]:
        """List the tasks of a project, newest first."""
        return self._shapes(TaskOut, f"{Projects(self._client).path(project)}/tasks", **filters)
