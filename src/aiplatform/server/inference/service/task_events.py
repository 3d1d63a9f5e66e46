"""Handlers of the task queue's events about model servers."""

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.protocol.notifications import NotificationType
from aiplatform.server.core import audit
from aiplatform.server.inference import queries
from aiplatform.server.inference.models import Deployment, DeploymentRetirement
from aiplatform.server.inference.rules import CRASH_WINDOW, may_become, restart_delay
from aiplatform.server.inference.service.transitions import (
    change_status,
    forget_update,
    project_uuid,
    record,
    set_model,
    start_run,
)
from aiplatform.server.notifications.service import announce
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import request_cancel
from aiplatform.server.queue.service.insertion import fits_queue
from aiplatform.server.queue.service.kinds import Inputs, Outcome
from aiplatform.server.queue.service.queue import lock
from aiplatform.server.registry import queries as registry_queries
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model

S = DeploymentStatus


def task_inputs(session: Session, task: Task) -> Inputs:
    """Return the files of the model that a task serves, and of its base model if it is tuned."""
    return Inputs(
        trees={
            role: registry_queries.files(session, model)
            for role, model in queries.served_models(session, task)
        }
    )


def model_made(session: Session, task: Task, training: Task) -> None:
    """Set the model of a completed training task as the model that the waiting ``task`` serves.

    Raises:
        ModelMissing: see ``registry.service.pin_produced_model``.
    """
    model = registry.pin_produced_model(session, task, training)
    deployment = queries.lock_served_by(session, task.id)
    if deployment is not None:
        set_model(deployment, model)


def server_started(session: Session, task_id: int) -> None:
    """Update the deployment after a worker has claimed its task."""
    deployment = queries.lock_served_by(session, task_id)
    if deployment is None or deployment.next_task_id == task_id:
        return
    if deployment.status == S.RESTARTING:
        change_status(session, deployment, S.STARTING)


def server_ready(session: Session, task: Task, endpoint: str, token: str) -> None:
    """Update the deployment after its server became ready at ``endpoint`` with ``token``."""
    deployment, former = _lock_with_former(session, task)
    if deployment is not None and deployment.next_task_id == task.id:
        if task.status == TaskStatus.CANCELLING:
            # A user cancelled the update while its server was starting. The current server
            # continues.
            return
        if deployment.status == S.STOPPED:
            # A user has cancelled the current server's task in the meantime.
            request_cancel(session, audit.SYSTEM, task)
        else:
            take_over(session, deployment, task, former, endpoint, token)
        return
    if deployment is None or not may_become(S(deployment.status), S.READY):
        return
    change_status(session, deployment, S.READY)
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


def _lock_with_former(session: Session, task: Task) -> tuple[Deployment | None, Task | None]:
    """Lock and return the deployment that a task serves and, for an update, the replaced task.

    Each is None if it does not exist. ``task`` is already locked; the replaced task is locked after
    it, as in :func:`.locks.lock_deployment`.
    """
    while True:
        with session.begin_nested() as attempt:
            expected = queries.run_replaced_by(session, task.id)
            former = None if expected is None else lock(session, expected)
            deployment = queries.lock_served_by(session, task.id)
            updates = deployment is not None and deployment.next_task_id == task.id
            if deployment is None or not updates or deployment.task_id == expected:
                return deployment, former
            # The deployment got another run in the meantime.
            attempt.rollback()


def take_over(
    session: Session,
    deployment: Deployment,
    task: Task,
    former: Task | None,
    endpoint: str,
    token: str,
) -> None:
    """Route requests to an update's server, while the previous server finishes its responses.

    ``task`` runs the new server and ``former`` the old one.
    """
    if former is not None and not TaskStatus(former.status).is_final:
        if deployment.endpoint_token is not None and former.status == TaskStatus.RUNNING:
            session.add(
                DeploymentRetirement(
                    task_id=former.id,
                    deployment_id=deployment.id,
                    endpoint_token=deployment.endpoint_token,
                )
            )
            session.flush()
        # From here on, the previous run no longer belongs to the deployment, so its end changes
        # nothing.
        deployment.task_id = task.id
        session.flush()
        request_cancel(session, audit.SYSTEM, former)
    former_model = deployment.model_id
    deployment.task_id = task.id
    deployment.model_id = deployment.next_model_id
    deployment.spec = deployment.next_spec or deployment.spec
    forget_update(session, deployment)
    if deployment.status == S.CRASHED:
        change_status(session, deployment, S.STARTING)
    if deployment.status != S.READY:
        change_status(session, deployment, S.READY)
    deployment.endpoint, deployment.endpoint_token = endpoint, token
    deployment.error = deployment.update_error = None
    deployment.restarts = 0
    session.flush()
    project = project_uuid(session, deployment)
    record(
        session,
        audit.SYSTEM,
        AuditAction.DEPLOYMENT_UPDATED,
        deployment,
        project,
        task=task.uuid,
        model_name=_model_name(session, deployment.model_id),
        former_model_name=_model_name(session, former_model),
    )
    announce(
        session,
        NotificationType.DEPLOYMENT_UPDATED,
        to=_concerned(deployment, task),
        project=project,
        name=deployment.name,
        model=_model_name(session, deployment.model_id),
        deployment=deployment.uuid,
    )


