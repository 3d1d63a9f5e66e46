"""Pure rules of execution: CPU shares, remaining time, retriable failures, artifact paths."""

import errno
import math
import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Environment variables that make waiting threads of GNU's and Intel's OpenMP sleep.

By default they spin on all cores while they wait. If two processes do that, the spinning threads
take CPU time from the threads that they wait for. On two shared cores, a model server and a
training process slowed down to a fortieth of their speed.
"""

BATCH_NICENESS = 1
"""Niceness of tasks that don't answer requests, so that servers go first.

It is small because each step matters: when both want the same core, a server gets 55 % of it at
niceness 1 and 75 % at niceness 5.
"""

NICENESS = "AIPLATFORM_NICENESS"
"""Name of the environment variable that tells a runtime its niceness."""


@dataclass(frozen=True, slots=True)
class Cores:
    """A worker's CPU cores: all of them, and those reserved by this task and by other tasks."""

    total: float
    own: float
    others: float

    @property
    def threads(self) -> int:
        """The number of threads for the task: one for each core that it reserved or that is free.

        A reservation is a minimum: a training task with the default of one core may use the whole
        machine if nothing else is running there.
        """
        free = math.floor(self.total - self.others + 0.5)
        return max(1, round(self.own), min(free, math.floor(self.total)))

    @property
    def shared(self) -> bool:
        """True if other tasks may run at the same time."""
        return self.own < self.total


def cpu_environment(cores: Cores, *, serves: bool, divides: bool) -> dict[str, str]:
    """Return the environment variables that control the CPU use of a task's runtime.

    Args:
        cores: the cores of the task's worker.
        serves: True if the runtime answers requests. It then keeps the normal niceness; other tasks
            get a lower CPU priority.
        divides: True if the runtime starts several processes and divides the cores among them.
    """
    found = dict(PASSIVE) if cores.shared else {}
    if not divides:
        found["OMP_NUM_THREADS"] = str(cores.threads)
    if not serves:
        found[NICENESS] = str(BATCH_NICENESS)
    return found


WINDOW = 1000
"""Number of the newest steps that the estimate uses. Older steps no longer influence it."""
LEAST = 4
SLOW_FACTOR = 5.0
"""Multiple of the usual duration above which a step counts as delayed (by an evaluation, say)."""


class Step(NamedTuple):
    """The seconds between two reports, and the progress made between them (0 to 1)."""

    seconds: float
    progress: float


@dataclass(slots=True)
class Estimate:
    """An estimate of a task's remaining time, robust against a slow start and against pauses.

    The usual speed is the median over the steps. The delays of slow steps are spread over all
    progress and added, because evaluations and checkpoints recur. The longest delay is left out,
    because it may be a pause, which happens only once. The first step is left out, too, because it
    compiles code and fills caches.
    """

    _steps: deque[Step] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _last: tuple[float, float] | None = None
    _begun: bool = False

    def add(self, now: float, progress: float) -> None:
        """Add a report: ``now`` in seconds of a monotonic clock, ``progress`` from 0 to 1."""
        last, self._last = self._last, (now, progress)
        if last is None:
            return
        step = Step(now - last[0], progress - last[1])
        if step.progress <= 0 or step.seconds <= 0:
            # The report was repeated, or progress went backwards. The time is added to the next
            # step.
            self._last = (last[0], max(progress, 0.0) if step.progress < 0 else last[1])
            return
        if not self._begun:
            self._begun = True
            return
        self._steps.append(step)

    def seconds_left(self) -> float | None:
        """Return the estimated seconds from the last report to the end; None if not yet known."""
        if self._last is None or len(self._steps) < LEAST:
            return None
        return (1.0 - self._last[1]) * seconds_per_progress(self._steps)


def seconds_per_progress(steps: Sequence[Step]) -> float:
    """Return the seconds that the whole task (progress 0 to 1) takes at the speed of ``steps``."""
    usual = statistics.median(step.seconds / step.progress for step in steps)
    held_up = sorted(
        step.seconds - usual * step.progress
        for step in steps
        if step.seconds > SLOW_FACTOR * usual * step.progress
    )
    again_and_again = sum(held_up[:-1])
    return usual + again_and_again / sum(step.progress for step in steps)


LONGEST_WAIT_SECONDS = 3600.0

TRANSIENT = frozenset(
    {
        errno.EAGAIN, errno.ECONNREFUSED, errno.ECONNRESET, errno.EDQUOT, errno.EHOSTUNREACH,
        errno.EINTR, errno.EIO, errno.EMFILE, errno.ENETUNREACH, errno.ENFILE, errno.ENOMEM,
        errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT,
    }
)  # fmt: skip
"""Error numbers (errno) of temporary machine and network errors.

A later attempt, or an attempt on another worker, may succeed.
"""


def is_transient(error: OSError) -> bool:
    """Return True if a retry may succeed after this error.

    A missing file, for example, is not a temporary error.
    """
    return isinstance(error, ConnectionError | TimeoutError) or error.errno in TRANSIENT


def wait_before_retry(retry_seconds: float, failures: int) -> float:
    """Return the seconds to wait before the next attempt: doubled with each failure, up to an hour.

    Args:
        retry_seconds: the wait after the first failure.
        failures: the number of failures so far, at least 1.
    """
    return float(min(retry_seconds * 2.0 ** min(failures - 1, 30), LONGEST_WAIT_SECONDS))


MAX_ARTIFACTS = 10_000
MAX_PATH = 500


class Fault(NamedTuple):
    """The reason why a path is refused, in English and Chinese."""

    en: str
    zh: str


def path_fault(path: str) -> Fault | None:
    """Return the reason why an artifact can't have ``path``, or None if it can.

    A valid path is relative and means the same file on every operating system.
    """
    if not path or len(path) > MAX_PATH:
        return Fault(
            f"it must have 1 to {MAX_PATH} characters", f"长度必须为 1 至 {MAX_PATH} 个字符"
        )
    if not path.isprintable() or "\\" in path or ":" in path:
        return Fault(
            "it contains a control character, a backslash or a colon; rename the file",
            "路径包含控制字符、反斜杠或冒号，请重命名文件",
        )
    if any(part.strip() in {"", ".", ".."} for part in path.split("/")):
        return Fault(
            "it must be a relative path without empty parts, `.` and `..`",
            "必须是相对路径，且不能包含空的部分、“.”或“..”",
        )
    return None
