"""Tasks: what is queued and running, watched live."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import httpx

from aiplatform.client.base import Group, Resource, UserRef, as_uuid
from aiplatform.client.errors import (
    NotFound,
    ServerUnavailable,
    TaskFailed,
    Unauthenticated,
    WaitTimeout,
    error_in,
    unreachable,
)
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.streams import events as server_events
from aiplatform.client.transport import back_off
from aiplatform.protocol.enums import LogStream, TaskStatus, TaskType
from aiplatform.protocol.specs import TaskSpec

_SILENCE_SECONDS = 30.0
_GIVE_UP_SECONDS = 120.0
_SEARCHED = 500
_STATES = {"status", "progress"}


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something that happened to a task.

    ``kind`` is ``status``, ``progress``, ``metrics``, ``log``, ``event`` or, last of all, ``end``.
    """

    kind: str
    data: dict[str, Any]
    id: str | None = None


class MetricPoint(NamedTuple):
    """A value at a step; ``time`` is seconds since the epoch."""

    step: int
    value: float
    time: float


class LogChunk(Resource):
    """Consecutive lines of one stream of a task's log."""

    seq: int
    attempt: int | None = None
    stream: LogStream = LogStream.STDOUT
    text: str
    time: datetime | None = None


class Task(Resource):
    """One piece of queued work."""

    uuid: UUID
    name: str
    type: TaskType
    status: TaskStatus
    project: UUID | None = None
    experiment: UUID | None = None
    model: UUID | None = None
    priority: int = 5
    progress: float = 0.0
    position: int | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    queue: str | None = None
    worker: str | None = None
    progress_detail: dict[str, Any] | None = None
    config: dict[str, Any] = {}
    result: dict[str, Any] | None = None
    error_message: str | None = None
    gpu_usage: dict[str, Any] | None = None
    author: UserRef | None = None
    attempts: list[dict[str, Any]] = []
    inputs: list[dict[str, Any]] = []
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None

    def refresh(self) -> "Task":
        """Read it again."""
        return self.client.tasks.get(self.uuid)

    def watch(self, *, last_event_id: str | None = None) -> Iterator[TaskEvent]:
        """Events as they happen, see :meth:`Tasks.watch`."""
        return self.client.tasks.watch(self, last_event_id=last_event_id)

    def wait(
        self,
        timeout: float | None = None,
        on_event: Callable[[TaskEvent], None] | None = None,
        *,
        check: bool = True,
    ) -> "Task":
        """Wait for the end, see :meth:`Tasks.wait`."""
        return self.client.tasks.wait(self, timeout, on_event, check=check)

    def cancel(self) -> "Task":
        """Ask it to stop; training saves a checkpoint first."""
        return self.client.tasks.cancel(self)

    def logs(self, *, follow: bool = False) -> Iterator[LogChunk]:
        """Its log, see :meth:`Tasks.logs`."""
        return self.client.tasks.logs(self, follow=follow)

    def metrics(self, *keys: str) -> dict[str, list[MetricPoint]]:
        """Its metrics by name, see :meth:`Tasks.metrics`."""
        return self.client.tasks.metrics(self, *keys)


TaskLike = Task | UUID | str
"""A task, its uuid, the start of one, or a name (then the newest of that name)."""


