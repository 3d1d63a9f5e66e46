"""Hooks by which higher domains learn about tasks of any kind.

They are called often, and within the transaction of the change. So they must be cheap: check if the
task concerns them, and do the work after the commit.
"""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.messages import Metrics
from aiplatform.server.queue.models import Task

StatusHook = Callable[[Session, Task], None]
PointsHook = Callable[[Session, Task, Sequence[Metrics]], None]

_status_hooks: list[StatusHook] = []
_points_hooks: list[PointsHook] = []


def on_end_or_pause(act: StatusHook) -> None:
    """Call ``act`` for every task that ends or pauses."""
    if act not in _status_hooks:
        _status_hooks.append(act)


def on_points(act: PointsHook) -> None:
    """Call ``act`` with new metrics from a task's runtime, after they are written."""
    if act not in _points_hooks:
        _points_hooks.append(act)


def run_status_hooks(session: Session, task: Task) -> None:
    """Call the hooks for a task that has ended or paused, after a change of status."""
    status = TaskStatus(task.status)
    if status.is_final or status is TaskStatus.PAUSED:
        for act in _status_hooks:
            act(session, task)


def run_points_hooks(session: Session, task: Task, metrics: Sequence[Metrics]) -> None:
    """Call the hooks for new points of a task."""
    for act in _points_hooks:
        act(session, task, metrics)
