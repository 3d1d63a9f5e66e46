"""Keeps processes running: starts them, notices when they die, starts them again, stops them.

One thread and no locks; everything happens in :meth:`Keeper.tick`, which waits for a signal, the
death of a child, or its time to run out.
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
    ended,
    identity,
    reap_orphans,
    signal_group,
    spawn,
)
from aiplatform.embedded.service import Service
from aiplatform.embedded.signals import Signals, StopRequestedError
from aiplatform.embedded.state import ServiceRecord, ServiceState
from aiplatform.language import tr

FIRST_PAUSE = 0.25
LONGEST_PAUSE = 30.0
STABLE_SECONDS = 60.0
"""A process that lived this long has earned a quick restart again."""

START_ATTEMPTS = 3
"""While the platform starts, a process that fails this often is given up."""

TRANSIENT_SECONDS = 60.0
"""How long a start is repeated whose cause passes by itself."""

POLL_SECONDS = 0.03
"""Between two looks at whether something that was started is ready."""

logger = logging.getLogger("aiplatform.embedded")


@dataclass
class Child:
    """One supervised process. Times are of the monotonic clock."""

    service: Service
    record: ServiceRecord
    log: Path
    once: bool = False
    process: subprocess.Popen[bytes] | None = None
    log_start: int = 0
    began: float = 0.0
    first_began: float = 0.0
    failures: int = 0
    start_at: float | None = None
    exit_code: int | None = None

    @property
    def alive(self) -> bool:
        """Whether it was running when last looked at."""
        return self.process is not None


class Keeper:
    """The children of one supervisor."""

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
        """What is known of each child that is kept running."""
        return [child.record for child in self.children.values() if not child.once]

    def start(self, service: Service, *, once: bool = False) -> Child:
        """Take a process under supervision and start it.

        With ``once``, it is expected to end and not started again.

        Raises:
            EmbeddedError: it can't be started at all.
        """
        child = Child(
            service=service,
            record=ServiceRecord(service.name),
            log=self._logs / f"{service.name}.log",
            once=once,
        )
        child.first_began = time.monotonic()
        self.children[service.name] = child
        self._launch(child)
        return child

    def run(self, service: Service) -> None:
        """Run a process to its end, minding the others meanwhile.

        Raises:
            StartFailedError: it did not end with exit code 0.
            StopRequestedError: somebody asked to stop.
        """
        child = self.start(service, once=True)
        while child.alive:
            self.tick(1.0)
        del self.children[service.name]
        if child.exit_code != 0:
            raise self._given_up(child)

    def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Mind the children until ``condition`` holds; whether it did in time.

        Raises:
            EmbeddedError, StopRequestedError: as :meth:`tick`.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.tick(POLL_SECONDS)
        return True

    def running(self, *names: str) -> bool:
        """Whether all of these are up and ready."""
        return all(self.children[name].record.state is ServiceState.RUNNING for name in names)

    def tick(self, seconds: float) -> None:
        """Wait for something to happen and see to it.

        Raises:
            EmbeddedError: while starting: a process can't be had, however often it is started.
            StopRequestedError: somebody asked to stop.
        """
        self._signals.wait(min(seconds, self._next_event()))
        if self._signals.stop_requests:
            raise StopRequestedError
        self._see_to_children()
        self._on_tick()

    def stop(self, names: Iterable[str]) -> None:
        """Stop these at the same time, each by its own signals.

        A second request to stop, a second Ctrl-C, hurries.
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
                    self._send(child, number)
            self._signals.wait(0.1)
            for child in alive:
                if child.process is not None and ended(child.process):
                    self._note_end(child, child.process)
                    child.record.state = ServiceState.STOPPED
                    self._on_change()
            self._on_tick()

    def _send(self, child: Child, number: int) -> None:
        if child.process is None:
            return
        logger.info("%s: %s", child.service.name, signal.Signals(number).name)
        if number == signal.SIGKILL:
            signal_group(child.process.pid, number)
        else:
            # Only the leader: it knows in which order its own children stop. Not send_signal(),
            # which might reap it before its group is seen to; unreaped, its pid is still its own.
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

    def _see_to_children(self) -> None:
        for child in list(self.children.values()):
            if child.process is not None and ended(child.process):
                self._note_end(child, child.process)
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
            self._launch_failed(child, str(error))
        except EmbeddedError as error:
            if self.starting:
                raise
            self._launch_failed(child, error.message)
        else:
            child.began = time.monotonic()
            child.record.state = ServiceState.STARTING
            child.record.pid = child.process.pid
            child.record.identity = identity(child.process.pid)
            child.record.started_at = datetime.now(UTC).isoformat(timespec="seconds")
            logger.info("%s: started as process %d", service.name, child.process.pid)
        self._on_change()

    def _launch_failed(self, child: Child, reason: str) -> None:
        child.record.last_exit = reason
        child.record.state = ServiceState.RESTARTING
        child.failures += 1
        child.start_at = time.monotonic() + pause(child.failures)
        logger.warning("%s: can't be started: %s", child.service.name, reason)

    def _note_end(self, child: Child, process: subprocess.Popen[bytes]) -> None:
        child.exit_code = process.returncode
        child.process = None
        child.record.last_exit = describe_exit(process.returncode)
        child.record.pid = child.record.identity = None
        logger.info("%s: ended, %s", child.service.name, child.record.last_exit)

    def _plan_restart(self, child: Child) -> None:
        """When to start it again, or that there is no point in it.

        Raises:
            EmbeddedError: while starting.
        """
        now = time.monotonic()
        if now - child.began >= STABLE_SECONDS:
            child.failures = 0
        said = tail(child.log, since=child.log_start, lines=200)
        fatal = child.service.diagnose(said)
        passing = any(words in said for words in child.service.transient)
        if self.starting:
            if fatal is not None:
                raise fatal
            if passing and now - child.first_began < TRANSIENT_SECONDS:
                child.record.state = ServiceState.RESTARTING
                child.start_at = now + FIRST_PAUSE
                return
            if child.failures + 1 >= START_ATTEMPTS:
                raise self._given_up(child)
        child.failures += 1
        child.record.state = ServiceState.RESTARTING
        child.start_at = now + (FIRST_PAUSE if passing else pause(child.failures))
        logger.warning(
            "%s: starts again in %.1f s%s",
            child.service.name,
            child.start_at - now,
            f" ({fatal.message})" if fatal else "",
        )

    def _given_up(self, child: Child) -> EmbeddedError:
        said = tail(child.log, since=child.log_start)
        fatal = child.service.diagnose(said)
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
        if last := "\n".join(f"    {line}" for line in said.splitlines()):
            message = tr("{message} It said last:\n{lines}", message=message, lines=last)
        return StartFailedError(
            message,
            tr("See {log}.", log=child.log),
        )


def pause(failures: int) -> float:
    """Seconds before the next start after so many failures in a row."""
    doublings = min(failures - 1, 16)  # a process that dies for weeks must not overflow this
    return min(FIRST_PAUSE * 2.0**doublings, LONGEST_PAUSE)


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment for a child, without libpq's variables, which would redirect connections."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("PG") and name.isupper())
    }
    return {**inherited, **extra}