class Tasks(Group):
    """``client.tasks``."""

    def submit(
        self,
        spec: TaskSpec | Mapping[str, Any],
        *,
        name: str,
        project: ProjectLike | None = None,
        priority: int | None = None,
    ) -> Task:
        """Queue an evaluation, a quality report or an import.

        Training goes through ``client.experiments``, serving through ``client.deployments``.
        """
        body: dict[str, Any] = {"name": name, "spec": spec}
        if priority is not None:
            body["priority"] = priority
        path = f"{self._client.projects.path(project)}/tasks"
        return self._make(Task, self._http.post(path, body))

    def get(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Read one."""
        return self._get(Task, self.path(task, project))

    def cancel(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Ask it to stop; training saves a checkpoint first."""
        path = self.path(task, project)
        answer = self._http.post(f"{path}/cancel")
        return self._make(Task, answer) if answer else self._get(Task, path)

    def watch(
        self,
        task: TaskLike,
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

    def wait(
        self,
        task: TaskLike,
        timeout: float | None = None,
        on_event: Callable[[TaskEvent], None] | None = None,
        *,
        project: ProjectLike | None = None,
        check: bool = True,
    ) -> Task:
        """Wait until the task has ended, and return its last state.

        Args:
            task: which one.
            timeout: seconds to wait at most, to within the server's heartbeat.
            on_event: called with every event on the way.
            project: where to look for a name.
            check: raise when the task did not complete.

        Raises:
            TaskFailed: when it failed or was cancelled, and ``check``.
            WaitTimeout: after ``timeout`` seconds; the task goes on.
        """
        path = self.path(task, project)
        deadline = None if timeout is None else time.monotonic() + timeout
        for event in self._events(path, None, deadline):
            if event is not None and on_event is not None:
                on_event(event)
        last = self._get(Task, path)
        while not last.status.is_final:
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(f"{last.name} is still {last.status} after {timeout:g} s")
            time.sleep(0.2)
            last = self._get(Task, path)
        if check and last.status is not TaskStatus.COMPLETED:
            reason = f": {last.error_message}" if last.error_message else ""
            verb = "was cancelled" if last.status is TaskStatus.CANCELLED else "failed"
            raise TaskFailed(f"{last.name} {verb}{reason}", last)
        return last

    def logs(
        self,
        task: TaskLike,
        *,
        follow: bool = False,
        project: ProjectLike | None = None,
    ) -> Iterator[LogChunk]:
        """Its log from the beginning, in chunks of lines; with ``follow``, until the task ends."""
        if not follow:
            return iter(self._pages(LogChunk, f"{self.path(task, project)}/logs"))
        events = self.watch(task, project=project)
        return (self._make(LogChunk, event.data) for event in events if event.kind == "log")

    def metrics(
        self,
        task: TaskLike,
        *keys: str,
        limit: int | None = None,
        project: ProjectLike | None = None,
    ) -> dict[str, list[MetricPoint]]:
        """Its metrics by name, all of them or those of ``keys``; at most ``limit`` points each."""
        path = f"{self.path(task, project)}/metrics"
        answer = self._http.get(path, key=list(keys) or None, limit=limit)
        # NaN and infinities travel as text, which float() reads.
        return {
            name: [MetricPoint(int(step), float(value), float(at)) for step, value, at in points]
            for name, points in answer["series"].items()
        }

    def path(self, task: TaskLike, project: ProjectLike | None = None) -> str:
        """Where the task lives in the API."""
        return f"tasks/{self.resolve(task, project)}"

    def resolve(self, task: TaskLike, project: ProjectLike | None = None) -> UUID:
        """The uuid that is meant.

        Raises:
            NotFound: when no recent task of the project has the name.
        """
        if isinstance(task, Task):
            return task.uuid
        uuid = as_uuid(task)
        if uuid is not None:
            return uuid
        meant = str(task)
        for found in islice(self.list(project=project), _SEARCHED):
            if found.name == meant or (len(meant) >= 6 and str(found.uuid).startswith(meant)):
                return found.uuid
        raise NotFound(
            f"no task in this project is named {meant}",
            code="client.no_such_name",
            hint="`aiplatform tasks ls` shows them.",
        )

    def _events(
        self, path: str, last_id: str | None, deadline: float | None
    ) -> Iterator[TaskEvent | None]:
        """Events and heartbeats (``None``), until ``end`` or ``deadline``."""
        heard = time.monotonic()
        failures = 0
        shown: dict[str, str] = {}
        while True:
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
            if last_id is not None:
                headers["Last-Event-ID"] = last_id
            silence = _SILENCE_SECONDS
            if deadline is not None:
                silence = max(0.05, min(silence, deadline - time.monotonic()))
            token = self._http.tokens.current()
            try:
                with self._http.stream(
                    "GET", f"{path}/events", headers=headers, read_timeout=silence
                ) as response:
                    for event in server_events(response.iter_raw()):
                        heard = time.monotonic()
                        if event is None:
                            yield None
                        elif event.event == "error":
                            self._recover(event.data, token)
                            break
                        else:
                            failures = 0
                            last_id = event.id or last_id
                            # Every connection begins with the present state; said once is enough.
                            if event.event not in _STATES or shown.get(event.event) != event.data:
                                shown[event.event] = event.data
                                yield TaskEvent(event.event, _data(event.data), event.id)
                            if event.event == "end":
                                return
                        if deadline is not None and time.monotonic() >= deadline:
                            return
            except (httpx.TransportError, ServerUnavailable) as error:
                if deadline is not None and time.monotonic() >= deadline:
                    return
                if time.monotonic() - heard > _GIVE_UP_SECONDS:
                    if isinstance(error, httpx.TransportError):
                        raise unreachable(self._http.url, error) from error
                    raise
            # The stream ended without `end`: the server is being restarted, or a proxy cut it.
            time.sleep(back_off(failures))
            failures += 1

    def _recover(self, problem: str, token: str) -> None:
        """The server ended a stream: go on with a new token where the old one expired.

        Raises:
            ApiError: when the reason is another one.
        """
        document = _data(problem)
        error = error_in(document, int(document.get("status") or 0))
        if not isinstance(error, Unauthenticated) or self._http.tokens.renew(token) is None:
            raise error

    def list(
        self,
        *,
        project: ProjectLike | None = None,
        status: TaskStatus | str | None = None,
        type: TaskType | str | None = None,  # noqa: A002
        **filters: Any,
    ) -> Pages[Task]:
        """The tasks of a project, newest first."""
        path = f"{self._client.projects.path(project)}/tasks"
        return self._pages(Task, path, status=status, type=type, **filters)


def _data(text: str) -> dict[str, Any]:
    """The JSON of an event; anything but an object is kept under ``value``."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    return value if isinstance(value, dict) else {"value": value}
