"""Updates to deployments that follow an alias, made when the alias moves."""

from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Actor
from aiplatform.server.core.errors import Problem
from aiplatform.server.inference import queries
from aiplatform.server.inference.models import Deployment
from aiplatform.server.inference.service.locks import lock_deployment
from aiplatform.server.inference.service.transitions import (
    change_status,
    forget_update,
    project_uuid,
    queue_server,
    record,
    set_model,
    start_run,
)
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import request_cancel
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.service import AliasMove

S = DeploymentStatus


def follow_alias(session: Session, actor: Actor, move: AliasMove) -> None:
    """Update the deployments that follow a moved alias, so that they serve its new version.

    The move succeeds even if a deployment can't be updated. Such a deployment keeps its
    version, and ``update_error`` contains the reason.
    """
    for found in queries.followers(session, move.project_id, move.reference):
        deployment, _, following = lock_deployment(session, found.id)
        if deployment.follows != move.reference:
            continue
        try:
            with session.begin_nested():
                _update(session, actor, deployment, following, move)
        except Problem as problem:
            deployment.update_error = problem.text("en")
            record(
                session,
                actor,
                AuditAction.DEPLOYMENT_UPDATE_FAILED,
                deployment,
                project_uuid(session, deployment),
                outcome="failure",
                follows=move.reference,
                model_name=_label(move.target),
                error=deployment.update_error,
            )
            session.flush()


def _update(
    session: Session,
    actor: Actor,
    deployment: Deployment,
    following: Task | None,
    move: AliasMove,
) -> None:
    """Update a locked deployment; ``following`` is the task of an update in progress.

    Raises:
        ModelWritesNoText, NoWorkerCanRun, QuotaExceeded: the version can't be served.
    """
    target = move.target
    registry.require_text(session, target)
    project = project_uuid(session, deployment)
    deployment.update_error = None
    forget_update(session, deployment)
    # An update to an earlier target of the alias is no longer needed.
    _cancel(session, actor, following)
    if deployment.model_id == target.id:
        return
    record(
        session,
        actor,
        AuditAction.DEPLOYMENT_UPDATE_REQUESTED,
        deployment,
        project,
        model=target.uuid,
        model_name=_label(target),
        follows=move.reference,
    )
    if deployment.status in {S.STOPPED, S.STOPPING}:
        # A user has stopped the deployment. It will serve the version when it is started again.
        set_model(deployment, target)
        session.flush()
        return
    # The server belongs to the deployment's author, not to whoever moves the alias: a move needs
    # no right to deploy, and the deployment must outlive the mover's account.
    if deployment.status == S.CRASHED:
        set_model(deployment, target)
        change_status(session, deployment, S.STARTING)
        deployment.restarts, deployment.error = 0, None
        start_run(session, deployment, audit.SYSTEM, project)
        return
    spec = InferenceSpec.model_validate({**deployment.spec, "model": str(target.uuid)})
    queued = queue_server(session, deployment, spec, target, audit.SYSTEM, project)
    deployment.next_task_id, deployment.next_model_id = queued.id, target.id
    deployment.next_spec = spec.model_dump(mode="json")
    session.flush()


def _cancel(session: Session, actor: Actor, task: Task | None) -> None:
    if task is not None and not TaskStatus(task.status).is_final:
        request_cancel(session, actor, task)


def _label(model: Model) -> str:
    return f"{model.name}@{model.version}"
