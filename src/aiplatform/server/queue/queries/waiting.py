"""The queue in SQL: select the first task that a worker may start, and the place of a task.

The order is the formula of ``rules.order``. In the index, the tasks of one queue, priority and
project form a line, in the order in which they are started, so the queue is a merge of these lines.
A loose index scan finds the head of each line, the heads are sorted by the formula, and only the
first lines are read. At first only lines that can contain a task of the top level are considered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.statements import Compiled, compiled, fetch_all, strip_sql
from aiplatform.server.queue.rules import AGING, Demand, Room

LEVEL = (
    "({0}.priority + GREATEST(FLOOR(date_part('epoch', now.at - {0}.since) / "
    f"{AGING.total_seconds():.0f})::int, 0))"
)
"""SQL expression for ``rules.level`` of a row; needs ``now(at)`` in scope."""

USAGE = "COALESCE(usage_share(u.usage, u.rate, u.as_of, now.at), 0)"
"""SQL expression for ``rules.usage_share`` of a joined row ``u`` of project_usage."""

LINES = f"""
    now AS (SELECT COALESCE(CAST(:now AS timestamptz), now()) AS at),
    oldest AS (
        SELECT s.queue, s.priority, {LEVEL.format("s")} AS level
        FROM unnest(CAST(:queues AS text[])) q(queue) CROSS JOIN generate_series(1, 10) p
        CROSS JOIN now CROSS JOIN LATERAL (
            SELECT s.queue, s.priority, s.since FROM task_scheduling s
            WHERE s.waiting AND s.queue = q.queue AND s.priority = p ORDER BY s.since LIMIT 1
        ) AS s
    ),
    top AS (SELECT max(level) AS level FROM oldest),
    lines AS (
        SELECT h.* FROM oldest o CROSS JOIN top CROSS JOIN LATERAL (
            SELECT s.queue, s.priority, s.project_id, s.since, s.task_id FROM task_scheduling s
            WHERE s.waiting AND s.queue = o.queue AND s.priority = o.priority
            ORDER BY s.project_id, s.since, s.task_id LIMIT 1
        ) AS h
        WHERE :all_levels OR o.level = top.level
        UNION ALL
        SELECT h.* FROM lines l CROSS JOIN LATERAL (
            SELECT s.queue, s.priority, s.project_id, s.since, s.task_id FROM task_scheduling s
            WHERE s.waiting AND s.queue = l.queue AND s.priority = l.priority
              AND s.project_id > l.project_id
            ORDER BY s.project_id, s.since, s.task_id LIMIT 1
        ) AS h
    )"""  # noqa: S608  (constants)
"""Loose index scan: the first task of each project, of all priorities or those of the top level.

No task of a priority has a higher level than its oldest task. So if that one is below the top
level, no line of the priority needs to be read.
"""

FITS = """(s.cpus <= {0}cpus AND s.memory_mb <= {0}mb AND (s.gpus = 0 OR
    COALESCE((CAST({0}devices AS int[]))[s.gpus] >= s.gpu_memory_mb, false)))"""
"""``rules.Room.holds`` in SQL; devices are the memory of each, largest first."""

STARTS_SETTING = "aiplatform.starts"
"""Setting of the transaction with the id of a task that may start without another check.

