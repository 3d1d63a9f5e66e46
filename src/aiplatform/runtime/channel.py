"""The runtime's side of the protocol: a job reports through a :class:`Reporter`."""

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from aiplatform.protocol.encoding import clean_text
from aiplatform.protocol.messages import (
    MAX_LINE_BYTES,
    Checkpoint,
    Event,
    Failure,
    Message,
    Metrics,
    Phase,
    Progress,
    Ready,
    Result,
    Stopped,
    encode,
)
from aiplatform.runtime.stop import StopRequest


class JobError(Exception):
    """A failure with a cause that a person can read and act on: its text is shown as it is."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class Reporter:
    """Writes messages to the runner. Safe to use from any thread; a line is never torn.

    Exactly one of :meth:`result`, :meth:`failure` and :meth:`stopped` is sent; whatever a thread
    still says afterwards is dropped, so that the outcome is the last word. Without a descriptor
    nobody listens: of the processes that share a job only the first one reports.
    """

    def __init__(self, fd: int | None, stop: StopRequest | None = None) -> None:
        self.stop = stop or StopRequest()
        self.outcome_sent = False
        self.traced = False
        """True if phases are reported, for the task's trace."""
        self._phase = ""
        self._fd = fd
        self._lock = threading.Lock()

    def progress(
        self,
        value: float,
        *,
        step: int | None = None,
        total_steps: int | None = None,
        seconds_left: float | None = None,
    ) -> None:
        """How far the job is, 0 to 1."""
        value = min(max(value, 0.0), 1.0)
        self._send(
            Progress(value=value, step=step, total_steps=total_steps, seconds_left=seconds_left)
        )

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Values measured at one step."""
        self._send(Metrics(step=step, values=values))

    def checkpoint(self, step: int, path: str) -> None:
        """Announce a checkpoint; it must be complete and on the disk."""
        self._send(Checkpoint(step=step, path=path))

    def ready(self, endpoint: str) -> None:
        """Announce that a server accepts requests."""
        self._send(Ready(endpoint=endpoint))

    def event(self, name: str, fields: Mapping[str, Any] | None = None, /, **data: Any) -> None:
        """Add a line to the task's timeline.

        Field names that are not the program's own go into ``fields``: any name is fine there.
        """
        self._send(Event(name=name, data={**(fields or {}), **data}))

    def phase(self, name: str) -> str:
        """What the job does from now on, until the next phase. Returns what it did before."""
        before, self._phase = self._phase, name
        if self.traced:
            self._send(Phase(name=name))
        return before

    def result(self, data: dict[str, Any]) -> None:
        """The job is done."""
        self._send(Result(data=data), outcome=True)

    def failure(self, error: str, *, retryable: bool = False) -> None:
        """The job failed, in a sentence for its user."""
        self._send(Failure(error=clean_text(error), retryable=retryable), outcome=True)

    def stopped(self) -> None:
        """The job obeyed a cancellation."""
        self._send(Stopped(), outcome=True)

    def forward(self, line: bytes) -> None:
        """Pass on a message of a process that works for this one. Torn lines are its fault."""
        with self.stop.held(), self._lock:
            if not self.outcome_sent:
                self._write(line)

    def _send(self, message: Message, *, outcome: bool = False) -> None:
        line = encode(message)
        if len(line) > MAX_LINE_BYTES:
            # A report too large for a line is a fault of ours, and must end as a failure, not in
            # silence: an outcome is replaced, anything else raises where it was sent.
            error = f"a message of type {message.model_dump()['type']} has {len(line)} bytes"
            if not outcome:
                raise ValueError(error)
            sys.stderr.write(f"{error}, more than the protocol allows\n")
            line = encode(Failure(error=f"The task's result is too large: {error}."))
        with self.stop.held(), self._lock:
            if self.outcome_sent:
                return
            self.outcome_sent = outcome
            self._write(line)
        if not outcome:
            self.stop.obey()

    def _write(self, line: bytes) -> None:
        if self._fd is None:
            return
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]
