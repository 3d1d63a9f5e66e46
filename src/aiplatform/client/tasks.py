"""Tasks: queued and running work, which can be watched live."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aiplatform.client.artifacts import Artifact, artifacts_of, download_artifacts
from aiplatform.client.base import Resource
from aiplatform.client.errors import TaskFailed, WaitTimeout
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.task_events import TaskEvent
from aiplatform.client.task_logs import LogChunk, TaskLogs
from aiplatform.client.task_paths import TaskLike
from aiplatform.client.task_telemetry import TaskTelemetry
from aiplatform.client.transport import decoded
from aiplatform.language import tr
from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.protocol.specs import TaskSpec


class MetricPoint(NamedTuple):
    """The value of a metric at a step; ``time`` is in seconds since the epoch."""

    step: int
    value: float
    time: float


class Task(Resource, TaskOut):
    """One queued piece of work.

    ``after``, ``attempts``, ``nodes`` and ``inputs`` are not set in lists.
    """

    after: list[dict[str, Any]] = []
    attempts: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []
    inputs: list[dict[str, Any]] = []

    def refresh(self) -> "Task":
        """Read the task again."""
        return Tasks(self._client).get(self.uuid)

    def watch(self, *, last_event_id: str | None = None) -> Iterator[TaskEvent]:
        """Yield the task's events as they happen; see :meth:`Tasks.watch`."""
        return Tasks(self._client).watch(self, last_event_id=last_event_id)

    def wait(
        self,
        timeout: float | None = None,
        on_event: Callable[[TaskEvent], None] | None = None,
        *,
        check: bool = True,
    ) -> "Task":
        """Wait until the task has ended; see :meth:`Tasks.wait`."""
        return Tasks(self._client).wait(self, timeout, on_event, check=check)

    def cancel(self) -> "Task":
        """Cancel the task; a training run saves a checkpoint first."""
        return Tasks(self._client).cancel(self)

    def pause(self) -> "Task":
        """Pause the task; a training run saves a checkpoint first."""
        return Tasks(self._client).pause(self)

    def resume(self) -> "Task":
        """Resume the task after a pause."""
        return Tasks(self._client).resume(self)

    def retry(self, *, override_gate: str | None = None) -> "Task":
        """Queue the task again after it failed; see :meth:`Tasks.retry`; return the new task."""
        return Tasks(self._client).retry(self, override_gate=override_gate)

    def set_priority(self, priority: int) -> "Task":
        """Change the priority of the task while it waits; see :meth:`Tasks.set_priority`."""
        return Tasks(self._client).set_priority(self, priority)

    def move(self, before: TaskLike | None = None) -> "Task":
        """Move the task in the queue of its project; see :meth:`Tasks.move`."""
        return Tasks(self._client).move(self, before)

    def logs(self, *, follow: bool = False) -> Iterator[LogChunk]:
        """Read the log of the task; see :meth:`Tasks.logs`."""
        return Tasks(self._client).logs(self, follow=follow)

    def metrics(self, *keys: str) -> dict[str, list[MetricPoint]]:
        """Return the task's metrics by name; see :meth:`Tasks.metrics`."""
        return Tasks(self._client).metrics(self, *keys)

    def artifacts(self, *, limit: int | None = None) -> Pages[Artifact]:
        """List the artifacts of the task, ordered by path."""
        return artifacts_of(self._client, self.uuid, limit=limit)

    def download_artifacts(self, directory: Path | str = ".") -> list[Path]:
        """Download all artifacts below a directory, and check each against its hash."""
        return download_artifacts(self._client, self.uuid, self.artifacts(), Path(directory))


