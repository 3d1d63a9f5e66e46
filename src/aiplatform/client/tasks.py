"""Tasks: queued and running work, with its live events, logs, telemetry and artifacts."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

from aiplatform.client.base import Connection, Group, Pages, Resource, as_uuid
from aiplatform.client.downloads import download
from aiplatform.client.errors import ClientError, NotFound, TaskFailed, WaitTimeout
from aiplatform.client.event_streams import data_of, follow
from aiplatform.client.projects import ProjectLike, Projects
from aiplatform.client.transport import decoded
from aiplatform.language import tr
from aiplatform.protocol.enums import LogLevel, LogStream, TaskStatus, TaskType
from aiplatform.protocol.shapes.tasks import (
    ArtifactOut,
    LogChunkOut,
    LogLineOut,
    TaskEventOut,
    TaskOut,
    TaskUsageOut,
    TelemetryOut,
)
from aiplatform.protocol.specs import TaskSpec

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
                with ``task``.
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


class LogChunk(Resource, LogChunkOut):
    """Consecutive lines of one stream of a task's log; ``level`` is the highest level among them.

    If ``kept_bytes`` is set, the chunk stands for that many bytes of output beyond the rate limit.
    Only :meth:`TaskLogs.download_log` and :meth:`TaskLogs.search_logs` return those lines.
    """


class LogLine(Resource, LogLineOut):
    """A line of a task's log; ``number`` is its position, from 0, in the chunk ``seq``."""


class TaskLogs(TaskEvents):
    """The methods of ``client.tasks`` for logs."""

    def logs(
        self,
        task: TaskLike,
        *,
        follow: bool = False,
        after: int = 0,
        stream: LogStream | str | None = None,
        project: ProjectLike | None = None,
    ) -> Iterator[LogChunk]:
        """Read the log of a task from the start, in chunks of lines.

        Args:
            task: the task.
            follow: wait for new lines until the task ends.
            after: with ``follow``, start after the chunk with this ``seq``.
            stream: only lines of this stream.
            project: the project in which to look up a name.
        """
        path = f"{self.path(task, project)}/logs"
        if not follow:
            return iter(self._pages(LogChunk, path, stream=stream))
        chunks = self._follow_log(path, after)
        return (chunk for chunk in chunks if stream is None or chunk.stream == stream)

    def _follow_log(self, path: str, after: int) -> Iterator[LogChunk]:
        events = follow(
            self._http, f"{path}/stream", last_id=f"0-0-{after}", silence=SILENCE_SECONDS
        )
        for event in events:
            if event is not None and event.event == "log":
                yield self._make(LogChunk, data_of(event.data))
            elif event is not None and event.event == "end":
                return

    def search_logs(
        self,
        task: TaskLike,
        text: str | None = None,
        *,
        level: LogLevel | str | None = None,
        stream: LogStream | str | None = None,
        attempt: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        project: ProjectLike | None = None,
        limit: int | None = None,
    ) -> Pages[LogLine]:
        """Search the lines of a task's log; results are in order.

        Args:
            task: the task.
            text: text that the line contains; case is ignored.
            level: this level and more severe ones.
            stream: only lines of this stream.
            attempt: only lines of this attempt.
            since: only lines printed at this time (with a time zone) or later.
            until: only lines printed before this time.
            project: the project in which to look up a name.
            limit: the largest number of lines.
        """
        return self._pages(
            LogLine,
            f"{self.path(task, project)}/logs/search",
            q=text,
            level=level,
            stream=stream,
            attempt=attempt,
            since=None if since is None else since.isoformat(),
            until=None if until is None else until.isoformat(),
            limit=limit,
        )

    def download_log(
        self,
        task: TaskLike,
        path: str | Path,
        *,
        stream: LogStream | str | None = None,
        gz: bool = False,
        times: bool = False,
        project: ProjectLike | None = None,
    ) -> Path:
        """Write all stored lines of a task's log to a file, and return its path.

        With ``gz``, the file is compressed. With ``times``, each line starts with its time, stream
        and level.
        """
        return download(
            self._http,
            f"{self.path(task, project)}/logs/download",
            Path(path),
            params={"stream": stream, "gz": gz, "times": times},
        )