def _update_ended(session: Session, deployment: Deployment, task: Task, outcome: Outcome) -> None:
    """End an update whose server stopped before it was ready; the current server continues."""
    model = _model_name(session, deployment.next_model_id)
    error = outcome.error or "The update was cancelled."
    forget_update(session, deployment)
    deployment.update_error = error
    session.flush()
    project = project_uuid(session, deployment)
    record(
        session,
        audit.SYSTEM,
        AuditAction.DEPLOYMENT_UPDATE_FAILED,
        deployment,
        project,
        outcome="failure",
        task=task.uuid,
        model_name=model,
        error=error,
    )
    announce(
        session,
        NotificationType.DEPLOYMENT_UPDATE_FAILED,
        to=_concerned(deployment, task),
        project=project,
        name=deployment.name,
        model=model,
        error=error,
        deployment=deployment.uuid,
    )


def _model_name(session: Session, model_id: int | None) -> str | None:
    model = None if model_id is None else session.get(Model, model_id)
    return None if model is None else f"{model.name}@{model.version}"


def _concerned(deployment: Deployment, task: Task) -> list[int | None]:
    """Return the ids of the deployment's author and of the user who requested the update."""
    return list(dict.fromkeys([deployment.created_by, task.scheduling.created_by]))


def drain_seconds(session: Session, task_id: int) -> float | None:
    """Return the seconds for which a cancelled server may finish its responses, or None."""
    return queries.drain_seconds(session, task_id)


def server_lost(session: Session, task: Task) -> None:
    """Update the deployment after the worker that runs its server was lost or stopped.

    The same task then waits for another worker.
    """
    deployment = queries.lock_served_by(session, task.id)
    if deployment is None or deployment.next_task_id == task.id:
        # The next worker starts the server of the update again; the current server continues.
        return
    if not may_become(S(deployment.status), S.RESTARTING):
        return
    change_status(session, deployment, S.RESTARTING)
    deployment.restarts += 1
    session.flush()


def server_ended(session: Session, task: Task, outcome: Outcome) -> None:
    """Update the deployment after its task has ended, and queue another task after a crash.

    There is no further task if the deployment was stopped, or has crashed too often. If the task
    never started because a task that it waited for failed, the deployment is stopped with that
    reason.
    """
    deployment = queries.lock_served_by(session, task.id)
    if deployment is None:
        queries.forget_retirement(session, task.id)
        return
    if deployment.next_task_id == task.id:
        _update_ended(session, deployment, task, outcome)
        return
    project = project_uuid(session, deployment)
    if outcome.status is not TaskStatus.FAILED or deployment.status == S.STOPPING:
        if deployment.status != S.STOPPING:
            record(
                session, audit.SYSTEM, AuditAction.DEPLOYMENT_STOPPED, deployment, project,
                task=task.uuid,
            )  # fmt: skip
        change_status(session, deployment, S.STOPPED)
        return
    deployment.error = outcome.error
    if task.scheduling.attempt == 0:
        # No worker ever claimed the task, because a task that it waited for has failed. A restart
        # would not help.
        record(
            session, audit.SYSTEM, AuditAction.DEPLOYMENT_STOPPED, deployment, project,
            outcome="failure", task=task.uuid, error=outcome.error,
        )  # fmt: skip
        change_status(session, deployment, S.STOPPED)
        return
    # Runs from before a user last started the deployment do not count.
    crashes = min(queries.failed_runs(session, deployment, CRASH_WINDOW), deployment.restarts + 1)
    delay = restart_delay(max(crashes, 1))
    # Its queue may have become the script queue after the deployment was created.
    fits = fits_queue(task.type, task.scheduling.queue)
    if deployment.model_id is None or not fits:
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
        change_status(session, deployment, S.RESTARTING)
        deployment.restarts += 1
        start_run(session, deployment, audit.SYSTEM, project, delay=delay)
        return
    change_status(session, deployment, S.CRASHED)
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
