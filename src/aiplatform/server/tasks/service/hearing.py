"""Hooks by which higher domains learn about tasks of any kind.

They are called often, and within the transaction of the change. So they must be cheap: check if the
task concerns them, and do the work after the commit.
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
    """Call ``act`` for every task that ends or pauses."""
    if act not in _halts:
        _halts.append(act)


def on_points(act: HeardOfPoints) -> None:
    """Call ``act`` with new metrics from a task's runtime, after they are written."""
    if act not in _points:
        _points.append(act)


def tell_of_status(session: Session, task: Task) -> None:
    """Call the hooks for a task that has ended or paused, after a change of status."""
    status = TaskStatus(task.status)
    if status.is_final or status is TaskStatus.PAUSED:
        for act in _halts:
            act(session, task)


def tell_of_points(session: Session, task: Task, metrics: Sequence[Metrics]) -> None:
    """Call the hooks for new points of a task."""
    for act in _points:
        act(session, task, metrics)