class TelemetryPoint(NamedTuple):
    """The mean, minimum and maximum in an interval.

    ``time`` is the start of the interval, in seconds since the epoch.
    """

    time: float
    mean: float
    least: float
    most: float


class Telemetry(Resource, TelemetryOut):
    """Resource usage over time: a curve for each key, such as ``memory_mb``.

    :class:`~aiplatform.protocol.shapes.tasks.TelemetryOut` lists the keys. ``note`` is "no GPU" if
    the machine has none.
    """

    series: dict[str, list[TelemetryPoint]] = {}  # type: ignore[assignment]


class TaskUsage(Resource, TaskUsageOut):
    """The resources that a task has used; ``cost`` is None if no prices are configured."""

    # In the SDK, the attempts are plain JSON values.
    attempts: list[dict[str, Any]] = []  # type: ignore[assignment]


class TimelineEvent(Resource, TaskEventOut):
    """An event of a task's timeline."""


class TaskTelemetry(TaskEvents):
    """The methods of ``client.tasks`` for telemetry."""

    def telemetry(
        self,
        task: TaskLike,
        *keys: str,
        points: int | None = None,
        attempt: int | None = None,
        since: datetime | None = None,
        project: ProjectLike | None = None,
    ) -> Telemetry:
        """Return the resource usage of a task over time, with at most ``points`` points per curve.

        ``keys`` limits the result to these curves.
        """
        return self._make(
            Telemetry,
            self._http.get(
                f"{self.path(task, project)}/telemetry",
                key=list(keys) or None,
                points=points,
                attempt=attempt,
                since=None if since is None else since.isoformat(),
            ),
        )

    def usage(self, task: TaskLike, *, project: ProjectLike | None = None) -> TaskUsage:
        """Return the GPU hours, CPU hours and cost of all attempts so far."""
        return self._get(TaskUsage, f"{self.path(task, project)}/usage")

    def timeline(
        self, task: TaskLike, *, project: ProjectLike | None = None, limit: int | None = None
    ) -> Pages[TimelineEvent]:
        """List the events of a task's timeline, in order."""
        return self._pages(TimelineEvent, f"{self.path(task, project)}/timeline", limit=limit)


class Artifact(Resource, ArtifactOut):
    """A file that a task left as a result. ``size`` is in bytes."""


def artifacts_of(client: Connection, task: UUID, *, limit: int | None = None) -> Pages[Artifact]:
    """List a task's artifacts, ordered by path."""

    def made(item: object) -> Artifact:
        artifact = Artifact.read_answer(item)
        artifact.bind(client)
        return artifact

    return Pages(
        lambda cursor, size: client.transport.get(
            f"tasks/{task}/artifacts", cursor=cursor, limit=size
        ),
        made,
        limit=limit,
    )


def download_artifacts(
    client: Connection, task: UUID, artifacts: Iterable[Artifact], directory: Path
) -> list[Path]:
    """Download artifacts to ``directory`` and check each file against its hash.

    Raises:
        ClientError: if an artifact's path would lead out of the directory.
    """
    root = directory.resolve()
    fetched = []
    for artifact in artifacts:
        target = (root / artifact.path).resolve()
        if not target.is_relative_to(root):
            raise ClientError(
                tr(
                    "the artifact {path!r} would lie outside {directory}",
                    path=artifact.path,
                    directory=directory,
                )
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        path = f"tasks/{task}/artifacts/{quote(artifact.path)}"
        fetched.append(download(client.transport, path, target, sha256=artifact.sha256))
    return fetched


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
        """Queue the failed task again, and return the new task; see :meth:`Tasks.retry`."""
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
        """Download all artifacts to a directory, and check each against its hash."""
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
        """Pause a task. A running task stops at a checkpoint; ``stop_wanted`` is set until then."""
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
            Conflict: if the task neither failed nor was cancelled, or was already retried.
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
        """Change the priority of a waiting task to 1 to 10; higher priorities start first.

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
            timeout: the maximum number of seconds to wait; accurate to the interval of the server's
                heartbeats.
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
        """Return the metrics of a task by name: all of them, or only ``keys``.

        Args:
            task: the task.
            keys: the names of the series.
            limit: return only this many points of each series, the newest ones.
            points: instead, downsample each series to at most this many points, keeping its peaks.
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
