"""Waiting for something on the server, by looking."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from aiplatform.client.errors import ApiError, WaitTimeout
from aiplatform.client.task_watching import TaskEvent
from aiplatform.language import tr
from aiplatform.protocol.enums import TaskStatus

if TYPE_CHECKING:
    from aiplatform.client.client import Client

T = TypeVar("T")


def poll(
    look: Callable[[], T],
    done: Callable[[T], bool],
    *,
    timeout: float | None,
    what: str,
    first: float = 0.25,
    longest: float = 2.0,
) -> T:
    """Look until ``done`` says so, less often as time passes.

    Raises:
        WaitTimeout: after ``timeout`` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = first
    while True:
        seen = look()
        if done(seen):
            return seen
        if deadline is not None and time.monotonic() + pause > deadline:
            raise WaitTimeout(tr("{what} after {timeout:g} s", what=what, timeout=timeout))
        time.sleep(pause)
        pause = min(pause * 1.3, longest)


class WaitingReasons:
    """Calls ``on_event`` with an event ``waiting`` whenever the reason why a task waits changes.

    It is for callers who wait for a deployment, a report or a search by reading that itself. A
    caller who may not read tasks is told nothing.
    """

    def __init__(self, client: "Client", on_event: Callable[[TaskEvent], None] | None) -> None:
        self._client = client
        self._on_event = on_event
        self._told = ""

    @property
    def wanted(self) -> bool:
        """True if somebody is told the reasons."""
        return self._on_event is not None

    def look(self, task: UUID | None) -> None:
        """Read the task, and tell why it waits unless that was told already."""
        if self._on_event is None or task is None:
            return
        try:
            found = self._client.tasks.get(task)
        except ApiError:
            # The task is told about in passing. What is wrong for the wait itself fails there.
            return
        waiting = found.waiting
        if found.status is not TaskStatus.PENDING or waiting is None or not waiting.blocked:
            return
        if waiting.reason != self._told:
            self._told = waiting.reason
            self._on_event(TaskEvent("waiting", waiting.model_dump(mode="json")))
