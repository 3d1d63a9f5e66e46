"""Named selects of experiments and of what their tasks read."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.errors import NotFound
from aiplatform.server.datasets.models import DatasetVersionDetails
from aiplatform.server.experiments.models import Experiment, ExperimentDetails
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.tasks.models import Task, TaskInput

UNFINISHED = [status.value for status in TaskStatus if not status.is_final]


def list_experiments(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """The project's experiments, each with what is shown beside it."""
    statement: Any = (
        select(
            Experiment,
            ExperimentDetails.description,
            User.uuid.label("author_uuid"),
            User.username.label("author_name"),
        )
        .outerjoin(ExperimentDetails, ExperimentDetails.experiment_id == Experiment.id)
        .outerjoin(User, User.id == ExperimentDetails.created_by)
        .where(Experiment.project_id == context.project_id)
    )
    found: Select[Any] = statement
    return found if name is None else found.where(Experiment.name == name)


def shown(session: Session, context: ProjectContext, experiment: Experiment) -> Row[Any]:
    """One row of :func:`list_experiments`."""
    return session.execute(list_experiments(context).where(Experiment.id == experiment.id)).one()


def get_experiment(session: Session, context: ProjectContext, uuid: UUID) -> Experiment:
    """One experiment of the project.

    Raises:
        NotFound: when the project has no such experiment.
    """
    return _one(session, context, uuid, lock=False)


def lock_experiment(session: Session, context: ProjectContext, uuid: UUID) -> Experiment:
    """The same, locked and as it is now. Every change begins here.

    Raises:
        NotFound: when the project has no such experiment.
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


def lock_asked_by(session: Session, experiment_id: int | None) -> Experiment | None:
    """The experiment that a task or a model belongs to, locked; None when it is gone."""
    if experiment_id is None:
        return None
    return session.scalar(
        select(Experiment)
        .where(Experiment.id == experiment_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


def list_runs(experiment: Experiment) -> Select[Any]:
    """The experiment's trainings."""
    statement: Any = select(Task).where(
        Task.experiment_id == experiment.id, Task.type == TaskType.TRAINING.value
    )
    found: Select[Any] = statement
    return found


def count_runs(session: Session, experiment: Experiment) -> int:
    """How many trainings it has had."""
    return session.scalars(select(func.count()).select_from(list_runs(experiment).subquery())).one()


def latest_run(session: Session, experiment: Experiment) -> int | None:
    """The id of its newest training."""
    return session.scalar(
        select(func.max(Task.id)).where(
            Task.experiment_id == experiment.id, Task.type == TaskType.TRAINING.value
        )
    )


def unfinished_task(session: Session, experiment: Experiment) -> Task | None:
    """A training, or an evaluation of what one has made, that has not ended."""
    return session.scalar(
        select(Task)
        .where(Task.experiment_id == experiment.id, Task.status.in_(UNFINISHED))
        .order_by(Task.id)
        .limit(1)
    )


def inputs_of(session: Session, task: Task) -> Sequence[TaskInput]:
    """What a task reads."""
    return session.scalars(
        select(TaskInput).where(TaskInput.task_id == task.id).order_by(TaskInput.role)
    ).all()


def shape_of(session: Session, version_id: int | None) -> str | None:
    """The shape of a dataset version's rows."""
    return session.scalar(
        select(DatasetVersionDetails.shape).where(DatasetVersionDetails.version_id == version_id)
    )


def project_uuid(session: Session, project_id: int | None) -> UUID | None:
    """The uuid of a project."""
    return session.scalar(select(Project.uuid).where(Project.id == project_id))
