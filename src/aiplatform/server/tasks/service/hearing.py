"""What higher domains hear of tasks that are not of a kind of theirs.

They are called in the transaction of what they hear of, and so often that what they do must be
cheap: look whether it concerns them, and have the rest done after the commit.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.messages import Metrics
from aiplatform.server.tasks.models import Task

HeardOfHalt = Callable[[Session, Task], None]
HeardOfPoints = Callable[[Session, Task, Sequence[Metrics]], None]

_halts: list[HeardOfHalt] = []
_points: list[HeardOfPoints] = []


def on_halt(act: HeardOfHalt) -> None:
    """Call ``act`` for every task that ends or comes to a pause."""
    if act not in _halts:
        _halts.append(act)


def on_points(act: HeardOfPoints) -> None:
    """Call ``act`` with what the runtime of a task has measured, once it is written."""
    if act not in _points:
        _points.append(act)


def tell_of_status(session: Session, task: Task) -> None:
    """The task has a new status."""
    status = TaskStatus(task.status)
    if status.is_final or status is TaskStatus.PAUSED:
        for act in _halts:
            act(session, task)


def tell_of_points(session: Session, task: Task, metrics: Sequence[Metrics]) -> None:
    """The task has new points."""
    for act in _points:
        act(session, task, metrics)
