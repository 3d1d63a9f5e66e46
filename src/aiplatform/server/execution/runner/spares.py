"""A worker's spare: a runtime process that has imported torch before a task needs it.

Like the child of an attempt, a spare is a process with a launcher and a deadline, but it belongs to
no attempt and is not recorded in the database. It gets one job and from then on is the child of
that job's attempt. If the spare fails before that, the attempt starts its own child.
"""

import importlib.util
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import structlog

from aiplatform.protocol.messages import Begin, Job, Renew
from aiplatform.protocol.specs import EstimateSpec, EvaluationSpec, InferenceSpec
from aiplatform.protocol.trainings import TrainingSpec
from aiplatform.server.core.settings import Settings
from aiplatform.server.execution.rules import PASSIVE
from aiplatform.server.execution.runner import process
from aiplatform.server.execution.runner.process import Child, child_environment, fits_pipe

log = structlog.get_logger(__name__)
NEEDED = ("torch", "transformers", "peft", "trl")
POLL_SECONDS = 1.0
SETTLE_SECONDS = 5.0
"""Seconds after the start of the worker or of a task during which no spare is started.

This leaves the CPU to the new process.
"""

HELLO_SECONDS = 10.0
"""Seconds within which a spare must accept its job; normally it takes about a millisecond."""

RETRY_SECONDS = 60.0
"""Seconds to wait after a spare failed; doubled with each further failure, up to an hour."""

ENOUGH_MB = 3072
"""Available memory in MiB required to start a spare, which itself takes about 600 MiB."""

SCARCE_MB = 1536
"""Available memory in MiB below which a spare is stopped.

It is so far below ``ENOUGH_MB`` that the memory freed by stopping a spare is not enough to start
another.
"""

IDLE_SECONDS = 600.0
"""Seconds after which a spare is stopped if no task could have used it."""

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")

Mode = Literal["auto", "on", "off"]


def should_make(mode: Mode, available_mb: float, unused_seconds: float) -> bool:
    """Return True if a worker without a spare should start one."""
    if mode != "auto":
        return mode == "on"
    return available_mb >= ENOUGH_MB and unused_seconds < IDLE_SECONDS


def should_keep(mode: Mode, available_mb: float, unused_seconds: float) -> bool:
    """Return True if a worker should keep its spare."""
    if mode != "auto":
        return mode == "on"
    return available_mb >= SCARCE_MB and unused_seconds < IDLE_SECONDS