class Tasks(TaskLogs, TaskTelemetry):
    """The operations on tasks (``client.tasks``)."""

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

        To train, use ``client.experiments``; to serve a model, use ``client.deployments``.

        Args:
            spec: the spec of the task.
            name: the name of the task.
            project: the project; by default the client's.
            priority: 1 to 10; higher priorities start first.
            after: tasks that must succeed before this task starts; if one fails, so does this task.
            after_any: tasks that must end before this task starts, with any result.
            idempotency_key: a key for repeated requests. The same request with the same key within
                a day queues nothing and returns the first request's task.
        """
        body: dict[str, Any] = {"name": name, "spec": spec}
        if priority is not None:
            body["priority"] = priority
        body |= self.needs(after, after_any, project)
        path = f"{Projects(self._client).path(project)}/tasks"
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        response = self._http.request("POST", path, json=body, headers=headers)
        return self._make(Task, decoded(response))

    def needs(
        self,
        after: Sequence[TaskLike],
        after_any: Sequence[TaskLike],
        project: ProjectLike | None = None,
    ) -> dict[str, Any]:
        """Return the request field that names the tasks to wait for; empty if there are none."""
        needs = [("ok", task) for task in after] + [("any", task) for task in after_any]
        named = [
            {"task": str(self.resolve(task, project)), "condition": condition}
            for condition, task in needs
        ]
        return {"after": named} if named else {}

    def submit_batch(
        self, tasks: Sequence[Mapping[str, Any]], *, project: ProjectLike | None = None
    ) -> list[Task]:
        """Queue up to 500 tasks in one request; either all are queued or none.

        For example::

            client.tasks.submit_batch([
                {"name": f"report {n}", "spec": spec, "idempotency_key": f"reports-{n}"}
                for n, spec in enumerate(specs)
            ])

        Args:
            tasks: mappings with ``name`` and ``spec``, and optionally ``priority``, ``after`` (a
                list of ``{"task": UUID, "condition": "ok" or "any"}``) and ``idempotency_key``.
                Either all tasks have a key or none. A task that was queued under its key within a
                day is returned again.
            project: the project; by default the client's.
        """
        path = f"{Projects(self._client).path(project)}/tasks/batch"
        answer = self._http.post(path, {"tasks": list(tasks)})
        return self._make_all(Task, answer["items"])

    def get(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Read a task."""
        return self._get(Task, self.path(task, project))

    def cancel(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Cancel a task; a training run saves a checkpoint first."""
        path = self.path(task, project)
        answer = self._http.post(f"{path}/cancel")
        return self._make(Task, answer) if answer else self._get(Task, path)

    def pause(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Pause a task. A running one stops at a checkpoint; until then, ``stop_wanted`` is set."""
        return self._act(task, "pause", project)

    def resume(self, task: TaskLike, *, project: ProjectLike | None = None) -> Task:
        """Resume a paused task: it returns to the queue and continues from its checkpoint."""
        return self._act(task, "resume", project)

    def retry(
        self,
        task: TaskLike,
        *,
        override_gate: str | None = None,
        project: ProjectLike | None = None,
    ) -> Task:
        """Queue a failed or cancelled task again, and return the new task.

        Args:
            task: the task.
            override_gate: the reason to train although the data fails the project's quality gate.
            project: the project in which to look up a name.

        Raises:
            Conflict: if the task has not failed, or was retried already.
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
        """Change the priority of a waiting task: from 1 to 10, where higher ones start first.

        Raises:
            Conflict: if the task is running or has ended.
            PreconditionFailed: if it was changed since ``task`` was read.
        """
        return self._patch(Task, self.path(task, project), task, {"priority": priority})

    def move(
        self,
        task: TaskLike,
        before: TaskLike | None = None,
        *,
        project: ProjectLike | None = None,
    ) -> Task:
        """Move a waiting task before another one of its project, by default before all of them."""
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
        """Wait until the task has ended, and return its final state.

        Args:
            task: the task.
            timeout: seconds to wait at most; accurate to the interval of the server's heartbeats.
            on_event: called with each event; an event of kind ``waiting`` says why the task can't
                start.
            project: the project in which to look up a name.
            check: raise an exception if the task did not complete.

        Raises:
            TaskFailed: if the task failed or was cancelled, and ``check`` is set.
            WaitTimeout: after ``timeout`` seconds; the task continues.
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
        """Return the metrics of a task by name, all of them or those of ``keys``.

        Args:
            task: the task.
            keys: the names of the series.
            limit: return only this number of the newest points of each series.
            points: instead, reduce each series to at most this number of points, so that peaks
                remain.
            first: the first step whose points are returned.
            last: the last step whose points are returned.
            project: the project in which to look up a name.
        """
        path = f"{self.path(task, project)}/metrics"
        bounds = {"limit": limit, "points": points, "first": first, "last": last}
        answer = self._http.get(path, key=list(keys) or None, **bounds)
        # NaN and infinities are sent as text, which float() accepts.
        return {
            name: [MetricPoint(int(step), float(value), float(at)) for step, value, at in points]
            for name, points in answer["series"].items()
        }

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
        """List the tasks of a project, newest first; ``name`` must match exactly."""
        path = f"{Projects(self._client).path(project)}/tasks"
        return self._pages(Task, path, status=status, type=type, name=name, limit=limit, **filters)
