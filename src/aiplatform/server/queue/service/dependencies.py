"""Dependencies: a task can wait for the success (``ok``) or the end (``any``) of other tasks.

A task can only name tasks that already exist, so there are no cycles. When a task ends, its
dependents are updated in the same transaction. If it fails, tasks that wait for its success fail,
too, with that reason, and so do their own dependents. If it produced a model, tasks that read this
model get a reference to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.references import After
from aiplatform.protocol.specs import TaskSpec, source_training
from aiplatform.server.core.broker import wake
from aiplatform.server.core.errors import NotFound
from aiplatform.server.queue.errors import DependencyFailed
from aiplatform.server.queue.models import Task, TaskDependency, TaskScheduling


@dataclass(frozen=True, slots=True)
class Dependency:
    """A task that must end before another one. It is locked, so that its end can't be missed."""

    task: Task
    condition: str
    settled: bool


def required_tasks(spec: TaskSpec, after: Sequence[After] = ()) -> list[After]:
    """Return the tasks that a new task with this spec must wait for.

    These are the tasks in ``after`` and the training task whose model the spec refers to, if any.
    """
    maker = source_training(spec)
    return [*after] if maker is None else [*after, After(task=maker)]


def lock_required_tasks(
    session: Session, project_id: int, after: Sequence[After]
) -> list[Dependency]:
    """Lock and return the named tasks.

    Raises:
        NotFound: a task does not belong to the project.
        DependencyFailed: a task that must succeed has already failed.
    """
    wanted: dict[UUID, str] = {}
    for item in after:
        # If a task is named twice, the stricter condition applies.
        wanted[item.task] = "ok" if "ok" in (item.condition, wanted.get(item.task)) else "any"
    if not wanted:
        return []
    rows = session.scalars(
        select(Task)
        .where(Task.uuid.in_(wanted), Task.project_id == project_id)
        .order_by(Task.id)
        .with_for_update(read=True, of=Task)
        .execution_options(populate_existing=True)
    ).all()
    if len(rows) < len(wanted):
        raise NotFound(resource="task")
    found = []
    for task in rows:
        status = TaskStatus(task.status)
        condition = wanted[task.uuid]
        if status.is_final and condition == "ok" and status is not TaskStatus.COMPLETED:
            raise DependencyFailed(task=task.uuid, name=task.name, task_status=task.status)
        found.append(Dependency(task, condition, status.is_final))
    return found


def required_by_retry(session: Session, task_id: int) -> list[After]:
    """Return the tasks that a retry must wait for: the old task's dependencies or their retries.

    A dependency that was retried is replaced by its newest retry. The tasks are locked before the
    retried task itself. When one of them ends, locks are taken in the same order, so the two can't
    deadlock.
    """
    chain = (
        select(TaskDependency.condition, TaskDependency.needs_id.label("id"))
        .where(TaskDependency.task_id == task_id)
        .cte("chain", recursive=True)
    )
    chain = chain.union_all(
        select(chain.c.condition, TaskScheduling.task_id).join(
            TaskScheduling, TaskScheduling.retry_of == chain.c.id
        )
    )
    again = select(TaskScheduling.task_id).where(TaskScheduling.retry_of == chain.c.id)
    rows = session.execute(
        select(Task.uuid, chain.c.condition)
        .join(chain, Task.id == chain.c.id)
        .where(~again.exists())
        .order_by(Task.id)
        .with_for_update(read=True, of=Task)
    )
    return [After(task=uuid, condition=condition) for uuid, condition in rows]


def last_retry(session: Session, task: UUID) -> UUID:
    """Return the last retry in the chain of retries, or the task if it was never retried."""
    while True:
        old = select(Task.id).where(Task.uuid == task).scalar_subquery()
        retry = (
            select(Task.uuid)
            .join(TaskScheduling, TaskScheduling.task_id == Task.id)
            .where(TaskScheduling.retry_of == old)
        )
        newer = session.scalar(retry)
        if newer is None:
            return task
        task = newer


def store(session: Session, task: Task, needs: Sequence[Dependency]) -> None:
    """Store the dependencies of ``task``."""
    for need in needs:
        session.add(
            TaskDependency(
                task_id=task.id,
                needs_id=need.task.id,
                condition=need.condition,
                settled=need.settled,
            )
        )
    session.flush()


@dataclass(frozen=True, slots=True)
class Dependents:
    """The dependents of an ended task that need further action.

    ``failing`` must fail because the task did not succeed; ``readers`` read the model that the task
    made.
    """

    failing: Sequence[Task] = ()
    readers: Sequence[Task] = ()


def settle(session: Session, ended: Task) -> Dependents:
    """Mark the dependencies on an ended task as settled and return its dependents."""
    rows = session.execute(
        update(TaskDependency)
        .where(TaskDependency.needs_id == ended.id, TaskDependency.settled.is_(False))
        .values(settled=True)
        .returning(TaskDependency.task_id, TaskDependency.condition)
        .execution_options(synchronize_session=False)
    ).all()
    if not rows:
        return Dependents()
    # Every change to a task locks the task's row before its related rows; so does this one.
    session.execute(
        select(Task.id)
        .where(Task.id.in_([task_id for task_id, _ in rows]))
        .order_by(Task.id)
        .with_for_update()
    )
    succeeded = ended.status == TaskStatus.COMPLETED.value
    concerned: list[int] = []
    for task_id, condition in sorted(rows):
        queue = session.execute(
            update(TaskScheduling)
            .where(TaskScheduling.task_id == task_id)
            .values(blockers=TaskScheduling.blockers - 1)
            .returning(TaskScheduling.queue, TaskScheduling.blockers)
            .execution_options(synchronize_session=False)
        ).one()
        if condition == "ok":
            concerned.append(task_id)
        if queue.blockers == 0 and (succeeded or condition == "any"):
            wake(session, queue.queue)
    if not concerned:
        return Dependents()
    waiting = (TaskStatus.PENDING.value, TaskStatus.PAUSED.value)
    statement = select(Task).where(Task.id.in_(concerned), Task.status.in_(waiting))
    if succeeded:
        maker = Task.config[("model", "from_task")].astext
        statement = statement.where(maker == str(ended.uuid))
    found = session.scalars(
        statement.order_by(Task.id).execution_options(populate_existing=True)
    ).all()
    return Dependents(readers=found) if succeeded else Dependents(failing=found)
