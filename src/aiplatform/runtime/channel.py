"""The sending side of the message protocol. Jobs send messages with a :class:`Reporter`."""

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Protocol

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
    """A failure that the user can do something about; its text is shown to the user unchanged."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class TrainingObserver(Protocol):
    """An observer of a training run that is started only to estimate it.

    The observer's methods may raise an exception, which stops the training run.
    """

    def rows_encoded(self, tokenizer: Any, rows: Any, sequences: Any, held_out: Any) -> None:
        """Handle the encoded rows. See :func:`aiplatform.runtime.training.setup.show_rows`."""

    def training_begins(self, trainer: Any) -> None:
        """React to the start of training, just before the first step."""


class Reporter:
    """A writer of messages from a job to the runner in the worker.

    Any thread may use it: each message is written as one whole line.

    Exactly one of :meth:`result`, :meth:`failure` and :meth:`stopped` is sent. It is the last
    message, because later messages from other threads are dropped. Without a file descriptor,
    nothing is sent. This is for jobs that several processes share, of which only the first reports.
    """

    def __init__(self, fd: int | None, stop: StopRequest | None = None) -> None:
        self.stop = stop or StopRequest()
        self.outcome_sent = False
        self.traced = False
        """True if phases are reported, for the task's trace."""
        self.observer: TrainingObserver | None = None
        """The observer of a training run that is only estimated."""
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
        """Send the progress of the job as a fraction from 0 to 1."""
        value = min(max(value, 0.0), 1.0)
        self._send(
            Progress(value=value, step=step, total_steps=total_steps, seconds_left=seconds_left)
        )

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Send the metrics of a step, keyed by name."""
        self._send(Metrics(step=step, values=values))

    def checkpoint(self, step: int, path: str) -> None:
        """Announce a checkpoint of ``step``; its files must be complete and flushed to disk."""
        self._send(Checkpoint(step=step, path=path))

    def ready(self, endpoint: str) -> None:
        """Announce that the model server accepts requests at ``endpoint``."""
        self._send(Ready(endpoint=endpoint))

    def event(self, name: str, fields: Mapping[str, Any] | None = None, /, **data: Any) -> None:
        """Add an event to the task's timeline.

        Field names that come from users go into ``fields``, where all names are allowed.
        """
        self._send(Event(name=name, data={**(fields or {}), **data}))

    def phase(self, name: str) -> str:
        """Begin a phase of the job, which lasts until the next one. Return the previous phase."""
        before, self._phase = self._phase, name
        if self.traced:
            self._send(Phase(name=name))
        return before

    def result(self, data: dict[str, Any]) -> None:
        """Report that the job succeeded, with the data of its result."""
        self._send(Result(data=data), outcome=True)

    def failure(self, error: str, *, retryable: bool = False) -> None:
        """Report that the job failed, with a sentence that is shown to the user."""
        self._send(Failure(error=clean_text(error), retryable=retryable), outcome=True)

    def stopped(self) -> None:
        """Report that the job ended because it was cancelled."""
        self._send(Stopped(), outcome=True)

    def forward(self, line: bytes) -> None:
        """Send a message that another process of this job wrote. ``line`` must be complete."""
        with self.stop.delay(), self._lock:
            if not self.outcome_sent:
                self._write(line)

    def _send(self, message: Message, *, outcome: bool = False) -> None:
        line = encode(message)
        if len(line) > MAX_LINE_BYTES:
            # A message that is too large is a bug in the platform and must not go unnoticed. An
            # outcome is replaced by a failure, so that the task ends; other messages raise an
            # error.
            error = f"a message of type {message.model_dump()['type']} has {len(line)} bytes"
            if not outcome:
                raise ValueError(error)
            sys.stderr.write(f"{error}, more than the protocol allows\n")
            line = encode(Failure(error=f"The task's result is too large: {error}."))
        with self.stop.delay(), self._lock:
            if self.outcome_sent:
                return
            self.outcome_sent = outcome
            self._write(line)
        if not outcome:
            self.stop.raise_if_requested()

    def _write(self, line: bytes) -> None:
        if self._fd is None:
            return
        view = memoryview(line)
        while view:
            view = view[os.write(self._fd, view) :]
