"""SELECT statements for runs: training runs and external runs."""

from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Row, Select, any_, bindparam, case, select, text
from sqlalchemy.orm import Session, aliased

from aiplatform.protocol.enums import TaskType
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.experiments.models import Experiment, RunDetails
from aiplatform.server.experiments.rules import RUN_TYPES
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task, TaskEvent, TaskScheduling
from aiplatform.server.registry.models import Model

# This reads one index entry per key, however many points a series has.
_LAST = text(
    """
WITH RECURSIVE keys AS (
    (SELECT key FROM metric_points WHERE task_id = :task ORDER BY key LIMIT 1)
    UNION ALL
    SELECT (SELECT p.key FROM metric_points p WHERE p.task_id = :task AND p.key > k.key
            ORDER BY p.key LIMIT 1)
    FROM keys k WHERE k.key IS NOT NULL
)
SELECT k.key, p.value FROM (SELECT key FROM keys WHERE key IS NOT NULL LIMIT 500) k,
LATERAL (SELECT value FROM metric_points WHERE task_id = :task AND key = k.key
         ORDER BY step DESC, attempt DESC, id DESC LIMIT 1) p
"""
)


def _select_runs() -> Select[Any]:
    """Select all runs with the columns that are displayed, and their key as ``key``."""
    original = aliased(Task)
    statement: Any = (
        select(
            RunDetails.task_id.label("key"),
            RunDetails.metrics,
            Task.uuid,
            Task.name,
            Task.status,
            Task.progress,
            Task.type,
            case(
                (Task.type == TaskType.EXTERNAL.value, Task.config["config"]), else_=Task.config
            ).label("config"),
            Task.error_message,
            Task.created_at,
            Task.started_at,
            Task.completed_at,
            Experiment.uuid.label("experiment_uuid"),
            Experiment.name.label("experiment_name"),
            Model.uuid.label("model"),
            original.uuid.label("rerun_of"),
            User.uuid.label("author_uuid"),
            User.username.label("author_name"),
        )
        .select_from(RunDetails)
        .join(Task, Task.id == RunDetails.task_id)
        .join(TaskScheduling, TaskScheduling.task_id == RunDetails.task_id)
        .outerjoin(Experiment, Experiment.id == RunDetails.experiment_id)
        .outerjoin(Model, Model.id == Task.model_id)
        .outerjoin(original, original.id == RunDetails.rerun_of)
        .outerjoin(User, User.id == TaskScheduling.created_by)
    )
    found: Select[Any] = statement
    return found


@cache
def runs_by_key() -> Compiled:
    """Return the statement for runs with their displayed columns, by their keys.

    Its parameters are ``project`` and ``keys``.
    """
    return compiled(
        _select_runs().where(
            RunDetails.project_id == bindparam("project"),
            RunDetails.task_id == any_(bindparam("keys", type_=ARRAY(Integer))),
        )
    )


def get_run_row(session: Session, context: ProjectContext, uuid: UUID) -> Row[Any]:
    """Return a run with the columns of :func:`runs_by_key`.

    Raises:
        NotFound: the project has no such run.
    """
    found = session.execute(
        _select_runs().where(RunDetails.project_id == context.project_id, Task.uuid == uuid)
    ).one_or_none()
    if found is None:
        raise NotFound(resource="run")
    return found


def get_run(session: Session, context: ProjectContext, uuid: UUID) -> Task:
    """Return the task of a run.

    Raises:
        NotFound: the project has no run with this uuid.
    """
    found = session.scalar(
        select(Task).where(
            Task.uuid == uuid,
            Task.project_id == context.project_id,
            Task.type.in_(RUN_TYPES),
        )
    )
    if found is None:
        raise NotFound(resource="run")
    return found


def run_details(session: Session, task_id: int) -> RunDetails | None:
    """Return the details of a run, or None if its project was deleted before it was queued.

    A trigger inserts the row, so it is always read from the database.
    """
    return session.get(RunDetails, task_id, populate_existing=True)


def last_values(session: Session, task_id: int) -> dict[str, float]:
    """Return the last value of each metric series of a task."""
    return {row.key: row.value for row in session.execute(_LAST, {"task": task_id})}


def environment_of(session: Session, task_id: int) -> dict[str, Any]:
    """Return the environment reported by the task's last attempt; empty if it reported none."""
    found = session.scalar(
        select(TaskEvent.data)
        .where(TaskEvent.task_id == task_id, TaskEvent.kind == "environment")
        .order_by(TaskEvent.id.desc())
        .limit(1)
    )
    return found or {}
