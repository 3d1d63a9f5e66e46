"""Keeping the levels of series up to date: behind the ingest, and before somebody reads."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.tasks.queries import series

log = structlog.get_logger(__name__)
EVERY = 50_000
"""Points of a task that gather before its levels are brought up to date behind the ingest."""

SLICE = 200_000
"""Points that are seen to in one transaction."""

MAX_COUNTED = 10_000
FEW = 5_000
"""A task with no more points than this needs no levels for charts."""

_LOCK_TASK = text("SELECT id FROM tasks WHERE id = :task_id FOR NO KEY UPDATE")
_SEEN = text("SELECT up_to FROM metric_rollups WHERE task_id = :task_id")
_HOLD = text("SELECT up_to FROM metric_rollups WHERE task_id = :task_id FOR UPDATE")
_BEGIN = text("INSERT INTO metric_rollups (task_id) VALUES (:task_id) ON CONFLICT DO NOTHING")
_MOVE = text("UPDATE metric_rollups SET up_to = :up_to WHERE task_id = :task_id")
_NEXT = text(
    "SELECT max(id), count(*) FROM (SELECT id FROM metric_points "
    "WHERE task_id = :task_id AND id > :after ORDER BY id LIMIT :slice) AS fresh"
)


def bring_up_to_date(task_id: int) -> None:
    """Let the levels of a task see all its points, in transactions of its own.

    Whoever writes points holds the task's lock, and ids are given under it. So with the lock held
    for a moment, every id that is there is there for good.
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


def bring_up_to_date_within(session: Session, task_id: int) -> None:
    """The same for who holds the task's lock in a transaction, and needs the levels in it."""
    more = True
    while more:
        after = session.scalar(_SEEN, {"task_id": task_id}) or 0
        up_to, more = _next(session, task_id, after)
        if up_to is None:
            return
        _advance(session, task_id, up_to)


def ready_for_charts(task_id: int) -> None:
    """Bring the levels up to date when the task has so many points that it matters."""
    with transaction() as session:
        after = session.scalar(_SEEN, {"task_id": task_id}) or 0
        values = {"task_id": task_id, "after": after, "slice": FEW + 1}
        up_to, fresh = session.execute(_NEXT, values).one()
    if up_to is not None and (after or fresh > FEW):
        bring_up_to_date(task_id)


def _next(session: Session, task_id: int, after: int) -> tuple[int | None, bool]:
    values = {"task_id": task_id, "after": after, "slice": SLICE}
    up_to, fresh = session.execute(_NEXT, values).one()
    return up_to, fresh == SLICE


def _advance(session: Session, task_id: int, up_to: int) -> None:
    session.execute(_BEGIN, {"task_id": task_id})
    after = session.scalars(_HOLD, {"task_id": task_id}).one()
    if after >= up_to:
        return
    series.add_to_levels(session, task_id, after=after, up_to=up_to)
    session.execute(_MOVE, {"task_id": task_id, "up_to": up_to})


class RollUps:
    """Behind the ingest of a process: counts points by task and brings levels up to date."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._busy: set[int] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rollups")

    def count(self, task_id: int, points: int) -> None:
        """So many points were added to a task. Returns at once."""
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
        """Let what is under way end; what is not done is done before somebody reads."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _run(task_id: int) -> Any:
        try:
            bring_up_to_date(task_id)
        except SQLAlchemyError as error:
            log.warning("levels are not up to date", task_id=task_id, error=str(error)[:200])
