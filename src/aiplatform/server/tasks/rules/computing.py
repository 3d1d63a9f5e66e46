"""How a task's processes share the cores of their worker with those of other tasks."""

import math
from dataclasses import dataclass

PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""Has the threads of GNU's and of Intel's OpenMP sleep while they wait for each other.

By default they spin, on all cores. Beside another process that does the same, both wait for
threads that get no turn: a server and a training on two cores fell to a fortieth of their speed.
"""

BATCH_NICENESS = 1
"""How far what nobody waits for at the screen stands back behind servers.

Small, since each step counts: at 1 a server gets 55 % of a core that both want, at 5 it gets 75 %.
"""

NICENESS = "AIPLATFORM_NICENESS"
"""The variable that tells a runtime its niceness."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of a worker: all, those that a task has reserved, those that others have."""

    total: float
    own: float
    others: float

    @property
    def threads(self) -> int:
        """How many threads the task computes with: the cores that it reserved, and free ones.

        A reservation is a least amount. A training with the default of one core may use a whole
        machine on which nothing else runs.
        """
        free = math.floor(self.total - self.others + 0.5)
        return max(1, round(self.own), min(free, math.floor(self.total)))

    @property
    def shared(self) -> bool:
        """Whether other tasks may run beside this one."""
        return self.own < self.total


def environment(cores: Cores, *, serves: bool, divides: bool) -> dict[str, str]:
    """Return the environment variables of a task's runtime.

    Args:
        cores: of its worker.
        serves: whether it answers requests, and so goes before other tasks.
        divides: whether it starts several processes, among which it divides the cores itself.
    """
    found = dict(PASSIVE) if cores.shared else {}
    if not divides:
        found["OMP_NUM_THREADS"] = str(cores.threads)
    if not serves:
        found[NICENESS] = str(BATCH_NICENESS)
    return found
