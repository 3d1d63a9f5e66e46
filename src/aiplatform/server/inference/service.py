"""Use cases of deployments: what people ask for, and what the queue tells of their servers.

Locks are taken in one order everywhere, task before deployment, since the queue calls this domain
with the task locked.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.inference import queries
from aiplatform.server.inference.errors import DeployedModelGone, WrongDeploymentState
from aiplatform.server.inference.models import Deployment
from aiplatform.server.inference.rules import CRASH_WINDOW, DOWN, may_become, restart_delay
from aiplatform.server.notifications.service import announce
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import request_cancel
from aiplatform.server.tasks.service.entering import enqueue
from aiplatform.server.tasks.service.kinds import InputRef, Inputs, Outcome
from aiplatform.server.tasks.service.queue import lock

S = DeploymentStatus
SERVED = "model"
BASE = "base_model"


def create_deployment(
    session: Session, context: ProjectContext, name: str, spec: InferenceSpec
) -> Deployment:
    """Serve a model under a name.

    Raises:
        NotFound: for a model that the project may not use.
        ModelNotReady: while its files are still coming in.
        NameTaken: when the project has a deployment of that name.
    """
    model = registry.usable_model(session, context, spec.model)
    deployment = Deployment(
        project_id=context.project_id,
        name=name,
        model_id=model.id,
        spec=spec.model_dump(mode="json"),
        status=S.STARTING.value,
        restarts=0,
        created_by=context.principal.user_id,
    )
    try:
        with session.begin_nested():
            session.add(deployment)
    except IntegrityError as error:
        raise NameTaken(resource="deployment", name=name) from error
    session.refresh(deployment)
    _record(
        session,
        context.actor,
        AuditAction.DEPLOYMENT_CREATED,
        deployment,
        context.project_uuid,
        model=model.uuid,
        model_name=f"{model.name}@{model.version}",
    )
    _run(session, deployment, context.actor, context.project_uuid)
    return deployment


def start(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Start it after it stopped or crashed.

    Raises:
        NotFound, WrongDeploymentState, DeployedModelGone, ModelNotReady: see there.
    """
    _hold_model(session, context, uuid)
    deployment, _ = _lock(session, context, uuid)
    if deployment.status not in DOWN:
        raise WrongDeploymentState(
            state=deployment.status, action="started", action_zh="启动", wanted="starting"
        )
    _start_anew(session, context, deployment, AuditAction.DEPLOYMENT_STARTED)
    return deployment


