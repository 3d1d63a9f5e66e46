"""When a sweep takes its next step: as soon as something has happened that it decides by.

The step is taken by a worker, after the commit of what has happened. A message that is lost is made
up for by the sweep of the workers, which gives every search a turn.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.messages import Metrics
from aiplatform.protocol.sweeps import Asha
from aiplatform.server.core.broker import CHORES, send
from aiplatform.server.core.database import after_commit
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.rules import rung_steps
from aiplatform.server.tasks.models import Task

ADVANCE = "aiplatform.sweeps.advance"
"""Name of the Celery task that does a sweep's next step; see ``sweeps/jobs.py``."""


def advance_soon(session: Session, sweep_id: int) -> None:
    """Have a worker do the sweep's next step, after the commit."""
    after_commit(session, lambda: send(ADVANCE, CHORES, sweep_id=sweep_id))


def hear_of_halt(session: Session, task: Task) -> None:
    """A trial's task has ended or paused: its value counts, or another may start."""
    if task.type != TaskType.TRAINING:
        return
    sweep_id = queries.sweep_of(session, task.id)
    if sweep_id is not None:
        advance_soon(session, sweep_id)


def hear_of_points(session: Session, task: Task, metrics: Sequence[Metrics]) -> None:
    """A trial's task has measured something: it may have reached a rung."""
    if task.type != TaskType.TRAINING:
        return
    pruned = queries.pruning_of(session, task.id)
    if pruned is None:
        return
    asha = Asha.model_validate(pruned.pruning)
    rung = rung_steps(asha, pruned.passed)
    if any(asha.series in point.values and point.step >= rung for point in metrics):
        advance_soon(session, pruned.sweep_id)
