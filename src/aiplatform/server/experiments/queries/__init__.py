"""SELECT statements for experiments and their inputs, for runs, and for searches over both."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Integer,
    Row,
    Select,
    Text,
    any_,
    bindparam,
    case,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.orm import Session, aliased

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.datasets.models import DatasetVersionDetails
from aiplatform.server.experiments.models import (
    Experiment,
    ExperimentDetails,
    ExperimentTag,
    RunDetails,
)
from aiplatform.server.experiments.rules import RUN_TYPES
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task, TaskEvent, TaskInput, TaskScheduling
from aiplatform.server.registry.models import Model

UNFINISHED = [status.value for status in TaskStatus if not status.is_final]


def experiment_conditions(
    key: Any, *, named: bool, archived: bool | None
) -> list[ColumnElement[bool]]:
    """Return conditions on the name and the archived state of experiments.

    Args:
        key: column with the experiment's id.
        named: True if the name must equal the parameter ``name``.
        archived: True for archived experiments, False for the others, None for both.
    """
    conditions: list[ColumnElement[bool]] = []
    if named:
        conditions.append(Experiment.name == bindparam("name"))
    if archived is not None:
        put_away = select(ExperimentDetails.experiment_id).where(
            ExperimentDetails.archived_at.is_not(None)
        )
        conditions.append(key.in_(put_away) if archived else key.not_in(put_away))
    return conditions


def _select_experiments() -> Select[Any]:
    """Select all experiments with the columns that are displayed, and their key as ``key``."""
    tags = (
        select(func.array_agg(aggregate_order_by(ExperimentTag.tag, ExperimentTag.tag)))
        .where(ExperimentTag.experiment_id == Experiment.id)
        .scalar_subquery()
    )
    original = aliased(Experiment)
    statement: Any = (
        select(
            Experiment.id.label("key"),
            Experiment.uuid,
            Experiment.name,
            Experiment.base_model,
            Experiment.task_type,
            Experiment.status,
            Experiment.config,
            Experiment.metrics,
            Experiment.created_at,
            Experiment.updated_at,
            ExperimentDetails.description,
            ExperimentDetails.note,
            ExperimentDetails.archived_at,
            original.uuid.label("cloned_from"),
            tags.label("tags"),
            User.uuid.label("author_uuid"),
            User.username.label("author_name"),
        )
        .outerjoin(ExperimentDetails, ExperimentDetails.experiment_id == Experiment.id)
        .outerjoin(original, original.id == ExperimentDetails.cloned_from)
        .outerjoin(User, User.id == ExperimentDetails.created_by)
    )
    found: Select[Any] = statement
    return found


@cache
def experiments_by_key() -> Compiled:
    """Return the statement that selects the displayed columns of the experiments with given keys.

    Its parameters are ``project`` and ``keys``.
    """
    return compiled(
        _select_experiments().where(
            Experiment.project_id == bindparam("project"),
            Experiment.id == any_(bindparam("keys", type_=ARRAY(Integer))),
        )
    )


def get_experiment_row(session: Session, experiment: Experiment) -> Row[Any]:
    """Return an experiment with the columns of :func:`experiments_by_key`."""
    return session.execute(_select_experiments().where(Experiment.id == experiment.id)).one()


def details_of(session: Session, experiment: Experiment) -> ExperimentDetails:
    """Return the details of an experiment."""
    return session.get_one(ExperimentDetails, experiment.id)


def tags_of(session: Session, experiment: Experiment) -> list[str]:
    """Return the tags of an experiment in alphabetical order."""
    return list(
        session.scalars(
            select(ExperimentTag.tag)
            .where(ExperimentTag.experiment_id == experiment.id)
            .order_by(ExperimentTag.tag)
        )
    )


def get_experiment(session: Session, context: ProjectContext, uuid: UUID) -> Experiment:
    """Return an experiment of the project.

    Raises:
        NotFound: the project has no such experiment.
    """
    return _one(session, context, uuid, lock=False)


def lock_experiment(session: Session, context: ProjectContext, uuid: UUID) -> Experiment:
    """Lock one of the project's experiments for a change, and return its current state.

    Raises:
        NotFound: the project has no such experiment.
    """
    return _one(session, context, uuid, lock=True)


def _one(session: Session, context: ProjectContext, uuid: UUID, *, lock: bool) -> Experiment:
    statement = select(Experiment).where(
        Experiment.uuid == uuid, Experiment.project_id == context.project_id
    )
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound(resource="experiment")
    return found


def lock_experiment_by_id(session: Session, experiment_id: int | None) -> Experiment | None:
    """Lock and return the experiment of a task or model; None if it was deleted."""
    if experiment_id is None:
        return None
    return session.scalar(
        select(Experiment)
        .where(Experiment.id == experiment_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def list_runs(experiment: Experiment) -> Select[Any]:
    """Select the experiment's runs: training runs and external runs."""
    statement: Any = select(Task).where(
        Task.experiment_id == experiment.id, Task.type.in_(RUN_TYPES)
    )
    found: Select[Any] = statement
    return found


