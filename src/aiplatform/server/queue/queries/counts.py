"""Counts of waiting and running tasks, for Prometheus and for the reaper."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.queue.models import Task, TaskLease


def waiting_by_queue(session: Session) -> dict[str, int]:
    """Return the number of tasks in each queue that wait and may start now."""
    rows = session.execute(
        text(
            "SELECT queue, count(*) FROM task_scheduling WHERE waiting "
            "AND (not_before IS NULL OR not_before <= CURRENT_TIMESTAMP) GROUP BY queue"
        )
    )
    return {queue: count for queue, count in rows}  # noqa: C416  (typed rows)


def count_waiting(session: Session, queues: Sequence[str], most: int) -> dict[str, int]:
    """Return the number of tasks in each queue that wait and may start, counted up to ``most``."""
    rows = session.execute(
        text(
            "SELECT q.queue, count(*) FROM unnest(CAST(:queues AS text[])) AS q(queue) "
            "CROSS JOIN LATERAL (SELECT FROM task_scheduling s WHERE s.waiting "
            "AND s.queue = q.queue AND (not_before IS NULL OR not_before <= CURRENT_TIMESTAMP) "
            "ORDER BY s.priority, s.since LIMIT :most) AS w GROUP BY q.queue"
        ),
        {"queues": list(queues), "most": most},
    )
    return {queue: count for queue, count in rows}  # noqa: C416  (typed rows)


def oldest_wait(session: Session) -> dict[str, float]:
    """Return the age in seconds of the oldest waiting task in each queue."""
    rows = session.execute(
        text(
            "SELECT queue, EXTRACT(EPOCH FROM CURRENT_TIMESTAMP - min(since))::float8 "
            "FROM task_scheduling WHERE waiting GROUP BY queue"
        )
    )
    return {queue: seconds for queue, seconds in rows}  # noqa: C416  (typed rows)


def unfinished_counts(session: Session) -> Sequence[Any]:
    """Return the number of tasks that have not ended, by status and priority."""
    unfinished = [status.value for status in TaskStatus if not status.is_final]
    return session.execute(
        select(Task.status, Task.priority, func.count())
        .where(Task.status.in_(unfinished))
        .group_by(Task.status, Task.priority)
    ).all()


def running_by_type(session: Session) -> dict[str, int]:
    """Return the number of tasks of each type that hold a lease."""
    rows = session.execute(
        select(Task.type, func.count())
        .join(TaskLease, TaskLease.task_id == Task.id)
        .group_by(Task.type)
    )
    return {task_type: count for task_type, count in rows}  # noqa: C416  (typed rows)