def restart(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Replace the server by a new one; the old one is told to stop at the same time.

    Raises:
        NotFound, DeployedModelGone, ModelNotReady: see there.
    """
    _hold_model(session, context, uuid)
    deployment, task = _lock(session, context, uuid)
    _start_anew(session, context, deployment, AuditAction.DEPLOYMENT_RESTARTED)
    # The old run is nobody's any more, so its end changes nothing here.
    _cancel(session, context, task)
    return deployment


def stop(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Stop it; its server is given its grace period to finish what it is answering.

    Raises:
        NotFound: when the project has no such deployment.
        WrongDeploymentState: when it is stopping or down already.
    """
    deployment, task = _lock(session, context, uuid)
    if deployment.status in DOWN or deployment.status == S.STOPPING:
        raise WrongDeploymentState(state=deployment.status, action="stopped", action_zh="停止")
    _become(session, deployment, S.STOPPING)
    _record(
        session, context.actor, AuditAction.DEPLOYMENT_STOPPED, deployment, context.project_uuid
    )
    if task is None or TaskStatus(task.status).is_final:
        _become(session, deployment, S.STOPPED)
    else:
        _cancel(session, context, task)
    return deployment


def delete_deployment(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Stop it and forget it; its task stays, with its log.

    Raises:
        NotFound: when the project has no such deployment.
    """
    deployment, task = _lock(session, context, uuid)
    _record(
        session, context.actor, AuditAction.DEPLOYMENT_DELETED, deployment, context.project_uuid
    )
    session.delete(deployment)
    session.flush()
    _cancel(session, context, task)


def task_inputs(session: Session, task: Task) -> Inputs:
    """What the runtime reads: the model, and its base where it was tuned from one."""
    return Inputs(
        trees={
            role: registry_queries.files(session, model)
            for role, model in queries.served_models(session, task)
        }
    )


def server_starts(session: Session, task: Task) -> None:
    """A worker has taken the task."""
    deployment = queries.lock_served_by(session, task)
    if deployment is not None and deployment.status == S.RESTARTING:
        _become(session, deployment, S.STARTING)


def server_ready(session: Session, task: Task, endpoint: str, token: str) -> None:
    """The server answers at ``endpoint``, to whoever shows ``token``."""
    deployment = queries.lock_served_by(session, task)
    if deployment is None or not may_become(S(deployment.status), S.READY):
        return
    _become(session, deployment, S.READY)
    deployment.endpoint, deployment.endpoint_token, deployment.error = endpoint, token, None
    project = _project_uuid(session, deployment)
    _record(
        session, audit.SYSTEM, AuditAction.DEPLOYMENT_READY, deployment, project, task=task.uuid
    )
    announce(
        session,
        NotificationType.DEPLOYMENT_READY,
        to=[deployment.created_by],
        project=project,
        name=deployment.name,
        deployment=deployment.uuid,
    )


def server_lost(session: Session, task: Task) -> None:
    """The worker was lost or stopped; the same task waits for another."""
    deployment = queries.lock_served_by(session, task)
    if deployment is None or not may_become(S(deployment.status), S.RESTARTING):
        return
    _become(session, deployment, S.RESTARTING)
    deployment.restarts += 1
    session.flush()


def server_ended(session: Session, task: Task, outcome: Outcome) -> None:
    """The run is over: stopped as asked, or crashed and started again unless that is hopeless."""
    deployment = queries.lock_served_by(session, task)
    if deployment is None:
        return
    project = _project_uuid(session, deployment)
    if outcome.status is not TaskStatus.FAILED or deployment.status == S.STOPPING:
        if deployment.status != S.STOPPING:
            _record(
                session, audit.SYSTEM, AuditAction.DEPLOYMENT_STOPPED, deployment, project,
                task=task.uuid,
            )  # fmt: skip
        _become(session, deployment, S.STOPPED)
        return
    deployment.error = outcome.error
    # Runs from before somebody started it by hand do not count against it.
    crashes = min(queries.failed_runs(session, deployment, CRASH_WINDOW), deployment.restarts + 1)
    delay = restart_delay(max(crashes, 1))
    if deployment.model_id is None:
        delay = None
    _record(
        session,
        audit.SYSTEM,
        AuditAction.DEPLOYMENT_CRASHED,
        deployment,
        project,
        outcome="failure",
        task=task.uuid,
        error=outcome.error,
        crashes=crashes,
        restart_seconds=None if delay is None else delay.total_seconds(),
    )
    if delay is not None:
        _become(session, deployment, S.RESTARTING)
        deployment.restarts += 1
        _run(session, deployment, audit.SYSTEM, project, delay=delay)
        return
    _become(session, deployment, S.CRASHED)
    announce(
        session,
        NotificationType.DEPLOYMENT_CRASHED,
        to=[deployment.created_by],
        project=project,
        name=deployment.name,
        crashes=crashes,
        error=outcome.error,
        deployment=deployment.uuid,
    )


def _hold_model(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Keep the deployment's model from being deleted, before the deployment itself is locked.

    Deleting a model locks it first and its deployments after; the other way round, the two could
    wait for each other.
    """
    deployment = queries.get_deployment(session, context, uuid)
    if deployment.model_id is None:
        raise DeployedModelGone
    spec = InferenceSpec.model_validate(deployment.spec)
    try:
        registry.usable_model(session, context, spec.model)
    except NotFound as error:
        raise DeployedModelGone from error


def _start_anew(
    session: Session, context: ProjectContext, deployment: Deployment, action: AuditAction
) -> None:
    running = deployment.status not in DOWN
    _become(session, deployment, S.RESTARTING if running else S.STARTING)
    deployment.restarts, deployment.error = 0, None
    _record(session, context.actor, action, deployment, context.project_uuid)
    _run(session, deployment, context.actor, context.project_uuid)


def _run(
    session: Session,
    deployment: Deployment,
    actor: Actor,
    project: UUID,
    *,
    delay: timedelta | None = None,
) -> None:
    """Queue a task that serves the deployment's model."""
    model = session.get_one(Model, deployment.model_id)
    not_before = None
    if delay is not None:
        not_before = session.scalars(select(func.clock_timestamp() + delay)).one()
    task = enqueue(
        session,
        InferenceSpec.model_validate(deployment.spec),
        actor=actor,
        project_id=deployment.project_id,
        project_uuid=project,
        name=deployment.name,
        model_id=model.id,
        inputs=_inputs(session, model),
        not_before=not_before,
        author_id=deployment.created_by if actor.user_id is None else actor.user_id,
    )
    deployment.task_id = task.id
    session.flush()


def _inputs(session: Session, model: Model) -> list[InputRef]:
    """The model, and its base beside it, so that both answer."""
    refs = [registry.input_ref(session, model, SERVED)]
    base_id = registry_queries.details_of(session, model).base_model_id
    if base_id is not None:
        refs.append(registry.input_ref(session, session.get_one(Model, base_id), BASE))
    return refs


def _lock(session: Session, context: ProjectContext, uuid: UUID) -> tuple[Deployment, Task | None]:
    """The deployment and the task of its run, both locked and as they are now."""
    while True:
        with session.begin_nested() as attempt:
            expected = queries.get_deployment(session, context, uuid).task_id
            task = None if expected is None else lock(session, expected)
            deployment = queries.get_deployment(session, context, uuid, lock=True)
            if deployment.task_id == expected:
                return deployment, task
            # It got another run meanwhile; that one's task comes first again.
            attempt.rollback()


def _cancel(session: Session, context: ProjectContext, task: Task | None) -> None:
    if task is not None and not TaskStatus(task.status).is_final:
        request_cancel(session, context.actor, task, project=context.project_uuid)


def _become(session: Session, deployment: Deployment, status: DeploymentStatus) -> None:
    """The one door: every change of a deployment's status goes through here."""
    if not may_become(S(deployment.status), status):
        raise WrongDeploymentState(state=deployment.status, action=str(status), action_zh="更改")
    deployment.status = status.value
    if status is not S.READY:
        deployment.endpoint = deployment.endpoint_token = None
    session.flush()


def _record(
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


def _project_uuid(session: Session, deployment: Deployment) -> UUID:
    return session.scalars(select(Project.uuid).where(Project.id == deployment.project_id)).one()
