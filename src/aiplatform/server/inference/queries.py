"""SELECT statements for deployments."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session, aliased

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment, DeploymentRetirement
from aiplatform.server.inference.rules import DRAIN_TIME
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.registry.models import Model, ModelAlias

_NextTask = aliased(Task, name="next_task")
_NextModel = aliased(Model, name="next_model")


MAX_NAMES = 10
"""Maximum number of names that an error lists."""


def shared_names(session: Session, project_id: int, owner_id: int) -> list[str]:
    """Return deployment names that occur both in the project and in the owner's other projects.

    Projects in the bin count, because their owner can restore them.
    """
    theirs = aliased(Deployment)
    return list(
        session.scalars(
            select(Deployment.name)
            .join(theirs, theirs.name == Deployment.name)
            .join(Project, Project.id == theirs.project_id)
            .where(
                Deployment.project_id == project_id,
                Project.owner_id == owner_id,
                Project.id != project_id,
            )
            .distinct()
            .order_by(Deployment.name)
            .limit(MAX_NAMES)
        )
    )


def list_deployments(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """Select the project's deployments, each with its task, model, author and update."""
    statement: Any = (
        select(
            Deployment,
            Task.uuid.label("task_uuid"),
            Model.uuid.label("model_uuid"),
            Model.name.label("model_name"),
            Model.version.label("model_version"),
            User.uuid.label("author_uuid"),
            User.username.label("author_name"),
            _NextTask.uuid.label("next_task_uuid"),
            _NextModel.uuid.label("next_model_uuid"),
            _NextModel.name.label("next_model_name"),
            _NextModel.version.label("next_model_version"),
        )
        .outerjoin(Task, Task.id == Deployment.task_id)
        # A model in the bin belongs to another project and is shown like a deleted one.
        .outerjoin(
            Model,
            and_(
                Model.id == Deployment.model_id,
                or_(Model.project_id.is_(None), Model.project_id == Deployment.project_id),
            ),
        )
        .outerjoin(User, User.id == Deployment.created_by)
        .outerjoin(_NextTask, _NextTask.id == Deployment.next_task_id)
        .outerjoin(
            _NextModel,
            and_(
                _NextModel.id == Deployment.next_model_id,
                or_(
                    _NextModel.project_id.is_(None), _NextModel.project_id == Deployment.project_id
                ),
            ),
        )
        .where(Deployment.project_id == context.project_id)
    )
    found: Select[Any] = statement
    return found if name is None else found.where(Deployment.name == name)


def display_row(session: Session, context: ProjectContext, deployment: Deployment) -> Row[Any]:
    """Return one deployment with the columns of :func:`list_deployments`."""
    return session.execute(list_deployments(context).where(Deployment.id == deployment.id)).one()


def get_deployment(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Return a deployment of the project.

    Raises:
        NotFound: when the project has no such deployment.
    """
    found = session.scalar(
        select(Deployment).where(
            Deployment.uuid == uuid, Deployment.project_id == context.project_id
        )
    )
    if found is None:
        raise NotFound(resource="deployment")
    return found


def read_deployment(session: Session, deployment_id: int, *, lock: bool = False) -> Deployment:
    """Return the current state of a deployment that was found earlier; with ``lock``, lock it.

    Raises:
        NotFound: when it was deleted.
    """
    statement = select(Deployment).where(Deployment.id == deployment_id)
    if lock:
        statement = statement.with_for_update()
    found = session.scalar(statement.execution_options(populate_existing=True))
    if found is None:
        raise NotFound(resource="deployment")
    return found


def followers(session: Session, project_id: int | None, reference: str) -> Sequence[Deployment]:
    """Return the deployments that follow an alias, in the order in which they are locked.

    Args:
        session: the caller's session.
        project_id: the project of the alias; None for a shared alias, which deployments follow in
            all projects that have no alias of the same name.
        reference: ``name@alias``.
    """
    statement = select(Deployment).where(Deployment.follows == reference)
    if project_id is not None:
        statement = statement.where(Deployment.project_id == project_id)
    else:
        name, _, alias = reference.partition("@")
        own = select(ModelAlias.id).where(
            ModelAlias.project_id == Deployment.project_id,
            ModelAlias.model_name == name,
            ModelAlias.name == alias,
        )
        statement = statement.where(~own.exists())
    return session.scalars(statement.order_by(Deployment.id)).all()


def lock_served_by(session: Session, task_id: int) -> Deployment | None:
    """Lock and return the deployment that a task serves, or will serve after an update.

    Return None if the task no longer serves a deployment.
    """
    return session.scalar(
        select(Deployment)
        .where(or_(Deployment.task_id == task_id, Deployment.next_task_id == task_id))
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def served_models(session: Session, task: Task) -> list[tuple[str, Model]]:
    """Return the models that a serving task reads, each with its role as an input."""
    rows = session.execute(
        select(TaskInput.role, Model)
        .join(Model, Model.id == TaskInput.model_id)
        .where(TaskInput.task_id == task.id)
    )
    return [(role, model) for role, model in rows]


def failed_runs(session: Session, deployment: Deployment, within: timedelta) -> int:
    """Return how many serving tasks with the deployment's name failed in the last ``within``."""
    since = func.clock_timestamp() - within
    return session.scalars(
        select(func.count())
        .select_from(Task)
        .where(
            Task.project_id == deployment.project_id,
            Task.type == TaskType.INFERENCE.value,
            Task.name == deployment.name,
            Task.status == TaskStatus.FAILED.value,
            Task.completed_at > since,
        )
    ).one()


def run_replaced_by(session: Session, task_id: int) -> int | None:
    """Return the id of the task whose server will be replaced by the server of task ``task_id``.

    Return None if the task is not an update of a deployment.
    """
    return session.scalar(select(Deployment.task_id).where(Deployment.next_task_id == task_id))


def drain_seconds(session: Session, task_id: int) -> float | None:
    """Return the number of seconds for which a replaced server may finish its responses.

    Return None if the task does not run a replaced server.
    """
    left = DRAIN_TIME - (func.clock_timestamp() - DeploymentRetirement.retired_at)
    found = session.scalar(
        select(func.date_part("epoch", left)).where(DeploymentRetirement.task_id == task_id)
    )
    return None if found is None else max(0.0, float(found))


def forget_retirement(session: Session, task_id: int) -> None:
    """Delete the row of a replaced server, after its task has ended."""
    session.execute(delete(DeploymentRetirement).where(DeploymentRetirement.task_id == task_id))
