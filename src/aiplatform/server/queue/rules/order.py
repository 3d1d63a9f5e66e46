"""The sort order of the queue, as one formula.

Waiting tasks are sorted, ascending, by::

    (-level, usage of the project, since, id)

    level = priority + whole periods of AGING since ``since``
    usage = the project's recent usage: each second of a task adds the task's rate, and usage
            from HALF_LIFE ago counts half; running tasks count as if they had already run
            for LOOKAHEAD longer, so that projects take turns even when many tasks start at once

Tasks with a higher priority go first; at equal priority, tasks of the project with the lowest
recent usage; within a project, the oldest task. A task that waits long enough rises above every
priority, so no task starves. ``since`` is the time of submission unless a user moved the task to
another position within its project.

``queries/queue.sql`` has the same formula in SQL; a test checks that the two agree.
"""

import math
from datetime import datetime, timedelta

AGING = timedelta(hours=6)
"""Waiting time after which a task is ordered as if its priority were one higher."""

HALF_LIFE = timedelta(hours=24)
"""Time after which a project's past usage counts only half."""

LOOKAHEAD = timedelta(hours=1)
"""Time for which running tasks are assumed to continue."""

LONGEST = 50
"""Number of half-lives after which past usage counts as zero.

The limit keeps SQL's ``power()`` from underflowing.
"""

GPU_RATE = 8.0
"""Weight of a GPU in a project's usage, in CPU cores."""

MEMORY_RATE = 1 / 4096
"""Weight of one MiB of memory in a project's usage, in CPU cores: 4 GiB count as one core."""

LEAST_RATE = 0.1
"""Smallest rate of a task, in CPU cores, so that tasks without reserved resources count, too."""


def level(priority: int, since: datetime, now: datetime) -> int:
    """Return the priority, raised by one for each full aging period that the task has waited."""
    return priority + max(0, (now - since) // AGING)


def order_key(
    *, priority: int, usage: float, since: datetime, task_id: int, now: datetime
) -> tuple[int, float, datetime, int]:
    """Return the ascending sort key of a task in the queue; see the module's docstring."""
    return (-level(priority, since, now), usage, since, task_id)


def usage_rate(cpus: float, memory_mb: int, gpus: int) -> float:
    """Return the usage that a task adds to its project each second, in core-seconds.

    This is the task's dominant resource, converted to CPU cores.
    """
    return max(cpus, memory_mb * MEMORY_RATE, gpus * GPU_RATE, LEAST_RATE)


def decayed_usage(usage: float, running_rate: float, passed: timedelta) -> float:
    """Return a project's usage in core-seconds after ``passed``, if tasks add ``running_rate``.

    This solves ``du/dt = running_rate - u * ln 2 / HALF_LIFE``, so the usage can be brought up to
    date at any time from the last values alone.
    """
    half_life = HALF_LIFE.total_seconds()
    halvings = min(max(passed.total_seconds() / half_life, 0.0), LONGEST)
    left = math.pow(2.0, -halvings)
    return usage * left + running_rate * half_life / math.log(2) * (1 - left)


def usage_share(usage: float, running_rate: float, passed: timedelta) -> float:
    """Return the usage by which projects are compared, in core-seconds.

    This is the past usage plus the usage that the running tasks will add during the next LOOKAHEAD.
    """
    return decayed_usage(usage, running_rate, passed) + running_rate * LOOKAHEAD.total_seconds()
