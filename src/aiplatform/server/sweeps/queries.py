"""SELECT statements for sweeps."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.sweeps import SweepStatus, TrialState
from aiplatform.server.core.errors import NotFound
from aiplatform.server.experiments.models import Experiment, RunDetails
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.queries.tasks import STOPPABLE
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry.models import Model
from aiplatform.server.sweeps.models import Sweep, SweepTrial
from aiplatform.server.telemetry.models import MetricPoint


def list_sweeps(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """Select the project's sweeps, each with its experiment and author."""
    statement: Any = (
        select(
            Sweep,
            Experiment.uuid.label("experiment_uuid"),
            User.uuid.label("author_uuid"),
            User.username.label("author_name"),
        )
        .join(Experiment, Experiment.id == Sweep.experiment_id)
        .outerjoin(User, User.id == Sweep.created_by)
        .where(Sweep.project_id == context.project_id)
    )
    found: Select[Any] = statement
    return found if name is None else found.where(Sweep.name == name)


def get_sweep_row(session: Session, context: ProjectContext, uuid: UUID) -> Row[Any]:
    """Return a sweep with the columns of :func:`list_sweeps`.

    Raises:
        NotFound: the project has no such sweep.
    """
    found = session.execute(list_sweeps(context).where(Sweep.uuid == uuid)).one_or_none()
    if found is None:
        raise NotFound(resource="sweep")
    return found


