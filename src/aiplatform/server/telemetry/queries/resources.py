"""Statements for the resource usage of tasks and workers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    text,
)
from sqlalchemy.orm import Session


def samples_of(session: Session, task_id: int) -> Sequence[Any]:
    """Return the keys and samples of each of a task's resource usage blocks, sorted by time."""
    return session.execute(
        text(
            "SELECT keys, samples FROM task_telemetry WHERE task_id = :task ORDER BY attempt, began"
        ),
        {"task": task_id},
    ).all()


def task_blocks(
    session: Session, task_id: int, attempt: int | None, since: datetime | None
) -> Sequence[Any]:
    """Return ``began``, ``step_seconds``, ``keys`` and ``samples`` of a task's usage blocks."""
    return session.execute(
        text(
            "SELECT began, step_seconds, keys, samples FROM task_telemetry WHERE task_id = :task "
            "AND (CAST(:attempt AS integer) IS NULL OR attempt = :attempt) "
            "AND (CAST(:since AS timestamptz) IS NULL OR began >= :since) ORDER BY attempt, began"
        ),
        {"task": task_id, "attempt": attempt, "since": since},
    ).all()


def worker_blocks(session: Session, worker_id: int, since: datetime | None) -> Sequence[Any]:
    """Return ``began``, ``step_seconds``, ``keys`` and ``samples`` of a worker's usage blocks."""
    return session.execute(
        text(
            "SELECT began, step_seconds, keys, samples FROM worker_telemetry "
            "WHERE worker_id = :worker "
            "AND (CAST(:since AS timestamptz) IS NULL OR began >= :since) ORDER BY began"
        ),
        {"worker": worker_id, "since": since},
    ).all()


def usage_of(session: Session, task_id: int) -> Sequence[Any]:
    """Return one row for each ended attempt: ``attempt, seconds, cpus, gpus, cost``."""
    return session.execute(
        text(
            "SELECT attempt, seconds, cpus, gpus, cost FROM attempt_usage "
            "WHERE task_id = :task ORDER BY attempt"
        ),
        {"task": task_id},
    ).all()


def held_by(session: Session, task_id: int, fence: int | None = None) -> Any:
    """Return the resources of a task's lease, as a row.

    The columns are ``attempt, cpus, gpu_indices, devices, seconds, nodes``. The result is None if
    the task holds no lease. ``devices`` are all devices of the worker. ``nodes`` is the number of
    nodes, each of which holds the same amounts for the task.
    """
    return session.execute(
        text(
            "SELECT l.attempt, l.cpus, l.gpu_indices, w.devices, EXTRACT(EPOCH FROM "
            "clock_timestamp() - l.acquired_at)::float8 AS seconds, COALESCE((SELECT "
            "CASE g.state WHEN 'gathering' THEN 1 + (SELECT count(*) FROM task_nodes n "
            "WHERE n.task_id = g.task_id) ELSE g.nodes END FROM task_gangs g "
            "WHERE g.task_id = l.task_id), 1) AS nodes "
            "FROM task_leases l JOIN workers w ON w.id = l.worker_id WHERE l.task_id = :task "
            "AND (CAST(:fence AS bigint) IS NULL OR l.fence = :fence)"
        ),
        {"task": task_id, "fence": fence},
    ).one_or_none()
