"""Tasks: what is queued and running, watched live."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from aiplatform.client.artifacts import Artifact, artifacts_of, download_artifacts
from aiplatform.client.base import Resource, UserRef, as_uuid
from aiplatform.client.errors import NotFound, TaskFailed, WaitTimeout
from aiplatform.client.paging import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.task_logs import LogChunk, TaskLogs
from aiplatform.client.task_telemetry import TaskTelemetry
from aiplatform.client.task_watching import TaskEvent
from aiplatform.client.transport import decoded
from aiplatform.language import tr
from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.specs import TaskSpec

_SEARCHED = 500
"""The tasks among which the start of a uuid is looked for."""

START_OF_UUID = re.compile(r"[0-9a-f-]{6,36}")


class MetricPoint(NamedTuple):
    """A value at a step; ``time`` is seconds since the epoch."""

    step: int
    value: float
    time: float


class Waiting(BaseModel):
    """Why a task waits; ``ahead`` is None in lists of very long queues."""

    model_config = ConfigDict(extra="allow")

    ahead: int | None = None
    reason: str = ""
    reason_zh: str = ""
    not_before: datetime | None = None
    blocked: bool = True


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
    waiting: Waiting | None = None
    labels: list[str] = []
    preemptible: bool | None = None
    stop_wanted: str | None = None
    retry_of: UUID | None = None
    after: list[dict[str, Any]] = []
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
    nodes: list[dict[str, Any]] = []
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

    def pause(self) -> "Task":
        """Ask it to pause; training saves a checkpoint first."""
        return self.client.tasks.pause(self)

    def resume(self) -> "Task":
        """Let it go on after a pause."""
        return self.client.tasks.resume(self)

    def retry(self, *, override_gate: str | None = None) -> "Task":
        """Queue it again after it failed, see :meth:`Tasks.retry`; returns the new task."""
        return self.client.tasks.retry(self, override_gate=override_gate)

    def set_priority(self, priority: int) -> "Task":
        """Change its priority while it waits, see :meth:`Tasks.set_priority`."""
        return self.client.tasks.set_priority(self, priority)

    def move(self, before: "TaskLike | None" = None) -> "Task":
        """Move it within its project's line, see :meth:`Tasks.move`."""
        return self.client.tasks.move(self, before)

    def logs(self, *, follow: bool = False) -> Iterator[LogChunk]:
        """Its log, see :meth:`Tasks.logs`."""
        return self.client.tasks.logs(self, follow=follow)

    def metrics(self, *keys: str) -> dict[str, list[MetricPoint]]:
        """Its metrics by name, see :meth:`Tasks.metrics`."""
        return self.client.tasks.metrics(self, *keys)

    def artifacts(self, *, limit: int | None = None) -> Pages[Artifact]:
        """The files that it has left, by path."""
        return artifacts_of(self.client, self.uuid, limit=limit)

    def download_artifacts(self, directory: Path | str = ".") -> list[Path]:
        """Fetch all of them below a directory, each checked against its hash."""
        return download_artifacts(self.client, self.uuid, self.artifacts(), Path(directory))


TaskLike = Task | UUID | str
"""A task, its uuid, the start of one, or a name (then the newest of that name)."""


