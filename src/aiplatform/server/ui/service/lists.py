"""Live changes to projects' tasks and deployments, for lists in the browser.

One reader per API process serves all watchers. Once a second, it reads the tasks named in
notifications and the deployments of the watched projects, and checks the permissions of all
watchers. If changes may have been missed, it sends the event ``resync``, and the page then reads
the list again.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import structlog
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound, Problem
from aiplatform.server.core.events import Listener
from aiplatform.server.projects.access import ProjectContext, find_revocations
from aiplatform.server.ui import queries

log = structlog.get_logger(__name__)
ListTopic = Literal["tasks", "deployments"]
LISTS: dict[str, Permission] = {
    "tasks": Permission.TASKS_READ,
    "deployments": Permission.INFERENCE_READ,
}
READ_SECONDS = 1.0
MAX_CHANGED = 500
"""Maximum number of changed tasks in one read.

If more have changed, pages read their lists again.
"""
RESYNC = b"event: resync\nid: 1\ndata: {}\n\n"
READY = b'event: ready\nid: 1\ndata: {"unread":null}\n\n'
Key = tuple[ListTopic, int]
"""The key of a list: its topic and its project's id."""


@dataclass(slots=True, eq=False)
class ListWatcher:
    """One open stream of a list. ``gone`` is set when the caller may no longer see the list."""

    context: ProjectContext
    frames: list[bytes] = field(default_factory=list)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    gone: Problem | None = None

    def give(self, data: bytes) -> None:
        """Queue ``data`` for sending. A watcher that reads too slowly must read its list again."""
        if len(self.frames) > MAX_CHANGED:
            self.frames.clear()
            data = RESYNC
        self.frames.append(data)
        self.woken.set()


class ListFeeds:
    """The lists watched on this API process, and the asyncio task that reads their changes."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._watchers: dict[Key, set[ListWatcher]] = defaultdict(set)
        self._changed: set[UUID] = set()
        self._resync: set[int] = set()
        self._missed = False
        self._deployments: dict[int, dict[UUID, Any]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def watch(
        self,
        topic: ListTopic,
        context: ProjectContext,
        render_problem: Callable[[Problem], bytes],
        *,
        resumed: bool,
    ) -> AsyncIterator[bytes]:
        """Yield changes to a list until the caller may no longer see it.

        ``resumed`` is true if the browser continues an earlier stream and so must read the list
        again.
        """
        watcher = ListWatcher(context)
        key = (topic, context.project_id)
        self._watchers[key].add(watcher)
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._run(), name="lists")
        try:
            # This event sets the first position, so that a reconnecting browser is told to read the
            # list.
            yield RESYNC if resumed else READY
            while watcher.gone is None:
                await watcher.woken.wait()
                watcher.woken.clear()
                data = b"".join(watcher.frames)
                watcher.frames.clear()
                if data and watcher.gone is None:
                    yield data
            yield render_problem(watcher.gone)
        finally:
            self._watchers[key].discard(watcher)
            if not self._watchers[key]:
                del self._watchers[key]

    def close(self) -> None:
        """Stop the task that reads changes."""
        if self._reader is not None:
            self._reader.cancel()

    def _note_task(self, uuid: str | None) -> None:
        if uuid is None:
            self._missed = True
        else:
            with contextlib.suppress(ValueError):
                self._changed.add(UUID(uuid))

    def _note_submission(self, project_id: str | None) -> None:
        if project_id is not None and project_id.isdecimal():
            self._resync.add(int(project_id))

    async def _run(self) -> None:
        with (
            self._listener.follow("task", self._note_task),
            self._listener.follow("tasks", self._note_submission),
        ):
            while self._watchers:
                try:
                    await self._distribute()
                except SQLAlchemyError as error:
                    # If the database is unreachable for long, CredentialWatcher ends the streams.
                    log.warning("could not read what is new", error=str(error)[:200])
                    self._missed = True
                await asyncio.sleep(READ_SECONDS)

    async def _distribute(self) -> None:
        changed, self._changed = self._changed, set()
        resync, self._resync = self._resync, set()
        missed, self._missed = self._missed or len(changed) > MAX_CHANGED, False
        asked = {key: list(watchers) for key, watchers in self._watchers.items()}
        found = await run_sync(_read, asked, set() if missed else changed)
        for watcher, problem in found.refused:
            watcher.gone = problem
            watcher.woken.set()
        for key, watchers in asked.items():
            topic, project_id = key
            if topic == "tasks" and (missed or project_id in resync):
                data = RESYNC
            elif topic == "tasks":
                data = _frame(topic, found.tasks.get(project_id))
            else:
                data = self._deployment_changes(project_id, found.deployments.get(project_id, {}))
            if data:
                for watcher in watchers:
                    watcher.give(data)
        watched = {project_id for topic, project_id in asked if topic == "deployments"}
        self._deployments = {id_: found.deployments.get(id_, {}) for id_ in watched}

    def _deployment_changes(self, project_id: int, now: dict[UUID, Any]) -> bytes:
        before = self._deployments.get(project_id)
        if before is None:
            return b""  # the page reads the list once it has begun to watch it
        if before.keys() - now.keys():
            return RESYNC
        return _frame("deployments", [row for uuid, row in now.items() if before.get(uuid) != row])


@dataclass(frozen=True, slots=True)
class Found:
    """The changes found by one read, and the watchers that have lost their permission."""

    tasks: dict[int, list[Any]]
    deployments: dict[int, dict[UUID, Any]]
    refused: list[tuple[ListWatcher, Problem]]


def _read(asked: dict[Key, list[ListWatcher]], changed: set[UUID]) -> Found:
    tasks: dict[int, list[Any]] = defaultdict(list)
    deployments: dict[int, dict[UUID, Any]] = defaultdict(dict)
    refused: list[tuple[ListWatcher, Problem]] = []
    projects: dict[ListTopic, list[int]] = {"tasks": [], "deployments": []}
    for topic, project_id in asked:
        projects[topic].append(project_id)
    with transaction() as session:
        if changed and projects["tasks"]:
            for row in queries.changed_tasks(session, changed, projects["tasks"]):
                tasks[row.project_id].append(_item(row))
        if projects["deployments"]:
            for row in queries.deployment_states(session, projects["deployments"]):
                deployments[row.project_id][row.uuid] = _item(row)
        for (topic, _), watchers in asked.items():
            contexts = [watcher.context for watcher in watchers]
            problems = find_revocations(
                session, contexts, LISTS[topic], hidden=NotFound(resource="project")
            )
            refused += [
                (watcher, problem)
                for watcher, problem in zip(watchers, problems, strict=True)
                if problem is not None
            ]
    return Found(tasks, deployments, refused)


def _item(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row._asdict().items() if name != "project_id"}


def _frame(topic: ListTopic, items: list[Any] | None) -> bytes:
    if not items:
        return b""
    return f"event: {topic}\nid: 1\ndata: {dumps({'items': items})}\n\n".encode()
