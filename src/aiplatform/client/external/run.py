"""External runs as used in a training loop: they write to files, never to the network."""

import atexit
import logging
import math
import shlex
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO
from uuid import UUID

from aiplatform.client.errors import ClientError
from aiplatform.client.external.journal import (
    LOG,
    POINTS,
    Journal,
    Records,
    files_below,
    parse_final_status,
)
from aiplatform.client.external.sender import Sender, SendingThread
from aiplatform.protocol.encoding import clean_text, dumps
from aiplatform.protocol.enums import LogStream, TaskStatus

Write = Callable[[str, LogStream], None]


class Tee:
    """A stream that passes all text to the stream it replaces, and complete lines to ``write``.

    If a line was overwritten by carriage returns, as progress bars do, only its last state is
    passed to ``write``.
    """

    def __init__(self, original: TextIO, stream: LogStream, write: Write) -> None:
        self.original = original
        self._stream = stream
        self._write = write
        self._rest = ""
        self._finished = False
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write the text to the original stream, and its complete lines to ``write``."""
        written = self.original.write(text)
        with self._lock:
            if self._finished:
                return written
            *lines, self._rest = (self._rest + text).split("\n")
            # Discard overwritten text: otherwise, a progress bar that never ends its line would
            # make the rest grow without limit.
            ending = "\r" if self._rest.endswith("\r") else ""
            self._rest = _shown(self._rest) + ending
        if lines:
            self._write("\n".join(map(_shown, lines)), self._stream)
        return written

    def writelines(self, lines: Any) -> None:
        """Write each text in ``lines``."""
        for line in lines:
            self.write(line)

    def finish(self) -> None:
        """Stop passing lines to ``write``, but keep writing to the original stream.

        Log handlers, for example, may still refer to this stream.
        """
        with self._lock:
            self._finished = True
            rest, self._rest = self._rest, ""
        if rest:
            self._write(_shown(rest), self._stream)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the original stream."""
        return getattr(self.original, name)


def _shown(line: str) -> str:
    return line.rstrip("\r").rpartition("\r")[2]


class Capture:
    """A capture of standard output and standard error, active until :meth:`stop` is called."""

    def __init__(self, write: Write) -> None:
        self._out = Tee(sys.stdout, LogStream.STDOUT, write)
        self._err = Tee(sys.stderr, LogStream.STDERR, write)
        sys.stdout, sys.stderr = self._out, self._err

    def stop(self) -> None:
        """Restore the original streams, unless other code has replaced them since."""
        if sys.stdout is self._out:
            sys.stdout = self._out.original
        if sys.stderr is self._err:
            sys.stderr = self._err.original
        self._out.finish()
        self._err.finish()


log = logging.getLogger("aiplatform.runs")
MAX_KEY = 200
MAX_STEP = 2**53 - 1
MAX_SECONDS = 253_402_300_799
MAX_LINE = 50_000


class RunCancelled(ClientError):
    """The run was cancelled on the platform, and was started with ``raise_when_cancelled``."""


