"""A Celery result backend in PostgreSQL, so that results do not depend on the broker."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery import states
from celery.backends.base import BaseBackend
from sqlalchemy import DateTime, Float, String, Text, delete, func, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from aiplatform.protocol.encoding import clean_text, jsonable
from aiplatform.server.core.database import Base, Created, transaction

LOST_RESULT_LIFETIME = timedelta(days=1)
"""Time for which a lost worker's result is kept; the same as for other results."""


class CeleryTask(Created, Base):
    """An invocation of a Celery task. ``runtime`` is in seconds.

    The columns are fixed by the schema contract; see docs/architecture.md.
    """

    __tablename__ = "celery_tasks"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    args: Mapped[Any] = mapped_column(JSONB)
    kwargs: Mapped[Any] = mapped_column(JSONB)
    status: Mapped[str] = mapped_column(String(50))
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    traceback: Mapped[str | None] = mapped_column(Text)
    runtime: Mapped[float | None] = mapped_column(Float(53))
    worker: Mapped[str | None] = mapped_column(String(100))
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    completed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class DatabaseBackend(BaseBackend):  # type: ignore[misc]  # celery is untyped
    """A Celery result backend that stores results in ``celery_tasks``."""

    supports_autoexpire = False
    persistent = True

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: str | None = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        now = datetime.now(UTC)
        values: dict[str, Any] = {
            "status": state,
            "result": jsonable(result) if state in states.READY_STATES else None,
            "traceback": None if traceback is None else clean_text(traceback),
        }
        if state == states.STARTED:
            values["started_at"] = now
        if state in states.READY_STATES:
            values["completed_at"] = now
            values["expires_at"] = None if not self.expires else now + _seconds(self.expires)
        described = {
            "id": task_id,
            "name": (getattr(request, "task", None) or "unknown")[:255],
            "args": jsonable(list(getattr(request, "args", None) or [])),
            "kwargs": jsonable(dict(getattr(request, "kwargs", None) or {})),
            "worker": (getattr(request, "hostname", None) or "")[:100] or None,
        }
        # The transaction's time can't be used here: it is later than the recorded start.
        statement = insert(CeleryTask).values(**described, **values, created_at=now)
        updates = {
            **values,
            "worker": func.coalesce(statement.excluded.worker, CeleryTask.worker),
        }
        if "completed_at" in values:
            # If the clock was set back, an invocation must not end before its start.
            ended = func.greatest(now, CeleryTask.started_at)
            updates["completed_at"] = ended
            updates["runtime"] = func.extract("epoch", ended - CeleryTask.started_at)
        if "started_at" in values:
            updates["started_at"] = func.greatest(now, CeleryTask.created_at)
        with transaction() as session:
            session.execute(
                statement.on_conflict_do_update(
                    index_elements=[CeleryTask.id],
                    set_=updates,
                    # A late message must not overwrite a final state.
                    where=None
                    if state in states.READY_STATES
                    else CeleryTask.status.not_in(states.READY_STATES),
                )
            )
        return result

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        with transaction() as session:
            row = session.get(CeleryTask, task_id)
            if row is None:
                return {"status": states.PENDING, "result": None}
            return {
                "task_id": row.id,
                "status": row.status,
                "result": row.result,
                "traceback": row.traceback,
                "name": row.name,
                "args": row.args,
                "kwargs": row.kwargs,
                "worker": row.worker,
                "date_done": None if row.completed_at is None else row.completed_at.isoformat(),
            }

    def _forget(self, task_id: str) -> None:
        with transaction() as session:
            session.execute(delete(CeleryTask).where(CeleryTask.id == task_id))

    def cleanup(self) -> None:
        """Delete expired results."""
        with transaction() as session:
            session.execute(delete(CeleryTask).where(CeleryTask.expires_at < func.now()))

    def ensure_chords_allowed(self) -> None:
        """Refuse chords, which need counters that ``celery_tasks`` does not have.

        Raises:
            NotImplementedError: always. The platform uses no chords.
        """
        raise NotImplementedError("chords are not supported by this result backend")


def fail_lost_invocations(session: Session, worker: str) -> int:
    """Mark the unfinished invocations of a lost worker as failed and return their number.

    If the worker was only disconnected, its later result replaces this one.

    Args:
        session: the caller's session; not committed here.
        worker: the worker's name on the platform.
    """
    reason = f"The worker {worker} ended before the invocation did."
    now = func.greatest(func.clock_timestamp(), CeleryTask.started_at)
    statement = (
        update(CeleryTask)
        .where(
            CeleryTask.status == states.STARTED,
            # Celery prepends "celery@" to a name without a host.
            CeleryTask.worker.in_([worker, f"celery@{worker}"[:100]]),
        )
        .values(
            status=states.FAILURE,
            result={
                "exc_type": "WorkerLostError",
                "exc_message": [reason],
                "exc_module": "billiard.exceptions",
            },
            completed_at=now,
            runtime=func.extract("epoch", now - CeleryTask.started_at),
            expires_at=now + LOST_RESULT_LIFETIME,
        )
    )
    return len(session.execute(statement.returning(CeleryTask.id)).all())


def _seconds(expires: Any) -> timedelta:
    return expires if isinstance(expires, timedelta) else timedelta(seconds=float(expires))
