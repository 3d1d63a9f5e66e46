"""Logs of tasks: read, follow, search and download them."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from aiplatform.client.base import Resource
from aiplatform.client.downloads import download
from aiplatform.client.event_streams import data_of, follow
from aiplatform.client.pages import Pages
from aiplatform.client.projects import ProjectLike
from aiplatform.client.task_events import SILENCE_SECONDS, TaskEvents
from aiplatform.client.task_paths import TaskLike
from aiplatform.protocol.enums import LogLevel, LogStream
from aiplatform.protocol.shapes.tasks import LogChunkOut, LogLineOut


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
