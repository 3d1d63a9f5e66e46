"""Start of the supervisor as a background process that reports its progress to the terminal."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from aiplatform.embedded.errors import (
    INTERRUPTED,
    EmbeddedError,
    InterruptedStartError,
    StartFailedError,
)
from aiplatform.embedded.home import Home
from aiplatform.embedded.logs import open_log
from aiplatform.embedded.process import identity, wait_until_gone
from aiplatform.embedded.state import Phase, State
from aiplatform.language import tr

Observe = Callable[[State], None]
MAX_INHERITED = 1024
"""File descriptors up to this number are closed in the daemon; shells pass on no higher ones."""


class Report:
    """The daemon's messages to the terminal: JSON lines on a pipe, until it is ready or fails."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        self._last = ""

    def state(self, state: State) -> None:
        """Send the platform's state. If the platform is ready, also close the pipe.

        The command that waits in the terminal then returns.
        """
        self._send({"state": state.as_dict()})
        if state.phase is Phase.READY:
            self._close()

    def error(self, error: EmbeddedError) -> None:
        """Send the reason why the start failed, and close the pipe."""
        self._send(
            {
                "error": {
                    "message": error.message,
                    "remedy": error.remedy,
                    "exit_code": error.exit_code,
                }
            }
        )
        self._close()

    def _send(self, message: dict[str, object]) -> None:
        line = json.dumps(message) + "\n"
        if self._descriptor is None or line == self._last:
            return
        self._last = line
        try:
            with os.fdopen(os.dup(self._descriptor), "w", encoding="utf-8") as pipe:
                pipe.write(line)
        except BrokenPipeError:  # the terminal was closed: nobody reads the messages now
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def start_daemon(home: Home, run: Callable[[Observe], int], show: Observe) -> State:
    """Call ``run`` in a daemon process and return the state once it reports that it is ready.

    Raises:
        EmbeddedError: If the start failed; contains the message, remedy and exit code from the
            daemon.
        KeyboardInterrupt: On Ctrl-C while waiting. The daemon is stopped, too.
    """
    home.prepare()
    reading, writing = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(reading)
        # The second fork lets the session leader exit. Only a session leader can acquire a
        # terminal, so the daemon never gets one again.
        os.setsid()
        if os.fork() != 0:
            os._exit(0)
        # Close inherited descriptors. Otherwise, a process that reads an inherited pipe to its end
        # would wait until the daemon exits.
        os.closerange(3, writing)
        os.closerange(writing + 1, MAX_INHERITED)
        _become_daemon(home, run, Report(writing))
    os.close(writing)
    os.waitpid(first, 0)
    return _follow(home, reading, show)


def _become_daemon(home: Home, run: Callable[[Observe], int], report: Report) -> NoReturn:
    os.chdir("/")
    with open_log(home.logs / "supervisor.log") as log, Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    try:
        code = run(report.state)
    except EmbeddedError as error:
        report.error(error)
        code = error.exit_code
    else:
        if code == INTERRUPTED:
            report.error(InterruptedStartError(tr("It was stopped before it was ready.")))
    # Any other exception is a bug: the program's handler writes it to the log. Otherwise the daemon
    # exits here, because the callers on the stack belong to the process that is waiting.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _follow(home: Home, reading: int, show: Observe) -> State:
    state: State | None = None
    try:
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                message = json.loads(line)
                if "error" in message:
                    failure = EmbeddedError(message["error"]["message"], message["error"]["remedy"])
                    failure.exit_code = message["error"]["exit_code"]
                    raise failure
                state = State.from_dict(message["state"])
                show(state)
                if state.phase is Phase.READY:
                    return state
    except KeyboardInterrupt:
        if state is not None and identity(state.pid) == state.identity:
            os.kill(state.pid, signal.SIGTERM)
            wait_until_gone(state.pid, state.identity, 60.0)
        raise
    raise StartFailedError(
        tr("The background process ended before the platform was ready."),
        tr("See {log}.", log=home.logs / "supervisor.log"),
    )
