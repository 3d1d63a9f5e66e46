"""Events that advance a sweep, such as the end of a trial's task.

A worker does the sweep's next step after the commit of the event. If the message is lost, the
periodic work of the workers does the step later.
"""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskType
from aiplatform.protocol.messages import Metrics
from aiplatform.protocol.sweeps import Asha
from aiplatform.server.core.broker import CHORES, send
from aiplatform.server.core.database import after_commit
from aiplatform.server.queue.models import Task
from aiplatform.server.sweeps import queries
from aiplatform.server.sweeps.rules import rung_steps

ADVANCE = "aiplatform.sweeps.advance"
"""Name of the Celery task that does a sweep's next step; see ``sweeps/jobs.py``."""


def advance_soon(session: Session, sweep_id: int) -> None:
    """Send a message after the commit that makes a worker do the sweep's next step."""
    after_commit(session, lambda: send(ADVANCE, CHORES, sweep_id=sweep_id))


def on_task_halt(session: Session, task: Task) -> None:
    """Advance the sweep if a task that has ended or paused is one of its trials."""
    if task.type != TaskType.TRAINING:
        return
    sweep_id = queries.sweep_of(session, task.id)
    if sweep_id is not None:
        advance_soon(session, sweep_id)


def on_task_metrics(session: Session, task: Task, metrics: Sequence[Metrics]) -> None:
    """Advance the sweep if a task is one of its trials and has measured a value at a rung."""
    if task.type != TaskType.TRAINING:
        return
    pruned = queries.pruning_of(session, task.id)
    if pruned is None:
        return
    asha = Asha.model_validate(pruned.pruning)
    rung = rung_steps(asha, pruned.passed)
    if any(asha.series in point.values and point.step >= rung for point in metrics):
        advance_soon(session, pruned.sweep_id)
