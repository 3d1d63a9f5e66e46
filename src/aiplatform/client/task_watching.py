"""What happens to a task, live: ``client.tasks.watch``, over broken connections and new tokens."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiplatform.client.base import Group
from aiplatform.client.following import data_of, follow
from aiplatform.client.projects import ProjectLike

if TYPE_CHECKING:
    from aiplatform.client.tasks import TaskLike

SILENCE_SECONDS = 30.0
_STATES = {"status", "progress", "waiting"}


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something that happened to a task.

    ``kind`` is ``status``, ``progress``, ``waiting`` (what keeps it from starting), ``metrics``,
    ``log``, ``event`` or, last of all, ``end``.
    """

    kind: str
    data: dict[str, Any]
    id: str | None = None


class TaskWatching(Group):
    """What of ``client.tasks`` reads the stream of events."""

    if TYPE_CHECKING:

        def path(self, task: TaskLike, project: ProjectLike | None = None) -> str: ...

    def watch(
        self,
        task: "TaskLike",
        *,
        project: ProjectLike | None = None,
        last_event_id: str | None = None,
    ) -> Iterator[TaskEvent]:
        """Events as they happen, from the first (or the one after ``last_event_id``) to ``end``.

        A connection that breaks is made again and goes on where it broke; nothing is seen twice.

        Raises:
            ServerUnavailable: when the server stays away for two minutes.
        """
        path = self.path(task, project)
        return (event for event in self._events(path, last_event_id, None) if event is not None)

    def _events(
        self, path: str, last_id: str | None, deadline: float | None
    ) -> Iterator[TaskEvent | None]:
        """Events and heartbeats (``None``), until ``end`` or ``deadline``."""
        shown: dict[str, str] = {}
        stream = follow(
            self._http,
            f"{path}/events",
            last_id=last_id,
            silence=SILENCE_SECONDS,
            deadline=deadline,
        )
        for event in stream:
            if event is None:
                yield None
                continue
            # Every connection begins with the present state; said once is enough.
            if event.event not in _STATES or shown.get(event.event) != event.data:
                shown[event.event] = event.data
                yield TaskEvent(event.event, data_of(event.data), event.id)
            if event.event == "end":
                return