def available_memory_mb(cgroups: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """Return the memory in MiB that can be used without swapping or reaching a limit."""
    found = float(psutil.virtual_memory().available)
    return min([found, *(_left(group) for group in _groups(cgroups, own))]) / MIB


def _groups(cgroups: Path, own: Path) -> Iterator[Path]:
    """Yield this process's control group and its ancestors, on Linux with cgroups version 2."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            group = cgroups / line.removeprefix("0::/")
            yield group
            yield from (around for around in group.parents if around.is_relative_to(cgroups))


def _left(group: Path) -> float:
    """Return a control group's free memory in bytes, or infinity if it has no limit.

    File caches count as free.
    """
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or "max"
        return float("inf")
    return float(limit - used + int(statistics.get("inactive_file", 0)))


@dataclass(frozen=True, slots=True)
class Spare:
    """A spare that is importing packages or is ready. ``directory`` is its home directory."""

    child: Child
    directory: Path


class Spares:
    """The manager of this worker's spare: a thread that starts, renews and stops it."""

    def __init__(
        self,
        settings: Settings,
        *,
        gpus: bool,
        clock: Callable[[], float] = time.monotonic,
        available_mb: Callable[[], float] = available_memory_mb,
    ) -> None:
        self.settings = settings
        self.gpus = gpus
        self.clock = clock
        self.available_mb = available_mb
        self._lock = threading.Lock()
        self._spare: Spare | None = None
        self._renewed = 0.0
        self._wanted = clock()
        self._not_before = clock() + SETTLE_SECONDS
        self._failures = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread if the settings allow spares and the packages are installed."""
        if self.settings.warm_runtime == "off" or not all(map(importlib.util.find_spec, NEEDED)):
            return
        self._thread = threading.Thread(target=self._run, name="spares", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the spare, if there is one, and start no more spares."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    @property
    def ready(self) -> bool:
        """True if a spare is ready for a job."""
        spare = self._spare
        return spare is not None and spare.child.warm.is_set()

    def suits(self, job: Job, devices: tuple[str, ...]) -> bool:
        """Return True if a spare may run the job: one process that needs the spare's imports.

        Libraries look for GPUs when they are imported and remember the result. On a machine with
        GPUs, a spare therefore suits only jobs that use GPUs.
        """
        if job.ranks is not None or bool(devices) != self.gpus:
            return False
        match job.spec:
            case TrainingSpec() | EstimateSpec() | EvaluationSpec():
                return True
            case InferenceSpec(engine=engine):
                return engine == "transformers"
        return False

    def begin(
        self, job: Job, devices: tuple[str, ...], begin: Begin, deadline_seconds: float
    ) -> Child | None:
        """Give the job to the spare and return the spare, or None if the job needs a new child.

        A job that has the whole worker to itself needs a new child, because its OpenMP threads may
        wait actively, whereas those of a spare wait passively (``rules.PASSIVE``).
        """
        shares = PASSIVE.items() <= begin.environment.items()
        if not shares or not self.suits(job, devices):
            return None
        with self._lock:
            self._wanted = self.clock()
            self._not_before = max(self._not_before, self.clock() + SETTLE_SECONDS)
            if self._spare is None or not self.ready or not fits_pipe(begin):
                return None
            spare, self._spare = self._spare, None
        spare.child.send(Renew(seconds=deadline_seconds))
        if spare.child.begin(begin, within=HELLO_SECONDS):
            spare.child.scratch = spare.directory
            return spare.child
        log.warning("the spare did not take its job, which is started afresh")
        _end(spare)
        return None

    def _run(self) -> None:
        while not self._stopped.wait(POLL_SECONDS) and not process.stopping.is_set():
            try:
                self.maintain()
            except OSError as error:
                log.warning("no spare could be started", error=str(error)[:200])
                self._back_off()
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            _end(spare)

    def maintain(self) -> None:
        """Renew the spare's deadline, stop the spare, or start one, as needed.

        Raises:
            OSError: a spare can't be started.
        """
        now, mode = self.clock(), self.settings.warm_runtime
        unused = now - self._wanted
        given_up = None
        with self._lock:
            spare = self._spare
            if spare is None:
                if now >= self._not_before and should_make(mode, self.available_mb(), unused):
                    self._spare = self._make()
                return
            if spare.child.gone:
                log.warning("the spare ended by itself", exit_code=spare.child.process.returncode)
                self._back_off()
                given_up, self._spare = spare, None
            elif not should_keep(mode, self.available_mb(), unused):
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
            # during the imports would conclude that the machine has none.
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
        spare.child.send(Renew(seconds=self.settings.child_deadline_seconds))

    def _back_off(self) -> None:
        wait = min(3600.0, RETRY_SECONDS * 2**self._failures)
        self._failures += 1
        self._not_before = self.clock() + wait


def _end(spare: Spare) -> None:
    spare.child.close()
    shutil.rmtree(spare.directory, ignore_errors=True)


_spares: Spares | None = None


def keep_spares(settings: Settings, *, gpus: bool) -> Spares:
    """Start keeping a spare for the attempts of this process."""
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
    """Give the job to this process's spare and return it; None if the job needs a new child."""
    if _spares is None:
        return None
    begin = Begin(job=str(job_file), directory=str(job_file.parent), environment=dict(environment))
    return _spares.begin(job, devices, begin, deadline_seconds)
