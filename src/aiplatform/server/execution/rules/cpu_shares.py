"""Rules for how a task's processes share the cores of their worker with other tasks."""

import math
from dataclasses import dataclass

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Variables that make the threads of GNU's and Intel's OpenMP sleep while they wait.

By default they spin, on all cores. If two processes do that, both wait for threads that get no
turn: a server and a training on two cores fell to a fortieth of their speed.
"""

BATCH_NICENESS = 1
"""Niceness of tasks that answer no requests, so that servers go first.

It is small, since each step counts: at 1 a server gets 55 % of a core that both want, at 5 it gets
75 %.
"""

NICENESS = "AIPLATFORM_NICENESS"
"""Name of the variable that tells a runtime its niceness."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of a worker: all of them, those that a task reserved, and those of other tasks."""

    total: float
    own: float
    others: float

    @property
    def threads(self) -> int:
        """The number of threads for the task: the cores that it reserved, and free ones.

        A reservation is a minimum. A training with the default of one core may use a whole machine
        on which nothing else runs.
        """
        free = math.floor(self.total - self.others + 0.5)
        return max(1, round(self.own), min(free, math.floor(self.total)))

    @property
    def shared(self) -> bool:
        """True if other tasks may run beside this one."""
        return self.own < self.total


def cpu_environment(cores: Cores, *, serves: bool, divides: bool) -> dict[str, str]:
    """Return the environment variables of a task's runtime.

    Args:
        cores: the cores of its worker.
        serves: True if it answers requests, and so goes before other tasks.
        divides: True if it starts several processes and divides the cores among them itself.
    """
    found = dict(PASSIVE) if cores.shared else {}
    if not divides:
        found["OMP_NUM_THREADS"] = str(cores.threads)
    if not serves:
        found[NICENESS] = str(BATCH_NICENESS)
    return found
