"""What the queue tells of the servers of deployments."""

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.inference import queries
from aiplatform.server.inference.rules import CRASH_WINDOW, may_become, restart_delay
from aiplatform.server.inference.service.running import (
    become,
    project_uuid,
    record,
    run,
    serve,
)
from aiplatform.server.notifications.service import announce
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service.kinds import Inputs, Outcome

S = DeploymentStatus


def task_inputs(session: Session, task: Task) -> Inputs:
    """What the runtime reads: the model, and its base where it was tuned from one."""
    return Inputs(
        trees={
            role: registry_queries.files(session, model)
            for role, model in queries.served_models(session, task)
        }
    )


def model_made(session: Session, task: Task, training: Task) -> None:
    """The training that makes the model has completed; serve what it has made.

    Raises:
        MadeNoModel: see ``registry.service.pin_made``.
    """
    model = registry.pin_made(session, task, training)
    deployment = queries.lock_served_by(session, task.id)
    if deployment is not None:
        serve(deployment, model)


def server_starts(session: Session, task_id: int) -> None:
    """A worker has taken the task."""
    deployment = queries.lock_served_by(session, task_id)
    if deployment is not None and deployment.status == S.RESTARTING:
        become(session, deployment, S.STARTING)


def server_ready(session: Session, task: Task, endpoint: str, token: str) -> None:
    """The server answers at ``endpoint``, to whoever shows ``token``."""
    deployment = queries.lock_served_by(session, task.id)
    if deployment is None or not may_become(S(deployment.status), S.READY):
        return
    become(session, deployment, S.READY)
    deployment.endpoint, deployment.endpoint_token, deployment.error = endpoint, token, None
    project = project_uuid(session, deployment)
    record(session, audit.SYSTEM, AuditAction.DEPLOYMENT_READY, deployment, project, task=task.uuid)
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
    deployment = queries.lock_served_by(session, task.id)
    if deployment is None or not may_become(S(deployment.status), S.RESTARTING):
        return
    become(session, deployment, S.RESTARTING)
    deployment.restarts += 1
    session.flush()


def server_ended(session: Session, task: Task, outcome: Outcome) -> None:
    """The run is over: stopped as asked, or crashed and started again unless that is hopeless.

    One that waited for a task that failed never began; the deployment is stopped, with the reason.
    """
    deployment = queries.lock_served_by(session, task.id)
    if deployment is None:
        return
    project = project_uuid(session, deployment)
    if outcome.status is not TaskStatus.FAILED or deployment.status == S.STOPPING:
        if deployment.status != S.STOPPING:
            record(
                session, audit.SYSTEM, AuditAction.DEPLOYMENT_STOPPED, deployment, project,
                task=task.uuid,
            )  # fmt: skip
        become(session, deployment, S.STOPPED)
        return
    deployment.error = outcome.error
    if task.scheduling.attempt == 0:
        # No worker ever had it: a task that it waited for has failed, which no restart cures.
        record(
            session, audit.SYSTEM, AuditAction.DEPLOYMENT_STOPPED, deployment, project,
            outcome="failure", task=task.uuid, error=outcome.error,
        )  # fmt: skip
        become(session, deployment, S.STOPPED)
        return
    # Runs from before somebody started it by hand do not count against it.
    crashes = min(queries.failed_runs(session, deployment, CRASH_WINDOW), deployment.restarts + 1)
    delay = restart_delay(max(crashes, 1))
    if deployment.model_id is None:
        delay = None
    record(
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
        become(session, deployment, S.RESTARTING)
        deployment.restarts += 1
        run(session, deployment, audit.SYSTEM, project, delay=delay)
        return
    become(session, deployment, S.CRASHED)
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
