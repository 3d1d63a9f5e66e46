"""Retention: deletion of old logs, telemetry and checkpoints of ended tasks, with a preview."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core import audit
from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.rules import stored_retention
from aiplatform.server.queue.models import Task

TASKS_AT_ONCE = 200
"""Number of tasks whose data is deleted in one transaction; small, so that locks are brief."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The retention periods of a task's data, in days after the task's end; None means forever."""

    log_days: int | None
    telemetry_days: int | None
    checkpoint_days: int | None


@dataclass(frozen=True, slots=True)
class Freed:
    """The amount of deleted data: the number of tasks or checkpoints, and bytes.

    The bytes of checkpoints and log segments count even if a blob stays because another object
    refers to it.
    """

    log_tasks: int = 0
    log_bytes: int = 0
    telemetry_tasks: int = 0
    telemetry_bytes: int = 0
    checkpoints: int = 0
    checkpoint_bytes: int = 0

    def __add__(self, other: "Freed") -> "Freed":
        mine, theirs = asdict(self), asdict(other)
        return Freed(**{name: mine[name] + theirs[name] for name in mine})

    def __bool__(self) -> bool:
        return any(asdict(self).values())


def policy_of(config: Mapping[str, Any] | None, settings: Settings) -> Policy:
    """Return the project's retention periods; the platform's apply where the project sets none."""
    own = stored_retention(config)
    return Policy(
        own.get("log_days", settings.retention_log_days),
        own.get("telemetry_days", settings.retention_telemetry_days),
        own.get("checkpoint_days", settings.retention_checkpoint_days),
    )


CHECKPOINTS_LAST = 2
"""Number of newest checkpoints kept: two, in case the newest one is damaged."""
BEST = """
SELECT c.id FROM task_checkpoints c
JOIN metric_points m ON m.task_id = c.task_id AND m.step = c.step AND m.key = 'eval_loss'
WHERE c.task_id = :task GROUP BY c.id ORDER BY min(m.value), c.id DESC LIMIT :best
"""
PRUNE = f"""
DELETE FROM task_checkpoints WHERE task_id = :task AND id NOT IN (
    SELECT id FROM (SELECT id FROM task_checkpoints WHERE task_id = :task
                    ORDER BY step DESC, attempt DESC LIMIT :last) AS last
    UNION ALL SELECT id FROM ({BEST}) AS best
)
"""  # noqa: S608  (no part of it is user input)


def prune_checkpoints(session: Session, task: Task) -> None:
    """Delete a task's checkpoints, except those that the project's policy keeps.

    If the task may resume, its newest checkpoints (``checkpoints_last``, default 2) and those with
    the lowest ``eval_loss`` (``checkpoints_best``, default 0) are kept. If it has completed, only
    those with the lowest ``eval_loss`` are kept.
    """
    project = None if task.project_id is None else session.get(Project, task.project_id)
    own = stored_retention(None if project is None else project.config)
    last = own.get("checkpoints_last", CHECKPOINTS_LAST)
    if task.status == TaskStatus.COMPLETED:
        last = 0
    best = own.get("checkpoints_best", 0)
    session.execute(text(PRUNE), {"task": task.id, "last": last, "best": best})


OVERDUE = """
SELECT t.id FROM tasks t
WHERE t.project_id = :project AND t.status IN ('completed', 'failed', 'cancelled')
AND t.completed_at < clock_timestamp() - make_interval(days => CAST(:days AS integer))
AND EXISTS (SELECT 1 FROM {table} x WHERE x.task_id = t.id)
ORDER BY t.id LIMIT :limit
"""
SIZES = {
    "log_chunks": "SELECT count(DISTINCT task_id), COALESCE(sum(octet_length(text)), 0) + "
    "(SELECT COALESCE(sum(b.size), 0) FROM blob_refs r JOIN blobs b USING (sha256) "
    "WHERE r.log_task_id = ANY(:ids)) FROM log_chunks WHERE task_id = ANY(:ids)",
    "task_telemetry": "SELECT count(DISTINCT task_id), COALESCE(sum(pg_column_size(samples)), 0) "
    "FROM task_telemetry WHERE task_id = ANY(:ids)",
    "task_checkpoints": "SELECT count(DISTINCT c.id), COALESCE(sum(b.size), 0) "
    "FROM task_checkpoints c LEFT JOIN blob_refs r ON r.checkpoint_id = c.id "
    "LEFT JOIN blobs b USING (sha256) WHERE c.task_id = ANY(:ids)",
}
FIELDS = {
    "log_chunks": ("log_tasks", "log_bytes"),
    "task_telemetry": ("telemetry_tasks", "telemetry_bytes"),
    "task_checkpoints": ("checkpoints", "checkpoint_bytes"),
}


def preview(session: Session, project: Project) -> Freed:
    """Return the amount of data that the next clean-up will delete, without deleting it."""
    return _apply_policy(session, project, limit=None, delete=False)


def apply(session: Session, project: Project) -> Freed:
    """Delete overdue data of at most :data:`TASKS_AT_ONCE` tasks per table.

    The deletion is recorded in the audit trail.
    """
    freed = _apply_policy(session, project, limit=TASKS_AT_ONCE, delete=True)
    if freed:
        audit.record(
            session,
            audit.SYSTEM,
            AuditAction.RETENTION_APPLIED,
            "project",
            project.uuid,
            project=project.uuid,
            **{name: count for name, count in asdict(freed).items() if count},
        )
        session.flush()
    return freed


def _apply_policy(session: Session, project: Project, *, limit: int | None, delete: bool) -> Freed:
    policy = policy_of(project.config, get_settings())
    days = {
        "log_chunks": policy.log_days,
        "task_telemetry": policy.telemetry_days,
        "task_checkpoints": policy.checkpoint_days,
    }
    found: dict[str, int] = {}
    for table, after in days.items():
        if after is None:
            continue
        overdue = text(OVERDUE.format(table=table))
        given = {"project": project.id, "days": after, "limit": limit}
        ids = list(session.scalars(overdue, given))
        if not ids:
            continue
        count, size = session.execute(text(SIZES[table]), {"ids": ids}).one()
        found |= dict(zip(FIELDS[table], (int(count), int(size)), strict=True))
        if delete:
            if table == "log_chunks":
                refs = "DELETE FROM blob_refs WHERE log_task_id = ANY(:ids)"
                session.execute(text(refs), {"ids": ids})
            # The table names are the constants above, not user input.
            rows = f"DELETE FROM {table} WHERE task_id = ANY(:ids)"  # noqa: S608
            session.execute(text(rows), {"ids": ids})
    return Freed(**found)


def apply_all() -> Freed:
    """Apply each project's retention policy, and the platform's policy to machine telemetry."""
    settings = get_settings()
    with transaction() as session:
        projects = list(session.scalars(select(Project.id)))
        if settings.retention_telemetry_days is not None:
            session.execute(
                text(
                    "DELETE FROM worker_telemetry WHERE began < clock_timestamp() - "
                    "make_interval(days => CAST(:days AS integer))"
                ),
                {"days": settings.retention_telemetry_days},
            )
    total = Freed()
    for project_id in projects:
        while True:
            with transaction() as session:
                project = session.get(Project, project_id)
                freed = Freed() if project is None else apply(session, project)
            total += freed
            if not freed:
                break
    return total
