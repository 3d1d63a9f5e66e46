"""Waiting for changes on the server by polling."""

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from aiplatform.client.base import Connection
from aiplatform.client.errors import ApiError, WaitTimeout
from aiplatform.client.tasks import TaskEvent, Tasks
from aiplatform.language import tr
from aiplatform.protocol.enums import TaskStatus

T = TypeVar("T")


def poll(
    fetch: Callable[[], T],
    done: Callable[[T], bool],
    *,
    timeout: float | None,
    what: str,
    first_interval: float = 0.25,
    max_interval: float = 2.0,
) -> T:
    """Call ``fetch`` until ``done`` accepts its result, with increasing pauses; return the result.

    Args:
        fetch: reads the current state from the server.
        done: returns True if the state is the awaited one.
        timeout: the maximum number of seconds to wait; None waits without limit.
        what: the beginning of the error message, such as "the deployment had not stopped".
        first_interval: seconds between the first two calls.
        max_interval: the longest pause, in seconds.

    Raises:
        WaitTimeout: after ``timeout`` seconds.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    interval = first_interval
    while True:
        value = fetch()
        if done(value):
            return value
        if deadline is not None and time.monotonic() + interval > deadline:
            raise WaitTimeout(tr("{what} after {timeout:g} s", what=what, timeout=timeout))
        time.sleep(interval)
        interval = min(interval * 1.3, max_interval)


class WaitingReasonReporter:
    """A reporter that calls ``on_event`` whenever the reason why a task is waiting changes.

    It is used while a caller waits for a deployment, a report or a sweep. If the user may not read
    tasks, no event is reported.
    """

    def __init__(self, client: Connection, on_event: Callable[[TaskEvent], None] | None) -> None:
        self._client = client
        self._on_event = on_event
        self._reported_reason = ""

    @property
    def wanted(self) -> bool:
        """True if there is a callback to which reasons are reported."""
        return self._on_event is not None

    def report(self, task: UUID | None) -> None:
        """Read the task, and report the reason why it is waiting if that has changed."""
        if self._on_event is None or task is None:
            return
        try:
            found = Tasks(self._client).get(task)
        except ApiError:
            # The reason is only additional information. An error that matters to the caller will
            # also occur in the caller's own requests.
            return
        waiting = found.waiting
        if found.status is not TaskStatus.PENDING or waiting is None or not waiting.blocked:
            return
        if waiting.reason != self._reported_reason:
            self._reported_reason = waiting.reason
            self._on_event(TaskEvent("waiting", waiting.model_dump(mode="json")))
