"""Named selects of deployments."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.registry.models import Model
from aiplatform.server.tasks.models import Task, TaskInput


def list_deployments(context: ProjectContext, *, name: str | None = None) -> Select[Any]:
    """The project's deployments, each with what is shown beside it."""
    statement: Any = (
        select(
            Deployment,
            Task.uuid.label("task_uuid"),
            Model.uuid.label("model_uuid"),
            Model.name.label("model_name"),
            Model.version.label("model_version"),
            User.uuid.label("author_uuid"),
            User.username.label("author_name"),
        )
        .outerjoin(Task, Task.id == Deployment.task_id)
        # A model in the bin is another project's, and shows like one that is gone.
        .outerjoin(
            Model,
            and_(
                Model.id == Deployment.model_id,
                or_(Model.project_id.is_(None), Model.project_id == Deployment.project_id),
            ),
        )
        .outerjoin(User, User.id == Deployment.created_by)
        .where(Deployment.project_id == context.project_id)
    )
    found: Select[Any] = statement
    return found if name is None else found.where(Deployment.name == name)


def shown(session: Session, context: ProjectContext, deployment: Deployment) -> Row[Any]:
    """One row of :func:`list_deployments`."""
    return session.execute(list_deployments(context).where(Deployment.id == deployment.id)).one()


def get_deployment(
    session: Session, context: ProjectContext, uuid: UUID, *, lock: bool = False
) -> Deployment:
    """One deployment of the project; with ``lock``, locked and as it is now.

    Raises:
        NotFound: when the project has no such deployment.
    """
    statement = select(Deployment).where(
        Deployment.uuid == uuid, Deployment.project_id == context.project_id
    )
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    found = session.scalar(statement)
    if found is None:
        raise NotFound(resource="deployment")
    return found


def lock_served_by(session: Session, task_id: int) -> Deployment | None:
    """The deployment whose current run is the task, locked; None when it has moved on."""
    return session.scalar(
        select(Deployment)
        .where(Deployment.task_id == task_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def served_models(session: Session, task: Task) -> list[tuple[str, Model]]:
    """The models that a run reads, by role."""
    rows = session.execute(
        select(TaskInput.role, Model)
        .join(Model, Model.id == TaskInput.model_id)
        .where(TaskInput.task_id == task.id)
    )
    return [(role, model) for role, model in rows]


def failed_runs(session: Session, deployment: Deployment, within: timedelta) -> int:
    """How many runs under the deployment's name failed lately, by the database's clock."""
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
