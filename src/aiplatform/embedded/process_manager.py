"""The process manager: starts processes, restarts those that die, and stops them.

It uses one thread and no locks. Everything happens in :meth:`ProcessManager.tick`, which waits
until a signal arrives, a child dies or the given time has passed.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiplatform.embedded.errors import EmbeddedError, StartFailedError, from_os_error
from aiplatform.embedded.logs import open_log, size_of, tail
from aiplatform.embedded.process import (
    describe_exit,
    identity,
    reap_if_ended,
    reap_orphans,
    signal_group,
    spawn,
)
from aiplatform.embedded.service import Service
from aiplatform.embedded.signals import Signals, StopRequestedError
from aiplatform.embedded.state import ServiceRecord, ServiceState
from aiplatform.language import tr

FIRST_RESTART_DELAY = 0.25
LONGEST_RESTART_DELAY = 30.0
STABLE_SECONDS = 60.0
"""Seconds after which a process counts as stable: its next restart is quick again."""

START_ATTEMPTS = 3
"""Number of failed starts of one process after which the start of the platform fails."""

TRANSIENT_SECONDS = 60.0
"""Seconds for which a start is retried if the cause of its failure is temporary."""

POLL_SECONDS = 0.03
"""Seconds between two checks of whether a started process is ready."""

logger = logging.getLogger("aiplatform.embedded")


@dataclass
class Child:
    """One supervised process.

    All times are in seconds on the monotonic clock. ``once`` is True for a process that is expected
    to exit. ``log_start`` is the position in the log where its current run begins. ``start_at`` is
    the time of the next start, if one is due.
    """

    service: Service
    record: ServiceRecord
    log: Path
    once: bool = False
    process: subprocess.Popen[bytes] | None = None
    log_start: int = 0
    started: float = 0.0
    first_started: float = 0.0
    failures: int = 0
    start_at: float | None = None
    exit_code: int | None = None

    @property
    def alive(self) -> bool:
        """True if the process was running when it was last checked."""
        return self.process is not None


class ProcessManager:
    """The child processes of one supervisor."""

    def __init__(
        self,
        signals: Signals,
        logs: Path,
        on_change: Callable[[], None],
        on_tick: Callable[[], None],
    ) -> None:
        self.children: dict[str, Child] = {}
        self.starting = True
        self._signals = signals
        self._logs = logs
        self._on_change = on_change
        self._on_tick = on_tick

    @property
    def records(self) -> list[ServiceRecord]:
        """The records of all children that are kept running."""
        return [child.record for child in self.children.values() if not child.once]

    def start(self, service: Service, *, once: bool = False) -> Child:
        """Start a process and supervise it.

        With ``once``, the process is expected to exit and is not restarted.

        Raises:
            EmbeddedError: If it can't be started.
        """
        child = Child(
            service=service,
            record=ServiceRecord(service.name),
            log=self._logs / f"{service.name}.log",
            once=once,
        )
        child.first_started = time.monotonic()
        self.children[service.name] = child
        self._launch(child)
        return child

    def run(self, service: Service) -> None:
        """Run a process until it exits, supervising the others in the meantime.

        Raises:
            EmbeddedError: If its exit code is not 0, or as in :meth:`tick`.
            StopRequestedError: If a stop was requested.
        """
        child = self.start(service, once=True)
        while child.alive:
            self.tick(1.0)
        del self.children[service.name]
        if child.exit_code != 0:
            raise self._start_error(child)

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Supervise the children until ``condition`` holds; return False if it didn't in time.

        Raises:
            EmbeddedError: As in :meth:`tick`.
            StopRequestedError: As in :meth:`tick`.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.tick(POLL_SECONDS)
        return True

    def running(self, *names: str) -> bool:
        """Return True if all these children are running and ready."""
        return all(self.children[name].record.state is ServiceState.RUNNING for name in names)

    def tick(self, seconds: float) -> None:
        """Wait for the next event, at most ``seconds``, then check and restart the children.

        Raises:
            EmbeddedError: If the platform is still starting and a failed process is not restarted.
            StopRequestedError: If a stop was requested.
        """
        self._signals.wait(min(seconds, self._next_event()))
        if self._signals.stop_requests:
            raise StopRequestedError
        self._update_children()
        self._on_tick()

    def stop(self, names: Iterable[str]) -> None:
        """Stop these children at the same time, each with its own sequence of signals.

        After a second stop request (a second Ctrl-C), each step gets at most one second.
        """
        chosen = [self.children[name] for name in names if name in self.children]
        requests = self._signals.stop_requests
        steps = {child.service.name: -1 for child in chosen}
        due = dict.fromkeys(steps, 0.0)
        for child in chosen:
            child.start_at = None
        while alive := [child for child in chosen if child.alive]:
            now = time.monotonic()
            hurry = self._signals.stop_requests > max(requests, 1)
            for child in alive:
                name = child.service.name
                if hurry:
                    due[name] = min(due[name], now + 1.0)
                if now >= due[name]:
                    steps[name] = min(steps[name] + 1, len(child.service.stop_steps) - 1)
                    number, patience = child.service.stop_steps[steps[name]]
                    due[name] = now + patience
                    self._send_signal(child, number)
            self._signals.wait(0.1)
            for child in alive:
                if child.process is not None and reap_if_ended(child.process):
                    self._record_exit(child, child.process)
                    child.record.state = ServiceState.STOPPED
                    self._on_change()
            self._on_tick()

    def _send_signal(self, child: Child, number: int) -> None:
        if child.process is None:
            return
        logger.info("%s: %s", child.service.name, signal.Signals(number).name)
        if number == signal.SIGKILL:
            signal_group(child.process.pid, number)
        else:
            # Only the leader of the group gets the signal, because it stops its own children in the
            # right order. send_signal() is not used: it may reap the leader before its group is
            # killed, and the pid could then be reused.
            os.kill(child.process.pid, number)

    def _next_event(self) -> float:
        now = time.monotonic()
        waits = [child.start_at - now for child in self.children.values() if child.start_at]
        if any(
            child.record.state is ServiceState.STARTING and not child.once
            for child in self.children.values()
        ):
            waits.append(POLL_SECONDS)
        return max(min(waits, default=60.0), 0.0)

    def _update_children(self) -> None:
        for child in list(self.children.values()):
            if child.process is not None and reap_if_ended(child.process):
                self._record_exit(child, child.process)
                if not child.once:
                    self._plan_restart(child)
                self._on_change()
            if child.start_at is not None and time.monotonic() >= child.start_at:
                child.start_at = None
                child.record.restarts += 1
                self._launch(child)
            if (
                child.record.state is ServiceState.STARTING
                and not child.once
                and child.alive
                and child.service.is_ready()
            ):
                child.record.state = ServiceState.RUNNING
                self._on_change()
        reap_orphans(child.process.pid for child in self.children.values() if child.process)

    def _launch(self, child: Child) -> None:
        service = child.service
        try:
            service.before_start()
            with open_log(child.log) as log:
                child.log_start = size_of(child.log)
                child.process = spawn(
                    service.command,
                    env=service.env,
                    log=log,
                    cwd=service.cwd,
                    account=service.account,
                    death_signal=service.death_signal,
                )
        except OSError as error:
            if self.starting:
                raise from_os_error(error, Path(service.command[0])) from error
            self._record_failed_launch(child, str(error))
        except EmbeddedError as error:
            if self.starting:
                raise
            self._record_failed_launch(child, error.message)
        else:
            child.started = time.monotonic()
            child.record.state = ServiceState.STARTING
            child.record.pid = child.process.pid
            child.record.identity = identity(child.process.pid)
            child.record.started_at = datetime.now(UTC).isoformat(timespec="seconds")
            logger.info("%s: started as process %d", service.name, child.process.pid)
        self._on_change()

    def _record_failed_launch(self, child: Child, reason: str) -> None:
        child.record.last_exit = reason
        child.record.state = ServiceState.RESTARTING
        child.failures += 1
        child.start_at = time.monotonic() + restart_delay(child.failures)
        logger.warning("%s: can't be started: %s", child.service.name, reason)

    def _record_exit(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        child.exit_code = process.returncode
        child.process = None
        child.record.last_exit = describe_exit(process.returncode)
        child.record.pid = child.record.identity = None
        logger.info("%s: ended, %s", child.service.name, child.record.last_exit)

    def _plan_restart(self, child: Child) -> None:
        """Set the time of the next start.

        Raises:
            EmbeddedError: If the platform is still starting and another attempt is pointless.
        """
        now = time.monotonic()
        if now - child.started >= STABLE_SECONDS:
            child.failures = 0
        output = tail(child.log, since=child.log_start, lines=200)
        fatal = child.service.diagnose(output)
        transient = any(message in output for message in child.service.transient_messages)
        if self.starting:
            if fatal is not None:
                raise fatal
            if transient and now - child.first_started < TRANSIENT_SECONDS:
                child.record.state = ServiceState.RESTARTING
                child.start_at = now + FIRST_RESTART_DELAY
                return
            if child.failures + 1 >= START_ATTEMPTS:
                raise self._start_error(child)
        child.failures += 1
        child.record.state = ServiceState.RESTARTING
        child.start_at = now + (FIRST_RESTART_DELAY if transient else restart_delay(child.failures))
        logger.warning(
            "%s: starts again in %.1f s%s",
            child.service.name,
            child.start_at - now,
            f" ({fatal.message})" if fatal else "",
        )

    def _start_error(self, child: Child) -> EmbeddedError:
        output = tail(child.log, since=child.log_start)
        fatal = child.service.diagnose(output)
        if fatal is not None:
            return fatal
        facts = {"name": child.service.name, "exit": child.record.last_exit}
        if child.failures:
            message = tr(
                "{name} ended {times} times while starting ({exit}).",
                times=child.failures + 1,
                **facts,
            )
        else:
            message = tr("{name} ended while starting ({exit}).", **facts)
        if last := "\n".join(f"    {line}" for line in output.splitlines()):
            message = tr("{message} Its last output:\n{lines}", message=message, lines=last)
        return StartFailedError(
            message,
            tr("See {log}.", log=child.log),
        )


def restart_delay(failures: int) -> float:
    """Return the seconds to wait before the next start, after this many failures in a row."""
    # The limit prevents an overflow if a process keeps dying for weeks.
    doublings = min(failures - 1, 16)
    return min(FIRST_RESTART_DELAY * 2.0**doublings, LONGEST_RESTART_DELAY)


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with ``extra``, for a child.

    The variables of libpq (``PG...``) are left out, because they would redirect connections.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("PG") and name.isupper())
    }
    return {**inherited, **extra}