class Tasks(TaskLogs, TaskTelemetry):
    """``client.tasks``."""

    def submit(
        self,
        spec: TaskSpec | Mapping[str, Any],
        *,
        name: str,
        project: ProjectLike | None = None,
        priority: int | None = None,
        after: Sequence[TaskLike] = (),
        after_any: Sequence[TaskLike] = (),
        idempotency_key: str | None = None,
    ) -> Task:
        """Queue an evaluation, a quality report or an import.

        Training goes through ``client.experiments``, serving through ``client.deployments``.

        Args:
            spec: what is to be done.
            name: what people call it.
            project: where; by default the client's.
            priority: 1 to 10, higher first.
            after: tasks that must succeed first; when one fails, so does this.
            after_any: tasks that must end first, however.
            idempotency_key: sent again with the same request within a day, it queues nothing and
                returns the task of the first time.
        """
        body: dict[str, Any] = {"name": name, "spec": spec}
        if priority is not None:
            body["priority"] = priority
        body |= self.needs(after, after_any, project)
        path = f"{self._client.projects.path(project)}/tasks"
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        response = self._http.request("POST", path, json=body, headers=headers)
        return self._make(Task, decoded(response))

    def needs(
        self,
        after: Sequence[TaskLike],
        after_any: Sequence[TaskLike],
        project: ProjectLike | None = None,
    ) -> dict[str, Any]:
        """The field of a request that names tasks which must end first; nothing without any."""
        needs = [("ok", task) for task in after] + [("any", task) for task in after_any]
        named = [
            {"task": str(self.resolve(task, project)), "condition": condition}
            for condition, task in needs
        ]
        return {"after": named} if named else {}

    def submit_batch(
        self, tasks: Sequence[Mapping[str, Any]], *, project: ProjectLike | None = None
    ) -> list[Task]:
        """Queue up to 500 tasks in one request, all or none::

            client.tasks.submit_batch([
                {"name": f"report {n}", "spec": spec, "idempotency_key": f"reports-{n}"}
                for n, spec in enumerate(specs)
            ])

        Args:
            tasks: each with ``name`` and ``spec``, and perhaps ``priority``, ``after`` (a list of
                ``{"task": UUID, "condition": "ok" or "any"}``) and ``idempotency_key``. Keys are of
                all tasks or of none; what was queued under one within a day is returned again.
            project: where; by default the client's.
        """
        path = f"{self._client.projects.path(project)}/tasks/batch"
        answer = self._http.post(path, {"tasks": list(tasks)})
        return self._make_all(Task, answer["items"])

    def get(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Read one."""
        return self._get(Task, self.path(task, project))

    def cancel(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Ask it to stop; training saves a checkpoint first."""
        path = self.path(task, project)
        answer = self._http.post(f"{path}/cancel")
        return self._make(Task, answer) if answer else self._get(Task, path)

    def pause(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Ask it to pause; a running one stops at a checkpoint, and ``stop_wanted`` until then."""
        return self._act(task, "pause", project)

    def resume(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Let a paused task go back to the queue, to go on from its checkpoint."""
        return self._act(task, "resume", project)

    def retry(
        self,
        task: TaskLike,
        *,
        override_gate: str | None = None,
        project: ProjectLike | None = None,
    ) -> Task:
        """Queue a task that failed or was cancelled again; returns the new task.

        Args:
            override_gate: why a training goes on although the data fails the project's quality
                gate.

        Raises:
            Conflict: when it has not failed, or was retried already.
        """
        body = None if override_gate is None else {"override_gate": override_gate}
        return self._act(task, "retry", project, body)

    def _act(
        self,
        task: TaskLike,
        action: str,
        project: ProjectLike | None,
        body: dict[str, Any] | None = None,
    ) -> Task:
        return self._make(Task, self._http.post(f"{self.path(task, project)}/{action}", body))

    def set_priority(
        self, task: TaskLike, priority: int, *, project: ProjectLike | None = None
    ) -> Task:
        """Give a task that waits another priority, 1 to 10, higher first.

        Raises:
            Conflict: when it runs or has ended.
            PreconditionFailed: when it was changed since ``task`` was read.
        """
        return self._patch(Task, self.path(task, project), task, {"priority": priority})

    def move(
        self,
        task: TaskLike,
        before: TaskLike | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> Task:
        """Put a waiting task right before another of its project, by default before all of them."""
        other = None if before is None else str(self.resolve(before, project))
        path = f"{self.path(task, project)}/move"
        return self._make(Task, self._http.post(path, {"before": other}))

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
            on_event: called with every event on the way; one of kind ``waiting`` says what keeps
                the task from starting.
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
                raise WaitTimeout(
                    tr(
                        "{name} is still {status} after {timeout:g} s",
                        name=last.name,
                        status=last.status,
                        timeout=timeout,
                    )
                )
            time.sleep(0.2)
            last = self._get(Task, path)
        if check and last.status is not TaskStatus.COMPLETED:
            reason = tr(": {reason}", reason=last.error_message) if last.error_message else ""
            if last.status is TaskStatus.CANCELLED:
                message = tr("{name} was cancelled{reason}", name=last.name, reason=reason)
            else:
                message = tr("{name} failed{reason}", name=last.name, reason=reason)
            raise TaskFailed(message, last)
        return last

    def metrics(
        self,
        task: TaskLike,
        *keys: str,
        limit: int | None = None,
        points: int | None = None,
        first: int | None = None,
        last: int | None = None,
        project: ProjectLike | None = None,
    ) -> dict[str, list[MetricPoint]]:
        """Its metrics by name, all of them or those of ``keys``.

        Args:
            task: whose.
            keys: which series.
            limit: the last so many points of each.
            points: draw each with at most so many points instead, so that no peak is lost.
            first: the first step.
            last: the last step.
            project: where to look for a name.
        """
        path = f"{self.path(task, project)}/metrics"
        bounds = {"limit": limit, "points": points, "first": first, "last": last}
        answer = self._http.get(path, key=list(keys) or None, **bounds)
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
            NotFound: when the project has no task of the name, nor a recent one whose uuid begins
                so.
        """
        if isinstance(task, Task):
            return task.uuid
        uuid = as_uuid(task)
        if uuid is not None:
            return uuid
        meant = str(task)
        named = self.list(project=project, name=meant).first()
        if named is not None and named.name == meant:
            return named.uuid
        if START_OF_UUID.fullmatch(meant.lower()):
            for found in islice(self.list(project=project), _SEARCHED):
                if str(found.uuid).startswith(meant.lower()):
                    return found.uuid
        raise NotFound(
            tr("no task in this project is named {meant}", meant=meant),
            code="client.no_such_name",
            hint=tr("`aiplatform tasks ls` shows them."),
        )

    def list(
        self,
        *,
        project: ProjectLike | None = None,
        status: TaskStatus | str | None = None,
        type: TaskType | str | None = None,  # noqa: A002
        name: str | None = None,
        limit: int | None = None,
        **filters: Any,
    ) -> Pages[Task]:
        """The tasks of a project, newest first; of a ``name``, those that have just that."""
        path = f"{self._client.projects.path(project)}/tasks"
        return self._pages(Task, path, status=status, type=type, name=name, limit=limit, **filters)
