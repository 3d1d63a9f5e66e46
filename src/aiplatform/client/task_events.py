"""Live events of a task: ``client.tasks.watch``, which reconnects after interruptions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiplatform.client.event_streams import data_of, follow
from aiplatform.client.projects import ProjectLike
from aiplatform.client.task_paths import TaskLike, TaskPaths

SILENCE_SECONDS = 30.0
_STATES = {"status", "progress", "waiting"}


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """An event of a task.

    ``kind`` is ``status``, ``progress``, ``waiting`` (the reason why the task does not start),
    ``metrics``, ``log``, ``event`` or, at the end, ``end``.
    """

    kind: str
    data: dict[str, Any]
    id: str | None = None


class TaskEvents(TaskPaths):
    """The methods of ``client.tasks`` that read the event stream."""

    def watch(
        self,
        task: TaskLike,
        *,
        project: ProjectLike | None = None,
        last_event_id: str | None = None,
    ) -> Iterator[TaskEvent]:
        """Yield the events of a task as they happen, until ``end``.

        The stream starts with the first event, or after ``last_event_id``. After a connection
        error, it reconnects and continues where it stopped; nothing is repeated.

        Raises:
            ServerUnavailable: if the server can't be reached for two minutes.
        """
        path = self.path(task, project)
        return (event for event in self._events(path, last_event_id, None) if event is not None)

    def _events(
        self, path: str, last_id: str | None, deadline: float | None
    ) -> Iterator[TaskEvent | None]:
        """Yield events and heartbeats (``None``), until ``end`` or ``deadline``."""
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
            # Each connection starts with the current state; skip it if it has already been yielded.
            if event.event not in _STATES or shown.get(event.event) != event.data:
                shown[event.event] = event.data
                yield TaskEvent(event.event, data_of(event.data), event.id)
            if event.event == "end":
                return
