"""Queries that find the next task for a worker and the positions of waiting tasks.

The statements and their sort order are in ``queue.sql``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.statements import Compiled, fetch_all, read_statements
from aiplatform.server.queue.rules import Demand, Room

STATEMENTS = read_statements(Path(__file__).with_name("queue.sql"))
START = STATEMENTS["start"]
"""The statement that starts a task; :func:`pick` can send it together with its own query."""


@dataclass(frozen=True, slots=True)
class Pick:
    """The result of a queue search: the task to start, and the task that blocks later ones.

    ``task`` is locked. ``blocked`` is the id of the first task that does not fit yet; no task after
    it may start. Both are None if no waiting task can run on the worker.
    """

    task: "Picked | None"
    blocked: int | None

    @property
    def task_id(self) -> int | None:
        """The id of the picked task, or None."""
        return None if self.task is None else self.task.task_id


@dataclass(frozen=True, slots=True)
class Picked:
    """The data that a claim needs about the task that it may start.

    ``gpu_memory_mb`` is the memory needed on each GPU, in MiB.
    """

    task_id: int
    project_id: int
    gpus: int
    gpu_memory_mb: int
    nodes: int
    has_quota: bool
    """True if the project has a quota on the number of tasks or GPUs."""
    started: Any = None
    """The row that :data:`START` returned, or None if it was not sent or did not start the task."""


def pick(
    session: Session,
    queues: Sequence[str],
    labels: str,
    *,
    total: Room,
    free: Room,
    blocked_too: bool,
    excluded: Sequence[int] = (),
    start: tuple[Compiled, Mapping[str, Any]] | None = None,
    now: datetime | None = None,
) -> Pick:
    """Lock and return the first task in queue order that a worker can start now.

    Tasks that another claim has locked are skipped, and so are tasks of projects that are archived,
    deleted or out of quota. ``total`` and ``free`` are the worker's resources: a task *suits* the
    worker if ``total`` is enough for it.

    With ``blocked_too``, the search stops at the first task that suits the worker but does not fit.

    ``start`` is :data:`START` with its parameters. It is sent in the same round trip, and starts
    the task if no further check is necessary.
    """
    settings = get_settings()
    lines, depth, all_levels = 4, 4, False
    while True:
        wanted = {
            "now": now,
            "queues": list(queues),
            "labels": labels,
            "quota_tasks": settings.quota_tasks,
            "quota_gpus": settings.quota_gpus,
            "excluded": list(excluded),
            "blocked_too": blocked_too,
            "lines": lines,
            "depth": depth,
            "all_levels": all_levels,
            **_amounts("total", total),
            **_amounts("free", free),
        }
        (row,), *started = fetch_all(
            session, (STATEMENTS["pick"], wanted), *([] if start is None else [start])
        )
        blocked, more_deep, more_lines, task_id, *known, _ = row
        if task_id is not None or blocked is not None or not (more_deep or more_lines):
            if task_id is None:
                return Pick(None, blocked)
            begun = next((one for rows in started for one in rows), None)
            return Pick(replace(Picked(task_id, *known), started=begun), blocked)
        # All tasks read so far are locked by other claims or don't suit the worker. Read more.
        if more_deep:
            depth *= 16
        else:
            lines, all_levels = 1 << 30, True


def _amounts(prefix: str, room: Room) -> dict[str, object]:
    return {
        f"{prefix}_cpus": room.cpus,
        f"{prefix}_mb": room.memory_mb,
        f"{prefix}_devices": room.largest_first,
    }


def tasks_ahead(session: Session, task_id: int, now: datetime | None = None) -> int | None:
    """Return the number of tasks ahead of a task in its queue, or None if it is not waiting."""
    found = STATEMENTS["ahead"].one(session, task_id=task_id, now=now)
    return int(found.ahead) if found.waits else None


PLACES_COUNTED = 2000
COUNT = """
SELECT count(*) FROM (
    SELECT FROM task_scheduling WHERE waiting AND queue = ANY(CAST(:queues AS text[]))
    LIMIT :limit
) AS counted
"""


def queue_positions(session: Session, tasks: Sequence[tuple[int, str]]) -> dict[int, int]:
    """Return the queue positions (1 is next) of several tasks, keyed by task id.

    ``tasks`` are pairs of id and queue. The result is empty if more than ``PLACES_COUNTED`` tasks
    wait in these queues: task lists are read often, and nobody needs such large positions to be
    exact.
    """
    if not tasks:
        return {}
    queues = sorted({queue for _, queue in tasks})
    limit = PLACES_COUNTED + 1
    if session.scalar(text(COUNT), {"queues": queues, "limit": limit}) == limit:
        return {}
    ids = [task_id for task_id, _ in tasks]
    rows = STATEMENTS["places"].all(session, queues=queues, task_ids=ids)
    return {row.task_id: row.place for row in rows}


def demand_of(session: Session, task_id: int) -> Demand:
    """Return the resources that a task needs."""
    row = session.execute(
        text(
            "SELECT cpus, memory_mb, gpus, gpu_memory_mb, queue, labels "
            "FROM task_scheduling WHERE task_id = :task_id"
        ),
        {"task_id": task_id},
    ).one()
    cpus, memory_mb, gpus, gpu_memory_mb, queue, labels = row
    return Demand(cpus, memory_mb, gpus, gpu_memory_mb, queue, frozenset(labels))
