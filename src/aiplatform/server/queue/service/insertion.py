"""Insertion of new tasks: all rows of several tasks are inserted in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select, text
from sqlalchemy.orm import Session, make_transient_to_detached

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text, dumps, jsonable
from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.specs import TaskSpec, nodes_of
from aiplatform.server.core import audit, tracing
from aiplatform.server.core.audit import Actor, Event
from aiplatform.server.core.broker import wake
from aiplatform.server.core.events import notify
from aiplatform.server.core.settings import DEFAULT_QUEUE, get_settings
from aiplatform.server.core.statements import compiled
from aiplatform.server.identity.models import User
from aiplatform.server.projects.errors import OwnerInactive
from aiplatform.server.queue.errors import NoWorkerCanRun
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.service import dependencies
from aiplatform.server.queue.service.dependencies import Dependency
from aiplatform.server.queue.service.kinds import InputRef, kind_of

INSERT = compiled(
    text("""
WITH new AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
            place integer, uuid uuid, project_id integer, experiment_id integer, model_id integer,
            name text, type text, status text, priority integer, config jsonb, queue text,
            cpus float8, memory_mb integer, gpus integer, gpu_memory_mb integer, labels jsonb,
            preemptible boolean, time_limit_seconds integer, retry_seconds float8,
            blockers integer, max_attempts integer, not_before timestamptz, created_by integer,
            nodes integer, personal_secrets boolean,
            inputs jsonb, event jsonb)
    ),
    task AS (
        INSERT INTO tasks (uuid, project_id, experiment_id, model_id, name, type, status, priority,
            config)
        SELECT uuid, project_id, experiment_id, model_id, name, type, status, priority, config
        FROM new ORDER BY place
        RETURNING id, uuid, created_at
    ),
    scheduling AS (
        INSERT INTO task_scheduling (task_id, queue, cpus, memory_mb, gpus, gpu_memory_mb, labels,
            preemptible, time_limit_seconds, retry_seconds, blockers, max_attempts, not_before,
            created_by, nodes, personal_secrets)
        SELECT id, queue, cpus, memory_mb, gpus, gpu_memory_mb, labels, preemptible,
               time_limit_seconds, retry_seconds, blockers, max_attempts, not_before, created_by,
               nodes, personal_secrets
        FROM task JOIN new USING (uuid)
        RETURNING task_id, since, updated_at
    ),
    input AS (
        INSERT INTO task_inputs (task_id, role, label, content_hash, dataset_version_id, model_id)
        SELECT task.id, i.role, i.label, i.content_hash, i.dataset_version_id, i.model_id
        FROM task JOIN new USING (uuid) CROSS JOIN jsonb_to_recordset(new.inputs) AS i(
            role text, label text, content_hash text, dataset_version_id integer, model_id integer)
    ),
    event AS (
        INSERT INTO task_events (task_id, kind, data)
        SELECT id, 'submitted', event FROM task JOIN new USING (uuid)
    )
SELECT task.id, task.created_at, scheduling.since, scheduling.updated_at
FROM new JOIN task USING (uuid) JOIN scheduling ON scheduling.task_id = task.id
ORDER BY place
""")
)
"""Statement that inserts tasks and their rows in other tables.

The caller chooses the tasks' uuids, which link each task to its rows in the other tables.
"""

TASK = ("project_id", "experiment_id", "model_id", "name", "type", "status", "priority", "config")
SCHEDULING = (
    "queue", "cpus", "memory_mb", "gpus", "gpu_memory_mb", "labels", "preemptible",
    "time_limit_seconds", "retry_seconds", "blockers", "max_attempts", "not_before", "created_by",
    "nodes", "personal_secrets",
)  # fmt: skip


@dataclass(slots=True)
class NewTask:
    """A task before insertion, with its related rows."""

    task: Task
    recorded: Event
    inputs: Sequence[InputRef] = ()
    needs: Sequence[Dependency] = ()
    event: dict[str, Any] = field(default_factory=dict)


def insert_tasks(session: Session, new: Sequence[NewTask]) -> None:
    """Insert tasks with their scheduling, inputs, first events and audit entries.

    Ids are assigned in the given order. Afterwards the tasks are objects of the session, as after a
    flush.
    """
    rows = [_row(place, one) for place, one in enumerate(new)]
    written = INSERT.all(session, rows=dumps(rows))
    for one, row in zip(new, written, strict=True):
        task = one.task
        scheduling = task.scheduling
        task.id, task.created_at, scheduling.since, scheduling.updated_at = row
        scheduling.task_id = task.id
        _as_new(task)
        for entity in (scheduling, task):
            make_transient_to_detached(entity)
        session.add(task)
    audit.record_many(session, [one.recorded for one in new])


def require_active_authors(session: Session, new: Sequence[NewTask]) -> None:
    """Lock the authors' accounts, so that none of them is deactivated before the commit.

    A later deactivation waits for the commit, and then stops these tasks, too; an earlier one is
    noticed here. Without the lock, the two transactions could miss each other.

    Raises:
        OwnerInactive: an author has been deactivated.
    """
    authors = {one.task.scheduling.created_by for one in new} - {None}
    if not authors:
        return
    statement = (
        select(User.username, User.is_active)
        .where(User.id.in_(sorted(authors)))
        .order_by(User.id)
        .with_for_update(read=True)
    )
    for username, is_active in session.execute(statement).all():
        if not is_active:
            raise OwnerInactive(username=username)


def _row(place: int, new: NewTask) -> dict[str, Any]:
    task, scheduling = new.task, new.task.scheduling
    return {
        "place": place,
        "uuid": str(task.uuid),
        **{name: getattr(task, name) for name in TASK},
        **{name: getattr(scheduling, name) for name in SCHEDULING},
        "inputs": [
            {
                "role": item.role,
                "label": item.label[:400],
                "content_hash": item.content_hash,
                "dataset_version_id": item.dataset_version_id,
                "model_id": item.model_id,
            }
            for item in new.inputs
        ],
        "event": new.event,
    }


def _as_new(task: Task) -> None:
    """Set the tables' column defaults on a new task, so that they need not be read back."""
    task.progress = 0.0
    task.gpu_usage = {}
    task.error_message = task.started_at = task.completed_at = None
    scheduling: TaskScheduling = task.scheduling
    scheduling.stop_wanted = scheduling.result = scheduling.progress_detail = None
    scheduling.retry_of = None
    scheduling.attempt = scheduling.failures = scheduling.fence = 0


