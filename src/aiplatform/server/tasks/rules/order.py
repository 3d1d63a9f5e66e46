"""The order of the queue, as one formula.

Tasks that wait are sorted, ascending, by::

    (-level, usage of the project, since, id)

    level = priority + whole periods of AGING since ``since``
    usage = what the project used lately: each second of a task counts its rate, and what
            happened HALF_LIFE ago counts half; what runs counts LOOKAHEAD more, so that
            projects take turns even when many tasks start in one moment

So the higher priority goes first; among equals the project that used least lately; within a project
the older task. A task that waits long enough outgrows every priority, so none starves. ``since`` is
when the task was submitted, unless somebody moved it to another place within its project.

``queries.waiting`` has the same formula in SQL; a test holds the two together.
"""

import math
from datetime import datetime, timedelta

AGING = timedelta(hours=6)
"""A task that has waited so long orders like one of the next higher priority."""

HALF_LIFE = timedelta(hours=24)
"""After so long, what a project used counts half."""

LOOKAHEAD = timedelta(hours=1)
"""How long what runs now is taken to go on."""

LONGEST = 50
"""Half-lives after which nothing is left; also keeps the SQL's power() from underflow."""

GPU_RATE = 8.0
"""A GPU counts like so many CPU cores."""

MEMORY_RATE = 1 / 4096
"""4 GiB of memory count like a CPU core."""

LEAST_RATE = 0.1
"""A task that asks for nothing still takes its turn."""


def level(priority: int, since: datetime, now: datetime) -> int:
    """The priority, raised by one for each whole period of waiting."""
    return priority + max(0, (now - since) // AGING)


def order_key(
    *, priority: int, usage: float, since: datetime, task_id: int, now: datetime
) -> tuple[int, float, datetime, int]:
    """What the queue is sorted by, ascending; see the module."""
    return (-level(priority, since, now), usage, since, task_id)


def rate(cpus: float, memory_mb: int, gpus: int) -> float:
    """What one second of a task adds to its project's usage: its dominant resource, in cores."""
    return max(cpus, memory_mb * MEMORY_RATE, gpus * GPU_RATE, LEAST_RATE)


def decayed(usage: float, running_rate: float, passed: timedelta) -> float:
    """A project's usage (core-seconds) after ``passed``, while tasks of ``running_rate`` ran.

    The solution of ``du/dt = running_rate - u * ln 2 / HALF_LIFE``, so it can be brought up to date
    at any time from the last figures alone.
    """
    half_life = HALF_LIFE.total_seconds()
    halvings = min(max(passed.total_seconds() / half_life, 0.0), LONGEST)
    left = math.pow(2.0, -halvings)
    return usage * left + running_rate * half_life / math.log(2) * (1 - left)


def share(usage: float, running_rate: float, passed: timedelta) -> float:
    """The usage by which projects are compared: what was used, and what runs for LOOKAHEAD more."""
    return decayed(usage, running_rate, passed) + running_rate * LOOKAHEAD.total_seconds()
