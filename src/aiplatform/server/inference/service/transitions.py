"""Changes to deployments after requests from users and events from the task queue.

The functions queue a server, set the model, change the status, and end updates.
"""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.inference.errors import WrongDeploymentState
from aiplatform.server.inference.models import Deployment, DeploymentRetirement
from aiplatform.server.inference.rules import may_become
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.dependencies import Dependency
from aiplatform.server.queue.service.insertion import enqueue
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model

S = DeploymentStatus


def start_run(
    session: Session,
    deployment: Deployment,
    actor: Actor,
    project: UUID,
    *,
    delay: timedelta | None = None,
    needs: Sequence[Dependency] = (),
) -> None:
    """Queue a task that serves the deployment's model once the tasks in ``needs`` have ended."""
    model = None if deployment.model_id is None else session.get(Model, deployment.model_id)
    spec = InferenceSpec.model_validate(deployment.spec)
    task = queue_server(session, deployment, spec, model, actor, project, delay=delay, needs=needs)
    deployment.task_id = task.id
    session.flush()


def queue_server(
    session: Session,
    deployment: Deployment,
    spec: InferenceSpec,
    model: Model | None,
    actor: Actor,
    project: UUID,
    *,
    delay: timedelta | None = None,
    needs: Sequence[Dependency] = (),
) -> Task:
    """Queue a task that serves ``model`` for the deployment, and return it."""
    not_before = None
    if delay is not None:
        not_before = session.scalars(select(func.clock_timestamp() + delay)).one()
    return enqueue(
        session,
        spec,
        actor=actor,
        project_id=deployment.project_id,
        project_uuid=project,
        name=deployment.name,
        model_id=None if model is None else model.id,
        inputs=None if model is None else registry.model_inputs(session, model),
        not_before=not_before,
        author_id=deployment.created_by if actor.user_id is None else actor.user_id,
        needs=needs,
    )


def set_model(deployment: Deployment, model: Model) -> None:
    """Set the model that the deployment serves.

    Its spec then no longer refers to the task that produced the model.
    """
    deployment.model_id = model.id
    deployment.spec = {**deployment.spec, "model": str(model.uuid)}


def change_status(session: Session, deployment: Deployment, status: DeploymentStatus) -> None:
    """Change a deployment's status. All status changes must use this function.

    Raises:
        WrongDeploymentState: when the transition is not allowed.
    """
    if not may_become(S(deployment.status), status):
        raise WrongDeploymentState(state=deployment.status, action=str(status), action_zh="更改")
    deployment.status = status.value
    if status is not S.READY:
        deployment.endpoint = deployment.endpoint_token = None
    if status in {S.STOPPING, S.STOPPED}:
        end_retirements(session, deployment)
    session.flush()


def end_retirements(session: Session, deployment: Deployment) -> None:
    """Make the deployment's replaced servers stop now, even if they are still answering."""
    session.execute(
        delete(DeploymentRetirement).where(DeploymentRetirement.deployment_id == deployment.id)
    )


def forget_update(session: Session, deployment: Deployment) -> int | None:
    """Remove the update from the deployment; return the id of its server's task, or None."""
    task_id, deployment.next_task_id = deployment.next_task_id, None
    deployment.next_model_id = deployment.next_spec = None
    session.flush()
    return task_id


def record(
    session: Session,
    actor: Actor,
    action: AuditAction,
    deployment: Deployment,
    project: UUID,
    *,
    outcome: audit.Outcome = "success",
    **details: object,
) -> None:
    audit.record(
        session,
        actor,
        action,
        "deployment",
        deployment.uuid,
        project=project,
        outcome=outcome,
        name=deployment.name,
        **details,
    )


def project_uuid(session: Session, deployment: Deployment) -> UUID:
    return session.scalars(select(Project.uuid).where(Project.id == deployment.project_id)).one()