def enqueue(session: Session, spec: TaskSpec, **facts: Any) -> Task:
    """Queue a task that the platform itself starts, outside any request.

    ``facts`` are the arguments of :func:`new_task`.
    """
    return enqueue_all(session, [new_task(spec, **facts)])[0]


def fits_queue(task_type: str, queue: str) -> bool:
    """Return False if the queue is reserved for scripts and tasks of this type are not isolated.

    Workers of that queue may run as root, which is safe only because scripts are isolated.
    """
    reserved = get_settings().script_queue
    return reserved == DEFAULT_QUEUE or queue != reserved or kind_of(task_type).runs_isolated


def require_fitting_queue(task_type: str, queue: str) -> None:
    """Refuse any task but a script in the script queue; see :func:`fits_queue`.

    Raises:
        NoWorkerCanRun: the task is refused; the error names the queue.
    """
    if not fits_queue(task_type, queue):
        raise NoWorkerCanRun(
            missing=f"the queue {queue!r} is only for scripts; name another one in `queue`",
            missing_zh=f"队列“{queue}”只用于脚本，请在 `queue` 中指定其他队列",
        )


def new_task(
    spec: TaskSpec,
    *,
    actor: Actor,
    project_id: int,
    project_uuid: UUID,
    name: str,
    priority: int = 5,
    experiment_id: int | None = None,
    model_id: int | None = None,
    inputs: Sequence[InputRef] | None = None,
    not_before: datetime | None = None,
    author_id: int | None = None,
    needs: Sequence[Dependency] = (),
    personal_secrets: bool = True,
) -> NewTask:
    """Return a new task for :func:`enqueue_all`. All tasks are created by this function.

    Raises:
        NoWorkerCanRun: see :func:`require_fitting_queue`.
    """
    require_fitting_queue(spec.type, spec.queue)
    scheduling = TaskScheduling(
        queue=spec.queue,
        cpus=spec.resources.cpus,
        memory_mb=spec.resources.memory_mb,
        gpus=spec.resources.gpus,
        gpu_memory_mb=spec.resources.gpu_memory_mb,
        labels=sorted(set(spec.labels)),
        preemptible=(
            kind_of(spec.type).checkpoints if spec.preemptible is None else spec.preemptible
        ),
        time_limit_seconds=spec.time_limit_seconds,
        retry_seconds=spec.retry_seconds,
        blockers=sum(not need.settled for need in needs),
        max_attempts=spec.max_attempts,
        not_before=not_before,
        created_by=actor.user_id if author_id is None else author_id,
        nodes=nodes_of(spec),
        personal_secrets=personal_secrets,
    )
    task = Task(
        uuid=uuid4(),
        project_id=project_id,
        experiment_id=experiment_id,
        model_id=model_id,
        name=clean_text(name)[:255],
        type=spec.type.value,
        status=TaskStatus.PENDING.value,
        priority=priority,
        config=jsonable(spec),
        scheduling=scheduling,
    )
    recorded = audit.Event(
        actor,
        AuditAction.TASK_SUBMITTED,
        "task",
        task.uuid,
        project_uuid,
        details={
            "type": task.type,
            "name": task.name,
            "inputs": [item.label for item in inputs or ()],
        },
    )
    event = {"priority": priority, "queue": spec.queue}
    return NewTask(task, recorded, inputs or (), needs, event)


def enqueue_all(session: Session, new: Sequence[NewTask]) -> list[Task]:
    """Queue several tasks. Workers are woken after the commit.

    Raises:
        OwnerInactive: see :func:`require_active_authors`.
    """
    if not new:
        return []
    with tracing.span("submit", "producer"):
        # The worker reads this from the event to continue the trace.
        if (traceparent := tracing.traceparent()) is not None:
            for one in new:
                one.event["traceparent"] = traceparent
        if get_settings().deactivated_tasks == "stop":
            require_active_authors(session, new)
        insert_tasks(session, new)
        for one in new:
            if one.needs:
                dependencies.store(session, one.task, one.needs)
            tracing.describe(task=str(one.task.uuid), task_type=one.task.type)
        for queue in dict.fromkeys(one.task.scheduling.queue for one in new):
            wake(session, queue)
    for project_id in {one.task.project_id for one in new}:
        notify(session, f"tasks:{project_id}")
    return [one.task for one in new]