A pick sets it if the task needs no devices and its project has no quota.
"""

STARTS = f"CAST(NULLIF(current_setting('{STARTS_SETTING}', true), '') AS int)"
"""SQL expression for the id of that task, or null."""

_PICK = f"""
WITH RECURSIVE {LINES},
    ranked AS (
        SELECT x.*, row_number() OVER (ORDER BY first, usage, since, task_id) AS place
        FROM (
            SELECT l.*, -{LEVEL.format("l")} AS first, {USAGE} AS usage,
                   q.gpus - COALESCE(u.gpus, 0) AS room,
                   q.tasks IS NOT NULL OR q.gpus IS NOT NULL AS has_quota
            FROM lines l CROSS JOIN now JOIN projects p ON p.id = l.project_id
            LEFT JOIN project_usage u ON u.project_id = p.id
            LEFT JOIN project_quotas pq ON pq.project_id = p.id
            CROSS JOIN LATERAL (
                SELECT COALESCE(pq.concurrent_tasks, CAST(:quota_tasks AS int)) AS tasks,
                       COALESCE(pq.gpus, CAST(:quota_gpus AS int)) AS gpus
            ) AS q
            WHERE COALESCE(p.status, 'active') = 'active'
              AND COALESCE(COALESCE(u.running, 0) < q.tasks, true)
        ) AS x
    ),
    -- The head of a line orders before everything of the line, so what orders before the first line
    -- that is not read is final; what does not is left to a second look at all lines.
    bound AS (
        SELECT first, usage, since, task_id FROM ranked WHERE place = :lines + 1
        UNION ALL SELECT 1 - level, -1, '-infinity', 0 FROM top
        WHERE NOT :all_levels AND level IS NOT NULL
    ),
    able AS (
        SELECT c.*, -{LEVEL.format("c")} AS first, r.usage, r.has_quota
        FROM ranked r CROSS JOIN now CROSS JOIN LATERAL (
            SELECT s.task_id, s.priority, s.since, s.gpus, s.gpu_memory_mb, s.nodes, w.fits
            FROM task_scheduling s CROSS JOIN LATERAL (
                SELECT {FITS.format(":free_")} AS fits
            ) AS w
            WHERE s.waiting AND s.queue = r.queue AND s.project_id = r.project_id
              AND s.priority = r.priority
              AND (s.not_before IS NULL OR s.not_before <= now.at)
              AND (s.labels = '[]' OR s.labels <@ CAST(:labels AS jsonb))
              AND {FITS.format(":total_")}
              AND s.task_id <> ALL(CAST(:excluded AS int[]))
              AND COALESCE(s.gpus = 0 OR s.gpus * s.nodes <= r.room, true)
              AND (:blocked_too OR w.fits)
            ORDER BY s.since, s.task_id LIMIT :depth
        ) AS c
        WHERE r.place <= :lines
    ),
    final AS (
        SELECT c.* FROM able c
        WHERE NOT EXISTS (
            SELECT FROM bound b
            WHERE (b.first, b.usage, b.since, b.task_id) < (c.first, c.usage, c.since, c.task_id)
        )
        ORDER BY first, usage, since, task_id LIMIT :depth
    ),
    blocked AS (
        SELECT * FROM final WHERE NOT fits ORDER BY first, usage, since, task_id LIMIT 1
    ),
    picked AS (
        SELECT t.id, t.project_id, f.gpus, f.gpu_memory_mb, f.nodes, f.has_quota
        FROM final f JOIN tasks t ON t.id = f.task_id
        WHERE t.status = 'pending' AND t.project_id IS NOT NULL AND f.fits
          AND NOT EXISTS (
            SELECT FROM blocked b
            WHERE (b.first, b.usage, b.since, b.task_id) < (f.first, f.usage, f.since, f.task_id)
          )
        ORDER BY first, usage, since, task_id LIMIT 1
        FOR UPDATE OF t SKIP LOCKED
    )
SELECT (SELECT task_id FROM blocked), (SELECT count(*) FROM final) >= :depth,
       EXISTS (SELECT FROM bound), picked.*,
       set_config('{STARTS_SETTING}',
           CASE WHEN gpus = 0 AND NOT has_quota THEN id::text ELSE '' END, true)