def lock_sweep(session: Session, context: ProjectContext, uuid: UUID) -> Sweep:
    """Lock one of the project's sweeps and return its current state.

    Raises:
        NotFound: the project has no such sweep.
    """
    found = session.scalar(
        select(Sweep)
        .where(Sweep.uuid == uuid, Sweep.project_id == context.project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound(resource="sweep")
    return found


def sweeps_of(session: Session, experiment: Experiment) -> Sequence[Sweep]:
    """Return all sweeps of an experiment, oldest first."""
    return session.scalars(
        select(Sweep).where(Sweep.experiment_id == experiment.id).order_by(Sweep.id)
    ).all()


def lock_running_of(session: Session, author_id: int) -> Sequence[Sweep]:
    """Lock and return the running sweeps of an author, in the order of their ids."""
    return session.scalars(
        select(Sweep)
        .where(Sweep.created_by == author_id, Sweep.status == SweepStatus.RUNNING.value)
        .order_by(Sweep.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()


def running_sweeps(session: Session) -> list[int]:
    """Return the ids of running sweeps."""
    return list(
        session.scalars(
            select(Sweep.id).where(Sweep.status == SweepStatus.RUNNING.value).order_by(Sweep.id)
        )
    )


def ended_with_active_tasks(session: Session) -> list[int]:
    """Return the ids of ended sweeps with tasks that still have to be stopped."""
    return list(
        session.scalars(
            select(SweepTrial.sweep_id)
            .join(Task, Task.id == SweepTrial.task_id)
            .join(Sweep, Sweep.id == SweepTrial.sweep_id)
            .where(
                Sweep.status != SweepStatus.RUNNING.value,
                Task.status.in_([status.value for status in STOPPABLE]),
            )
            .distinct()
        )
    )


def sweep_of(session: Session, task_id: int) -> int | None:
    """Return the id of a trial task's sweep, or None for other tasks."""
    return session.scalar(select(SweepTrial.sweep_id).where(SweepTrial.task_id == task_id))


def pruning_of(session: Session, task_id: int) -> Row[Any] | None:
    """Return ``sweep_id``, ``pruning`` and ``passed`` of a running trial.

    ``passed`` is the number of rungs (steps at which trials are compared) passed by the trial.
    Return None for tasks that are not running trials, or whose sweep does not prune.
    """
    pruning = Sweep.spec["pruning"]
    statement: Any = (
        select(
            Sweep.id.label("sweep_id"),
            pruning.label("pruning"),
            func.jsonb_array_length(SweepTrial.rungs).label("passed"),
        )
        .join(SweepTrial, SweepTrial.sweep_id == Sweep.id)
        .where(
            SweepTrial.task_id == task_id,
            SweepTrial.state == TrialState.RUNNING.value,
            Sweep.status == SweepStatus.RUNNING.value,
            func.jsonb_typeof(pruning) == "object",
        )
    )
    found: Row[Any] | None = session.execute(statement).one_or_none()
    return found


def lock_running(session: Session, sweep_id: int, *, wait: bool) -> Sweep | None:
    """Lock and return a running sweep.

    Return None if the sweep has ended or, without ``wait``, if it is already locked.
    """
    return session.scalar(
        select(Sweep)
        .where(Sweep.id == sweep_id, Sweep.status == SweepStatus.RUNNING.value)
        .with_for_update(skip_locked=not wait)
        .execution_options(populate_existing=True)
    )


def trials(session: Session, sweep: Sweep) -> Sequence[SweepTrial]:
    """Return all trials of a sweep, sorted by number."""
    return session.scalars(
        select(SweepTrial).where(SweepTrial.sweep_id == sweep.id).order_by(SweepTrial.number)
    ).all()


def trial_rows(session: Session, sweep: Sweep) -> Sequence[Row[Any]]:
    """Return all trials of a sweep by number, each with its task and the model it produced."""
    statement: Any = (
        select(
            SweepTrial,
            Task.uuid.label("task"),
            Task.progress.label("progress"),
            Model.uuid.label("model"),
        )
        .outerjoin(Task, Task.id == SweepTrial.task_id)
        .outerjoin(Model, Model.id == Task.model_id)
        .where(SweepTrial.sweep_id == sweep.id)
        .order_by(SweepTrial.number)
    )
    rows: Sequence[Row[Any]] = session.execute(statement).all()
    return rows


class TaskState(NamedTuple):
    """The state of a trial's task. ``will_pause`` is True if a running task was asked to pause."""

    status: str
    error: str | None
    figures: dict[str, Any]
    will_pause: bool


def task_states(session: Session, sweep: Sweep) -> dict[int, TaskState]:
    """Return the states of the trials' tasks, keyed by task id."""
    rows = session.execute(
        select(
            Task.id,
            Task.status,
            Task.error_message,
            RunDetails.metrics,
            (TaskScheduling.stop_wanted == "pause").is_(True),
        )
        .join(SweepTrial, SweepTrial.task_id == Task.id)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .outerjoin(RunDetails, RunDetails.task_id == Task.id)
        .where(SweepTrial.sweep_id == sweep.id)
    )
    return {row[0]: TaskState(row[1], row[2], row[3] or {}, row[4]) for row in rows}


def value_at(session: Session, task_id: int, key: str, step: int) -> float | None:
    """Return the first value of a series at ``step`` or later; None if there is none yet.

    A value that is not finite is returned as NaN.
    """
    found = session.scalar(
        select(MetricPoint.value)
        .where(MetricPoint.task_id == task_id, MetricPoint.key == key, MetricPoint.step >= step)
        .order_by(MetricPoint.step, MetricPoint.attempt.desc(), MetricPoint.id.desc())
        .limit(1)
    )
    return None if found is None else found if math.isfinite(found) else math.nan


def experiment_of(session: Session, sweep: Sweep) -> Experiment:
    """Lock and return the experiment whose config the sweep varies."""
    return session.scalars(
        select(Experiment)
        .where(Experiment.id == sweep.experiment_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def project_uuid(session: Session, sweep: Sweep) -> UUID:
    """Return the uuid of a sweep's project."""
    return session.scalars(select(Project.uuid).where(Project.id == sweep.project_id)).one()


def model_of(session: Session, context: ProjectContext, trial: SweepTrial) -> Model | None:
    """Return the model that a trial's run produced; None if it was deleted or is in the bin."""
    uuid = session.scalar(
        select(Model.uuid).join(Task, Task.model_id == Model.id).where(Task.id == trial.task_id)
    )
    return None if uuid is None else registry_queries.lock_usable(session, context, uuid)


def name_in_use(session: Session, context: ProjectContext, name: str) -> bool:
    """Return True if the project has a sweep with this name."""
    found = select(func.count()).where(Sweep.project_id == context.project_id, Sweep.name == name)
    return bool(session.scalar(found))
