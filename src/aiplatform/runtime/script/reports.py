"""Metrics, progress, events and checkpoints that a script reports through a separate pipe."""

import os
import select
import sys
from pathlib import Path

from pydantic import ValidationError

from aiplatform.protocol.messages import (
    Checkpoint,
    Event,
    Job,
    Metrics,
    Progress,
    ScriptMessage,
    parse_script_message,
)
from aiplatform.protocol.validation_errors import message_of
from aiplatform.runtime.channel import JobError, Reporter
from aiplatform.runtime.script.directories import ScriptDirectories

MAX_LINE = 1 << 20
MAX_WARNINGS = 20


class Reports:
    """The receiver of a script's reports. ``last`` has the last value of each metric.

    A checkpoint of more than ``limit`` bytes is ignored.
    """

    def __init__(
        self, report: Reporter, job: Job, directories: ScriptDirectories, limit: int | None = None
    ) -> None:
        self.report = report
        self.limit = limit
        self.job = job
        self.directories = directories
        self.last: dict[str, float] = {}
        self._pipe, self.descriptor = os.pipe()
        os.set_blocking(self._pipe, False)
        self._rest = b""
        self._open = True
        self._warnings = 0

    def close_write_end(self) -> None:
        """Close this process's copy of the writing end after the script has started."""
        os.close(self.descriptor)

    def listen(self, seconds: float) -> None:
        """Wait up to ``seconds`` for reports and handle them."""
        if not self._open:
            select.select([], [], [], seconds)
            return
        select.select([self._pipe], [], [], seconds)
        self._read()

    def drain(self) -> None:
        """Handle the remaining reports after the script's processes have exited."""
        while self._open and self._read():
            pass
        os.close(self._pipe)

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, 1 << 16)
        except BlockingIOError:
            return False
        if not data:
            self._open = False
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            self._warn(f"a line of more than {MAX_LINE} bytes")
            self._rest = b""
        for line in filter(None, lines):
            self._handle_line(line)
        return True

    def _handle_line(self, line: bytes) -> None:
        try:
            message = parse_script_message(line)
        except ValidationError as error:
            self._warn(f"{message_of(error.errors()[0])}: {line[:200]!r}")
            return
        try:
            self._forward(message)
        except (JobError, ValueError, TypeError, RecursionError) as error:
            # An invalid report must not stop the task.
            self._warn(str(error))

    def _forward(self, message: ScriptMessage) -> None:
        match message:
            case Metrics():
                self.last.update(message.values)
                self.report.metrics(message.step, message.values)
            case Progress():
                self.report.progress(
                    message.value,
                    step=message.step,
                    total_steps=message.total_steps,
                    seconds_left=message.seconds_left,
                )
            case Event():
                # The field `event` is renamed, so that a script's event can't impersonate the
                # platform's events.
                own = {f"{key}_" if key == "event" else key: value
                       for key, value in message.data.items()}  # fmt: skip
                self.report.event("script_event", {**own, "event": message.name})
            case Checkpoint():
                self._checkpoint(message)

    def _checkpoint(self, message: Checkpoint) -> None:
        own = self.directories.checkpoints.resolve()
        try:
            path = (own / message.path).resolve()
            below = path != own and path.is_relative_to(own) and path.is_dir()
        except OSError as error:
            reason = f"a checkpoint that can't be found: {error.strerror}"
            raise JobError(reason) from error
        if not below:
            raise JobError(
                f"a checkpoint outside of the directory of checkpoints: {message.path!r}"
            )
        target = Path(self.job.checkpoint_dir) / path.relative_to(own)
        if (
            self.directories.uid is not None
        ):  # a copy, so the script may change and announce it again
            target = target.with_name(f"{target.name}.{message.step}")
        try:
            self.directories.replace_output(path, target, self.limit)
        except OSError as error:
            reason = f"a checkpoint that can't be kept: {error.strerror}"
            raise JobError(reason) from error
        self.report.checkpoint(message.step, str(target))

    def _warn(self, what: str) -> None:
        self._warnings += 1
        if self._warnings <= MAX_WARNINGS:
            sys.stderr.write(f"A report of the script was passed over: {what}\n")
