"""How long a task will still take, from how it went so far in this attempt."""

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW = 1000
"""Steps that are looked back at: a task whose speed changes is believed after so many reports."""
LEAST = 4
SLOW_FACTOR = 5.0
"""A step that took so many times the usual was held up by something else."""


class Step(NamedTuple):
    """Between two reports: seconds, and the progress made (0 to 1)."""

    seconds: float
    progress: float


@dataclass(slots=True)
class Estimate:
    """Robust against a slow start and against pauses.

    The usual speed is the median. What held steps up beyond that counts when it comes again and
    again, as evaluations and checkpoints do, spread over all progress; the longest hold-up does
    not, since a pause comes once. The first step is never counted: it compiles and fills caches.
    """

    _steps: deque[Step] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _last: tuple[float, float] | None = None
    _begun: bool = False

    def add(self, now: float, progress: float) -> None:
        """Take a report: ``now`` in seconds of a monotonic clock, ``progress`` from 0 to 1."""
        last, self._last = self._last, (now, progress)
        if last is None:
            return
        step = Step(now - last[0], progress - last[1])
        if step.progress <= 0 or step.seconds <= 0:
            # Said again, or gone back: time goes on, and belongs to the next step.
            self._last = (last[0], max(progress, 0.0) if step.progress < 0 else last[1])
            return
        if not self._begun:
            self._begun = True
            return
        self._steps.append(step)

    def seconds_left(self) -> float | None:
        """Until the end, from the last report; None while there is too little to go by."""
        if self._last is None or len(self._steps) < LEAST:
            return None
        return (1.0 - self._last[1]) * seconds_per_progress(self._steps)


def seconds_per_progress(steps: Sequence[Step]) -> float:
    """Seconds for the whole of the progress, at the speed of ``steps``."""
    usual = statistics.median(step.seconds / step.progress for step in steps)
    held_up = sorted(
        step.seconds - usual * step.progress
        for step in steps
        if step.seconds > SLOW_FACTOR * usual * step.progress
    )
    again_and_again = sum(held_up[:-1])
    return usual + again_and_again / sum(step.progress for step in steps)
