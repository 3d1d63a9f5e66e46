"""The spare of a worker: a runtime that is started ahead, so that no task waits for imports.

A spare is a child with a launcher and a deadline, but it belongs to no attempt, and no row knows
it. It gets one job and is that attempt's child from then on. If anything is wrong with it before,
the attempt starts a child of its own.
"""

import importlib.util
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from aiplatform.protocol.messages import Begin, Job, Renew
from aiplatform.protocol.specs import EvaluationSpec, InferenceSpec, TrainingSpec
from aiplatform.server.core.settings import Settings
from aiplatform.server.tasks.rules import spares as rules
from aiplatform.server.tasks.rules.computing import PASSIVE
from aiplatform.server.tasks.runner import process
from aiplatform.server.tasks.runner.memory import available_mb
from aiplatform.server.tasks.runner.process import Child, child_environment, fits_at_once

log = structlog.get_logger(__name__)
NEEDED = ("torch", "transformers", "peft", "trl")
LOOK_SECONDS = 1.0
SETTLE_SECONDS = 5.0
"""Seconds after a worker or task has started in which no spare is made, to leave it the CPU."""

HELLO_SECONDS = 10.0
"""Seconds within which a spare must accept its job; normally it takes a millisecond."""

RETRY_SECONDS = 60.0
"""Seconds to wait after a spare failed; doubled with each further failure, up to an hour."""


@dataclass(frozen=True, slots=True)
class Spare:
    """A spare that is importing or ready. ``directory`` is its home."""

    child: Child
    directory: Path


class Spares:
    """The spare of this worker, with a thread that makes, renews and ends it."""

    def __init__(
        self,
        settings: Settings,
        *,
        gpus: bool,
        clock: Callable[[], float] = time.monotonic,
        memory: Callable[[], float] = available_mb,
    ) -> None:
        self.settings = settings
        self.gpus = gpus
        self.clock = clock
        self.memory = memory
        self._lock = threading.Lock()
        self._spare: Spare | None = None
        self._renewed = 0.0
        self._wanted = clock()
        self._not_before = clock() + SETTLE_SECONDS
        self._failures = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to keep a spare, if the settings allow it and the packages are installed."""
        if self.settings.warm_runtime == "off" or not all(map(importlib.util.find_spec, NEEDED)):
            return
        self._thread = threading.Thread(target=self._run, name="spares", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the spare, if there is one, and make no other."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    @property
    def ready(self) -> bool:
        """True if a spare is ready for a job."""
        spare = self._spare
        return spare is not None and spare.child.warm.is_set()

    def suits(self, job: Job, devices: tuple[str, ...]) -> bool:
        """Return True if a spare may run the job: a single process that needs what spares import.

        Libraries look for GPUs when they are imported and keep the result. So on a machine with
        GPUs, a spare suits only jobs that have some.
        """
        if job.ranks is not None or bool(devices) != self.gpus:
            return False
        match job.spec:
            case TrainingSpec() | EvaluationSpec():
                return True
            case InferenceSpec(engine=engine):
                return engine == "transformers"
        return False

    def begin(
        self, job: Job, devices: tuple[str, ...], begin: Begin, deadline_seconds: float
    ) -> Child | None:
        """Return the spare as the job's child, or None if the job must start its own.

        A job that has the worker to itself starts its own: its threads need not wait passively, but
        those of a spare do.
        """
        shares = PASSIVE.items() <= begin.environment.items()
        if not shares or not self.suits(job, devices):
            return None
        with self._lock:
            self._wanted = self.clock()
            self._not_before = max(self._not_before, self.clock() + SETTLE_SECONDS)
            if self._spare is None or not self.ready or not fits_at_once(begin):
                return None
            spare, self._spare = self._spare, None
        spare.child.say(Renew(seconds=deadline_seconds))
        if spare.child.begin(begin, within=HELLO_SECONDS):
            spare.child.scratch = spare.directory
            return spare.child
        log.warning("the spare did not take its job, which is started afresh")
        _end(spare)
        return None

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS) and not process.stopping.is_set():
            try:
                self.look()
            except OSError as error:
                log.warning("no spare could be started", error=str(error)[:200])
                self._broke()
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            _end(spare)

    def look(self) -> None:
        """Renew the spare, end it, or make one, whichever is due.

        Raises:
            OSError: when none can be started.
        """
        now, mode = self.clock(), self.settings.warm_runtime
        unused = now - self._wanted
        given_up = None
        with self._lock:
            spare = self._spare
            if spare is None:
                if now >= self._not_before and rules.is_made(mode, self.memory(), unused):
                    self._spare = self._make()
                return
            if spare.child.gone:
                log.warning("the spare ended by itself", exit_code=spare.child.process.returncode)
                self._broke()
                given_up, self._spare = spare, None
            elif not rules.is_kept(mode, self.memory(), unused):
                given_up, self._spare = spare, None
            else:
                self._failures = 0 if spare.child.warm.is_set() else self._failures
                if now - self._renewed >= self.settings.renew_seconds:
                    self._renew(spare)
        if given_up is not None:
            _end(given_up)

    def _make(self) -> Spare:
        self.settings.work_dir.mkdir(parents=True, exist_ok=True)
        directory = Path(tempfile.mkdtemp(prefix=process.SPARE, dir=self.settings.work_dir))
        # These variables take effect when torch is imported; see begin().
        environment = child_environment(directory, (), PASSIVE, network=False)
        if self.gpus:
            # The devices are not known yet. If all were hidden, a library that looks for GPUs
            # during the imports would find none, as on a machine without GPUs.
            del environment["CUDA_VISIBLE_DEVICES"]
        try:
            spare = Spare(Child(None, directory, environment), directory)
        except OSError:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        process.record(directory, spare.child)
        self._renew(spare)
        return spare

    def _renew(self, spare: Spare) -> None:
        self._renewed = self.clock()
        spare.child.say(Renew(seconds=self.settings.child_deadline_seconds))

    def _broke(self) -> None:
        wait = min(3600.0, RETRY_SECONDS * 2**self._failures)
        self._failures += 1
        self._not_before = self.clock() + wait


def _end(spare: Spare) -> None:
    spare.child.close()
    shutil.rmtree(spare.directory, ignore_errors=True)


_spares: Spares | None = None


def keep_spares(settings: Settings, *, gpus: bool) -> Spares:
    """Keep a spare in this process, for all attempts that it runs."""
    global _spares  # noqa: PLW0603  (one worker per process)
    _spares = Spares(settings, gpus=gpus)
    _spares.start()
    return _spares


def from_spare(
    job: Job,
    job_file: Path,
    devices: tuple[str, ...],
    environment: Mapping[str, str],
    deadline_seconds: float,
) -> Child | None:
    """Return the spare as the job's child, or None if the job must start its own."""
    if _spares is None:
        return None
    begin = Begin(job=str(job_file), directory=str(job_file.parent), environment=dict(environment))
    return _spares.begin(job, devices, begin, deadline_seconds)