def count_runs(session: Session, experiment: Experiment) -> int:
    """Return the number of runs that an experiment has."""
    return session.scalars(select(func.count()).select_from(list_runs(experiment).subquery())).one()


def latest_run(session: Session, experiment: Experiment) -> int | None:
    """Return the id of an experiment's newest training task, or None if it has none."""
    return session.scalar(
        select(func.max(Task.id)).where(
            Task.experiment_id == experiment.id, Task.type == TaskType.TRAINING.value
        )
    )


def unfinished_task(session: Session, experiment: Experiment) -> Task | None:
    """Return a task of an experiment that has not ended; None if all have ended.

    It is a training task, an evaluation or an external run.
    """
    return session.scalar(
        select(Task)
        .where(Task.experiment_id == experiment.id, Task.status.in_(UNFINISHED))
        .order_by(Task.id)
        .limit(1)
    )


def inputs_of(session: Session, task: Task) -> Sequence[TaskInput]:
    """Return the inputs of a task, ordered by role."""
    return session.scalars(
        select(TaskInput).where(TaskInput.task_id == task.id).order_by(TaskInput.role)
    ).all()


def shape_of(session: Session, version_id: int | None) -> str | None:
    """Return the data shape of a dataset version; None if it is unknown."""
    return session.scalar(
        select(DatasetVersionDetails.shape).where(DatasetVersionDetails.version_id == version_id)
    )


def columns_of(session: Session, version_id: int | None) -> list[str]:
    """Return the column names of a dataset version."""
    columns = session.scalar(
        select(DatasetVersionDetails.columns).where(DatasetVersionDetails.version_id == version_id)
    )
    return [column["name"] if isinstance(column, dict) else str(column) for column in columns or ()]


def list_experiment_names() -> Select[*tuple[Any, ...]]:
    """Select the uuid and the name of each experiment."""
    return select(Experiment.id, Experiment.uuid, Experiment.name)


def list_experiment_uuids() -> Select[*tuple[Any, ...]]:
    """Select the uuid and the project of each experiment."""
    return select(Experiment.id, Experiment.uuid, Experiment.project_id)


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
    """Return the statement that selects the displayed columns of the runs with given keys.

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


def get_estimate_row(session: Session, context: ProjectContext, uuid: UUID) -> Row[Any]:
    """Return an estimate of a training run, with its result and author.

    Raises:
        NotFound: the project has no such estimate.
    """
    found = session.execute(
        select(
            Task.uuid,
            Task.status,
            Task.config,
            Task.error_message,
            Task.created_at,
            Task.completed_at,
            TaskScheduling.result,
            User.uuid.label("author_uuid"),
            User.username.label("author_name"),
        )
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .outerjoin(User, User.id == TaskScheduling.created_by)
        .where(
            Task.uuid == uuid,
            Task.project_id == context.project_id,
            Task.type == TaskType.ESTIMATE.value,
        )
    ).one_or_none()
    if found is None:
        raise NotFound(resource="estimate")
    return found


HISTORY = 100
"""Number of a model's newest training runs from which the pace of the next one is estimated."""


def completed_trainings(session: Session, base_model_id: int) -> Sequence[Row[Any]]:
    """Return configs and results of the newest completed training runs of a base model.

    Training runs in all projects count, because only their speed is used.
    """
    return session.execute(
        select(Task.config, TaskScheduling.result)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .join(TaskInput, TaskInput.task_id == Task.id)
        .where(
            TaskInput.model_id == base_model_id,
            Task.type == TaskType.TRAINING.value,
            Task.status == TaskStatus.COMPLETED.value,
            TaskScheduling.result.is_not(None),
        )
        .order_by(Task.id.desc())
        .limit(HISTORY)
    ).all()


def estimate_of(
    session: Session, run: Task, config: Mapping[str, Any], unrelated: Sequence[str]
) -> Row[Any] | None:
    """Return the newest completed estimate of ``config`` that was requested before a run.

    Args:
        session: the database session.
        run: the run.
        config: the run's config without the fields in ``unrelated``.
        unrelated: fields of the estimated spec that are not compared.
    """
    training = Task.config["training"]
    return session.execute(
        select(Task.uuid, TaskScheduling.result)
        .join(TaskScheduling, TaskScheduling.task_id == Task.id)
        .where(
            Task.project_id == run.project_id,
            Task.id < run.id,
            Task.type == TaskType.ESTIMATE.value,
            Task.status == TaskStatus.COMPLETED.value,
            training.op("-")(cast(list(unrelated), ARRAY(Text))) == cast(config, JSONB),
        )
        .order_by(Task.id.desc())
        .limit(1)
    ).one_or_none()


def run_details(session: Session, task_id: int) -> RunDetails | None:
    """Return the details of a run; None if its project was deleted before the run was queued.

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
