"""Metric series for charts and summaries.

Most functions here use several transactions: before they read, they may have to update the levels
(precomputed summaries) of a series; see ``rollups``.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.server.core.database import transaction
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import queries as queue_queries
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.queries import NamedTask
from aiplatform.server.telemetry import queries
from aiplatform.server.telemetry.errors import NothingToCompare
from aiplatform.server.telemetry.rules import LEAST_STEP, MOST_STEP, summarise_series
from aiplatform.server.telemetry.service.rollups import (
    prepare_levels_for_charts,
    update_levels,
    update_levels_within,
)

MAX_SUMMARISED = 200
"""Largest number of series in a task's stored summary. Further series are left out."""


def select_tasks(
    context: ProjectContext, tasks: Sequence[UUID], experiment: UUID | None, *, limit: int
) -> list[NamedTask]:
    """Return the tasks to compare.

    Raises:
        NothingToCompare: neither tasks nor an experiment were named.
        NotFound: the project has no such task or experiment.
    """
    if not tasks and experiment is None:
        raise NothingToCompare
    with transaction() as session:
        found = (
            None
            if experiment is None
            else queue_queries.experiment_id(session, context, experiment)
        )
        return queue_queries.named_tasks(session, context, tasks, found, limit=limit)


def read_series(
    task_id: int, keys: Sequence[str] | None, *, first: int | None, last: int | None, limit: int
) -> str:
    """Return ``{"series": …}`` as JSON text, with the last ``limit`` points of each key."""
    with transaction() as session:
        names = queries.keys_of(session, task_id) if keys is None else list(dict.fromkeys(keys))
        parts = [
            (name, queries.history(session, task_id, name, **_between(first, last), limit=limit))
            for name in names
        ]
    # A requested series without points is left out.
    return _object("series", {name: points for name, points in parts if points != "[]"})


def draw_series(
    task_id: int, keys: Sequence[str] | None, *, first: int | None, last: int | None, points: int
) -> str:
    """Return ``{"series": …}`` as JSON text, with at most ``points`` points of each key.

    Longer series are downsampled; see :func:`queries.chart`.
    """
    prepare_levels_for_charts(task_id)
    with transaction() as session:
        names = queries.keys_of(session, task_id) if keys is None else list(dict.fromkeys(keys))
        parts = {
            name: queries.chart(session, task_id, name, **_between(first, last), points=points).json
            for name in names
        }
    return _object("series", {name: points for name, points in parts.items() if points != "[]"})


def compare_series(
    tasks: Sequence[NamedTask],
    keys: Sequence[str],
    *,
    first: int | None,
    last: int | None,
    points: int,
) -> str:
    """Return ``{"charts": {key: [{"task", "name", "total", "points"}]}}`` as JSON text."""
    lines: dict[str, list[str]] = {key: [] for key in keys}
    for task in tasks:
        prepare_levels_for_charts(task.id)
        with transaction() as session:
            for key, found in lines.items():
                chart = queries.chart(session, task.id, key, **_between(first, last), points=points)
                if chart.total:
                    head = dumps({"task": task.uuid, "name": task.name, "total": chart.total})
                    found.append(f'{head[:-1]},"points":{chart.json}}}')
    return _object("charts", {key: f"[{','.join(found)}]" for key, found in lines.items()})


def summarise_tasks(tasks: Sequence[NamedTask], keys: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return the summaries of each task's series; see :func:`summarise_series`."""
    found = []
    for task in tasks:
        update_levels(task.id)
        with transaction() as session:
            rows = queries.summary(session, task.id)
        metrics = {
            row.key: summarise_series(row) for row in rows if keys is None or row.key in keys
        }
        found.append(
            {"task": task.uuid, "name": task.name, "status": task.status, "metrics": metrics}
        )
    return [jsonable(each) | {"task": each["task"]} for each in found]


def summarise_metrics(session: Session, task: Task) -> dict[str, Any]:
    """Return a summary of each series by key, to be stored when the task ends.

    The caller must have locked the task.
    """
    update_levels_within(session, task.id)
    rows = queries.summary(session, task.id)[:MAX_SUMMARISED]
    found: dict[str, Any] = jsonable({row.key: summarise_series(row) for row in rows})
    return found


def _between(first: int | None, last: int | None) -> dict[str, int]:
    return {
        "first": LEAST_STEP if first is None else first,
        "last": MOST_STEP if last is None else last,
    }


def _object(name: str, members: dict[str, str]) -> str:
    inner = ",".join(f"{dumps(key)}:{value}" for key, value in members.items())
    return f'{{"{name}":{{{inner}}}}}'
