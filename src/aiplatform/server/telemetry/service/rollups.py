"""Updates of the levels of metric series after points are stored and before they are read.

Levels are precomputed summaries of a series (table ``metric_levels``), from which charts of long
series are drawn.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.telemetry import queries

log = structlog.get_logger(__name__)
EVERY = 50_000
"""Number of new points of a task after which its levels are updated."""

SLICE = 200_000
"""Number of points added to the levels in one transaction."""

MAX_COUNTED = 10_000
FEW = 5_000
"""Number of points up to which a task's charts are drawn without levels."""

_LOCK_TASK = text("SELECT id FROM tasks WHERE id = :task_id FOR NO KEY UPDATE")
_SEEN = text("SELECT up_to FROM metric_rollups WHERE task_id = :task_id")
_HOLD = text("SELECT up_to FROM metric_rollups WHERE task_id = :task_id FOR UPDATE")
_BEGIN = text("INSERT INTO metric_rollups (task_id) VALUES (:task_id) ON CONFLICT DO NOTHING")
_MOVE = text("UPDATE metric_rollups SET up_to = :up_to WHERE task_id = :task_id")
_NEXT = text(
    "SELECT max(id), count(*) FROM (SELECT id FROM metric_points "
    "WHERE task_id = :task_id AND id > :after ORDER BY id LIMIT :slice) AS fresh"
)


def update_levels(task_id: int) -> None:
    """Add all points of a task to its levels, in separate transactions.

    Points get their ids while the task is locked. This function briefly locks the task, too, so no
    point with a smaller id can be committed later.
    """
    while True:
        with transaction() as session:
            if session.scalar(_LOCK_TASK, {"task_id": task_id}) is None:
                return
            after = session.scalar(_SEEN, {"task_id": task_id}) or 0
            up_to, more = _next(session, task_id, after)
        if up_to is None:
            return
        with transaction() as session:
            _advance(session, task_id, up_to)
        if not more:
            return


def update_levels_within(session: Session, task_id: int) -> None:
    """Add all points of a task to its levels in the caller's transaction.

    The transaction must have locked the task.
    """
    more = True
    while more:
        after = session.scalar(_SEEN, {"task_id": task_id}) or 0
        up_to, more = _next(session, task_id, after)
        if up_to is None:
            return
        _advance(session, task_id, up_to)


def prepare_levels_for_charts(task_id: int) -> None:
    """Update a task's levels if it has so many points that charts need them."""
    with transaction() as session:
        after = session.scalar(_SEEN, {"task_id": task_id}) or 0
        values = {"task_id": task_id, "after": after, "slice": FEW + 1}
        up_to, fresh = session.execute(_NEXT, values).one()
    if up_to is not None and (after or fresh > FEW):
        update_levels(task_id)


def _next(session: Session, task_id: int, after: int) -> tuple[int | None, bool]:
    values = {"task_id": task_id, "after": after, "slice": SLICE}
    up_to, fresh = session.execute(_NEXT, values).one()
    return up_to, fresh == SLICE


def _advance(session: Session, task_id: int, up_to: int) -> None:
    session.execute(_BEGIN, {"task_id": task_id})
    after = session.scalars(_HOLD, {"task_id": task_id}).one()
    if after >= up_to:
        return
    queries.add_to_levels(session, task_id, after=after, up_to=up_to)
    session.execute(_MOVE, {"task_id": task_id, "up_to": up_to})


class RollUps:
    """The counters of new points by task, and a thread that updates the tasks' levels."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._busy: set[int] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollups")

    def count(self, task_id: int, points: int) -> None:
        """Count a task's new points; start an update of its levels after ``EVERY`` points.

        Returns immediately.
        """
        if len(self._counts) > MAX_COUNTED:
            self._counts.clear()
        counted = self._counts.get(task_id, 0) + points
        if counted >= EVERY and task_id not in self._busy:
            counted = 0
            self._busy.add(task_id)
            future = asyncio.get_running_loop().run_in_executor(self._thread, self._run, task_id)
            future.add_done_callback(lambda _: self._busy.discard(task_id))
        self._counts[task_id] = counted

    def close(self) -> None:
        """Stop the thread after its current update. Readers update the other levels when needed."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _run(task_id: int) -> Any:
        try:
            update_levels(task_id)
        except SQLAlchemyError as error:
            log.warning("levels are not up to date", task_id=task_id, error=str(error)[:200])