class ExternalRun:
    """A run that executes here and is shown on the platform; see :meth:`Client.run`.

    As a context manager, it ends the run as completed, cancelled or failed when the block ends.
    """

    def __init__(
        self,
        journal: Journal,
        sender: Sender | None,
        *,
        raise_when_cancelled: bool = False,
        end_timeout: float = 60.0,
        capture_output: bool = False,
    ) -> None:
        self.journal = journal
        self.dropped = 0
        self._points = Records(journal.directory / POINTS)
        self._log = Records(journal.directory / LOG)
        self._thread = None if sender is None else SendingThread(sender)
        self._raise_when_cancelled = raise_when_cancelled
        self._end_timeout = end_timeout
        self._step = 0
        self._ended = False
        self._sent = False
        self._warned: set[str] = set()
        self._keys: dict[str, str] = {}
        self._capture = Capture(self._write_captured) if capture_output else None
        atexit.register(self._at_exit)

    @property
    def task(self) -> UUID | None:
        """The run's uuid on the platform; None until the server has registered the run."""
        found = self.journal.about.get("task")
        return None if found is None else UUID(found)

    @property
    def cancelled(self) -> bool:
        """True if the run was cancelled on the platform."""
        return self._thread is not None and self._thread.cancelled

    def log(
        self,
        values: Mapping[str, Any],
        *,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> None:
        """Record metric values for a step, by default the step after the previous one.

        This method returns within microseconds: it only writes to the journal, and a thread sends
        the records. Numbers from numpy and torch are accepted. Values in nested mappings are named
        ``outer/inner``. Values that are not numbers are left out, with a warning the first time.

        Args:
            values: the values by name; a name has at most 200 characters.
            step: any whole number; a value that was recorded before at this step is replaced.
            timestamp: the time, in seconds since the epoch; by default now.

        Raises:
            RunCancelled: if the run was started with ``raise_when_cancelled`` and was cancelled.
        """
        try:
            step = self._step if step is None else int(step)
            at = time.time() if timestamp is None else float(timestamp)
        except (TypeError, ValueError, OverflowError) as error:
            self._warn("step", f"a step is a whole number, a timestamp seconds: {error}")
            return
        if abs(step) > MAX_STEP or not 0 <= at <= MAX_SECONDS:
            self._warn("range", f"steps are within ±{MAX_STEP}, timestamps from 1970 on")
            return
        self._step = step + 1
        lines = [
            f'{{"key":{self._key_as_json(key)},"step":{step},"value":{_number(value)},"time":{at!r}}}'
            for key, value in self._numbers(values, "")
        ]
        if lines:
            self._add(self._points, lines)
        if self._raise_when_cancelled and self.cancelled:
            raise RunCancelled("the run was cancelled on the platform")

    def write(self, text: str, *, stream: LogStream | str = LogStream.STDOUT) -> None:
        """Add lines to the log of the run."""
        at = time.time()
        lines = [
            dumps({"text": clean_text(line[:MAX_LINE]), "stream": LogStream(stream), "time": at})
            for line in text.splitlines()
        ]
        if lines:
            self._add(self._log, lines)

    def log_artifact(self, path: Path | str, name: str | None = None) -> None:
        """Store a file, or all files in a directory, as artifacts of the run.

        They are copied to the journal before this method returns, so they may be changed or deleted
        afterwards. A file that was stored before under the same name is replaced.

        Args:
            path: the path of the file or directory.
            name: the relative path on the platform; by default the last part of ``path``.

        Raises:
            OSError: if a file can't be read, or there is no disk space for the copy.
            ValueError: for a name that is not a relative path.
        """
        for file, artifact in files_below(Path(path), name):
            self.journal.files.add(file, artifact)

    def set_progress(self, share: float) -> None:
        """Report the progress of the run, from 0 to 1."""
        if self._thread is not None:
            self._thread.sender.progress = min(1.0, max(0.0, float(share)))

    def end(
        self,
        status: TaskStatus | str = TaskStatus.COMPLETED,
        *,
        error: str | None = None,
        result: Mapping[str, Any] | None = None,
    ) -> bool:
        """End the run; a second call does nothing. Return True if everything was sent.

        The method waits for the server for at most ``end_timeout`` seconds. Records that have not
        been sent by then remain in the journal's directory; ``aiplatform runs sync`` sends them.

        Raises:
            ValueError: for a status that is not final; the run then continues.
        """
        if self._ended:
            return self._sent
        status = parse_final_status(status)
        self._ended = True
        if self._capture is not None:
            self._capture.stop()
        atexit.unregister(self._at_exit)
        facts = {"points_dropped": self.dropped} if self.dropped else {}
        end = {
            "status": status,
            "ended_at": datetime.now(UTC).isoformat(),
            "error": None if error is None else error[:10_000],
            "result": {**(result or {}), **facts},
        }
        try:
            self.journal.record_end(end)
        except OSError as problem:
            self._warn("end", f"how the run ended can't be written: {problem}")
        self._sent = self._thread is not None and self._thread.close(self._end_timeout)
        self._points.close()
        self._log.close()
        if self._sent:
            self.journal.remove()
        else:
            command = f"aiplatform runs sync {shlex.quote(str(self.journal.directory))}"
            log.warning("the run is not all on the platform; send the rest with: %s", command)
        return self._sent

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """End the run as completed, cancelled or failed, depending on the block's exception."""
        if error is None:
            self.end(TaskStatus.CANCELLED if self.cancelled else TaskStatus.COMPLETED)
        elif isinstance(error, KeyboardInterrupt | RunCancelled):
            self.end(TaskStatus.CANCELLED)
        elif isinstance(error, SystemExit) and error.code in {None, 0}:
            self.end()
        else:
            self.write(
                "".join(traceback.format_exception(kind, error, where)), stream=LogStream.STDERR
            )
            self.end(TaskStatus.FAILED, error=f"{type(error).__name__}: {error}")

    def _numbers(self, values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
        for name, value in values.items():
            key = f"{prefix}{name}"
            if isinstance(value, Mapping):
                yield from self._numbers(value, f"{key}/")
                continue
            if not 0 < len(key) <= MAX_KEY:
                self._warn(key, f"names have 1 to {MAX_KEY} characters: {key[:40]!r} is left out")
                continue
            item = getattr(value, "item", None)
            try:
                # float() would accept text such as "nan".
                number = (
                    None
                    if isinstance(value, str | bytes)
                    else float(item() if callable(item) else value)
                )
            except OverflowError:
                number = math.inf if value > 0 else -math.inf
            except (TypeError, ValueError):
                number = None
            if number is None:
                self._warn(key, f"{key} is not a number and is left out")
            else:
                yield key, number

    def _key_as_json(self, key: str) -> str:
        """Return the key as JSON. This is cached, because a few keys occur very often."""
        found = self._keys.get(key)
        if found is None:
            found = self._keys[key] = dumps(clean_text(key))
        return found

    def _add(self, records: Records, lines: list[str]) -> None:
        try:
            records.add(lines)
        except OSError as error:
            self.dropped += len(lines)
            self._warn("journal", f"what the run reports can't be written and is lost: {error}")

    def _warn(self, about: str, text: str) -> None:
        """Log a warning, but only once for each ``about``, because a loop may repeat it often."""
        if about not in self._warned:
            self._warned.add(about)
            log.warning("%s", text)

    def _write_captured(self, text: str, stream: LogStream) -> None:
        self.write(text, stream=stream)

    def _at_exit(self) -> None:
        """End a run that is still open when the program exits."""
        error = getattr(sys, "last_value", None)
        if error is None:
            self.end()
        else:
            self.end(TaskStatus.FAILED, error=f"{type(error).__name__}: {error}")


def _number(value: float) -> str:
    return repr(value) if math.isfinite(value) else dumps(value)
