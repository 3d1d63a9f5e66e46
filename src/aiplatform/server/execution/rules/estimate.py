"""An estimate of the time that a task still needs, from its progress in this attempt."""

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW = 1000
"""Number of steps that count. After so many reports, a change of speed is fully believed."""
LEAST = 4
SLOW_FACTOR = 5.0
"""A step that took this many times the usual was delayed by something else."""


class Step(NamedTuple):
    """The seconds between two reports, and the progress made in them (0 to 1)."""

    seconds: float
    progress: float


@dataclass(slots=True)
class Estimate:
    """An estimate that is robust against a slow start and against pauses.

    The usual speed is the median. Delays beyond that count if they recur, as those of evaluations
    and checkpoints do: they are spread over all progress. The longest delay does not count, since a
    pause happens once. The first step never counts: it compiles and fills caches.
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
            # The report was repeated, or progress went back. The time belongs to the next step.
            self._last = (last[0], max(progress, 0.0) if step.progress < 0 else last[1])
            return
        if not self._begun:
            self._begun = True
            return
        self._steps.append(step)

    def seconds_left(self) -> float | None:
        """Return the seconds from the last report to the end, or None while too little is known."""
        if self._last is None or len(self._steps) < LEAST:
            return None
        return (1.0 - self._last[1]) * seconds_per_progress(self._steps)


def seconds_per_progress(steps: Sequence[Step]) -> float:
    """Return the seconds that the whole progress takes at the speed of ``steps``."""
    usual = statistics.median(step.seconds / step.progress for step in steps)
    held_up = sorted(
        step.seconds - usual * step.progress
        for step in steps
        if step.seconds > SLOW_FACTOR * usual * step.progress
    )
    again_and_again = sum(held_up[:-1])
    return usual + again_and_again / sum(step.progress for step in steps)