FROM (SELECT) one LEFT JOIN picked ON true
"""  # noqa: S608  (constants)
PICK = compiled(text(strip_sql(_PICK)))


@dataclass(frozen=True, slots=True)
class Pick:
    """The result of a look at the queue.

    ``task`` is locked. ``blocked`` is the first task that does not fit yet; no task after it may
    start. Both are None if no waiting task suits the worker.
    """

    task: "Picked | None"
    blocked: int | None

    @property
    def task_id(self) -> int | None:
        """The id of the picked task, or None."""
        return None if self.task is None else self.task.task_id


@dataclass(frozen=True, slots=True)
class Picked:
    """The facts that a claim needs about a task that it may start. Memory in MiB for each GPU."""

    task_id: int
    project_id: int
    gpus: int
    gpu_memory_mb: int
    nodes: int
    has_quota: bool
    """True if the project's quota limits the number of tasks or GPUs."""
    started: Any = None
    """The row returned by the statement that was sent along, if it has started the task."""


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
    """Lock and return the first task in queue order that suits ``total`` and fits ``free``.

    Skips tasks that another claim has locked, tasks that a quota holds back, and tasks of projects
    that are archived or deleted.

    With ``blocked_too``, the search ends at the first task that suits the worker but does not fit.

    ``start`` is a statement that is sent in the same round trip. It starts the task :data:`STARTS`,
    if that is set.
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
        (row,), *started = fetch_all(session, (PICK, wanted), *([] if start is None else [start]))
        blocked, more_deep, more_lines, task_id, *known, _ = row
        if task_id is not None or blocked is not None or not (more_deep or more_lines):
            if task_id is None:
                return Pick(None, blocked)
            begun = next((one for rows in started for one in rows), None)
            return Pick(replace(Picked(task_id, *known), started=begun), blocked)
        # All tasks that were read are locked by other claims, or don't suit. Look at more.
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


OTHERS_WAIT = """
(EXISTS (
    SELECT FROM unnest(CAST(:queues AS text[])) q(queue) CROSS JOIN LATERAL (
        SELECT FROM task_scheduling s
        WHERE s.waiting AND s.queue = q.queue AND s.task_id <> {0}
        ORDER BY s.priority LIMIT 1
    ) AS first
) OR EXISTS (SELECT FROM task_gangs WHERE state = 'gathering'))"""
"""SQL condition: True if a worker should be woken for a task other than the given one.

The order is that of the index. Without it, the planner might search a million tasks that have ended
for one that waits.
"""


AHEAD = f"""
WITH now AS (SELECT COALESCE(CAST(:now AS timestamptz), CURRENT_TIMESTAMP) AS at),
    mine AS (
        SELECT s.queue, -{LEVEL.format("s")} AS first, {USAGE} AS usage, s.since, s.task_id
        FROM task_scheduling s CROSS JOIN now
        LEFT JOIN project_usage u ON u.project_id = s.project_id
        WHERE s.task_id = :task_id AND s.waiting
    )
SELECT (SELECT count(*) FROM mine), count(*)
FROM mine CROSS JOIN now
JOIN task_scheduling s ON s.queue = mine.queue AND s.waiting AND s.task_id <> mine.task_id
LEFT JOIN project_usage u ON u.project_id = s.project_id
WHERE (-{LEVEL.format("s")}, {USAGE}, s.since, s.task_id)
    < (mine.first, mine.usage, mine.since, mine.task_id)
"""  # noqa: S608  (constants)


def tasks_ahead(session: Session, task_id: int, now: datetime | None = None) -> int | None:
    """Return how many tasks of its queue come before a task, or None if it does not wait."""
    waits, ahead = session.execute(text(AHEAD), {"task_id": task_id, "now": now}).one()
    return ahead if waits else None


PLACES_COUNTED = 2000
PLACES = f"""
WITH now AS (SELECT CURRENT_TIMESTAMP AS at)
SELECT task_id, place FROM (
    SELECT s.task_id, s.queue, row_number() OVER (
        PARTITION BY s.queue
        ORDER BY -{LEVEL.format("s")}, {USAGE}, s.since, s.task_id) AS place
    FROM task_scheduling s CROSS JOIN now LEFT JOIN project_usage u ON u.project_id = s.project_id
    WHERE s.waiting AND s.queue = ANY(CAST(:queues AS text[]))
) AS places
WHERE task_id = ANY(CAST(:task_ids AS integer[]))
"""  # noqa: S608  (constants)
COUNT = """
SELECT count(*) FROM (
    SELECT FROM task_scheduling WHERE waiting AND queue = ANY(CAST(:queues AS text[]))
    LIMIT :limit
) AS counted
"""


def queue_positions(session: Session, tasks: Sequence[tuple[int, str]]) -> dict[int, int]:
    """Return the places (1 is next) of several tasks, given with their queues.

    The result is empty if very many tasks wait: lists are read often, and nobody needs the exact
    number there.
    """
    if not tasks:
        return {}
    queues = sorted({queue for _, queue in tasks})
    limit = PLACES_COUNTED + 1
    if session.scalar(text(COUNT), {"queues": queues, "limit": limit}) == limit:
        return {}
    ids = [task_id for task_id, _ in tasks]
    rows = session.execute(text(PLACES), {"queues": queues, "task_ids": ids})
    return {task_id: place for task_id, place in rows}  # noqa: C416  (typed rows)


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
