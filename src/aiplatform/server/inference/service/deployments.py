"""Users' actions on deployments: create, start, restart, update, stop and delete."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.protocol.references import After
from aiplatform.protocol.specs import InferenceSpec, source_training
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.inference import queries
from aiplatform.server.inference.errors import (
    DeployedModelGone,
    DeploymentNamesShared,
    DeploymentUpdating,
    DeploymentWaiting,
    WrongDeploymentState,
)
from aiplatform.server.inference.models import Deployment
from aiplatform.server.inference.rules import INACTIVE
from aiplatform.server.inference.service.locks import lock_deployment
from aiplatform.server.inference.service.transitions import (
    change_status,
    forget_update,
    queue_server,
    record,
    set_model,
    start_run,
)
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import dependencies, request_cancel, require_readable
from aiplatform.server.queue.service.dependencies import Dependency
from aiplatform.server.queue.service.insertion import require_fitting_queue
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model

S = DeploymentStatus


def create_deployment(
    session: Session,
    context: ProjectContext,
    name: str,
    spec: InferenceSpec,
    *,
    after: Sequence[After] = (),
    follows: str | None = None,
) -> Deployment:
    """Create a deployment and queue its server.

    The server starts after the tasks in ``after`` and after the task that produces the model. If
    the alias that it ``follows`` moves, :func:`.following.follow_alias` updates the deployment.

    Raises:
        NotAnAlias: when ``follows`` is not an alias.
        PermissionDenied: when the caller may not read models.
        NotFound: for a model or task that the project may not use.
        ModelNotReady: while the model's files are being imported.
        TypeMakesNoModel: when the task whose model is named is not a training task.
        ModelMissing: when the training task's model was deleted.
        DependencyFailed: when a task that must succeed has already failed.
        NameTaken: when the project has a deployment with this name.
        NoWorkerCanRun: when ``spec`` names the queue that is reserved for scripts.
    """
    require_fitting_queue(spec.type, spec.queue)
    require_readable(context, spec)
    if follows is not None:
        # The alias is locked before any task, in the same order as when it moves, to prevent
        # deadlocks.
        registry.lock_alias(session, context, follows)
    needs = dependencies.lock_required_tasks(
        session, context.project_id, dependencies.required_tasks(spec, after)
    )
    model = registry.resolve_model(session, context, spec.model)
    if model is not None:
        spec = spec.model_copy(update={"model": model.uuid})
    deployment = Deployment(
        project_id=context.project_id,
        name=name,
        model_id=None if model is None else model.id,
        follows=follows,
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
    record(
        session,
        context.actor,
        AuditAction.DEPLOYMENT_CREATED,
        deployment,
        context.project_uuid,
        model=None if model is None else model.uuid,
        model_name=None if model is None else f"{model.name}@{model.version}",
        follows=follows,
        after=[need.task.uuid for need in needs],
    )
    start_run(session, deployment, context.actor, context.project_uuid, needs=needs)
    return deployment


def start(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Start a deployment that was stopped or has crashed.

    If the task that produces its model is unfinished, the deployment waits for it, but no longer
    for the other tasks named at its creation.

    Raises:
        NotFound: when the project has no such deployment.
        WrongDeploymentState: when the deployment is not down.
        DeployedModelGone: when its model was deleted.
        ModelNotReady: while the model's files are being imported.
        DependencyFailed: when the training task that should produce its model has not succeeded.
        ModelMissing: when that training task's model was deleted.
        NoWorkerCanRun: when its queue has become the script queue.
    """
    locked = _lock_model(session, context, uuid)
    deployment, _, _ = _lock(session, context, uuid)
    if deployment.status not in INACTIVE:
        raise WrongDeploymentState(
            state=deployment.status, action="started", action_zh="启动", wanted="starting"
        )
    _start_server(session, context, deployment, locked, AuditAction.DEPLOYMENT_STARTED)
    return deployment


def restart(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Replace the server with a new one, asking the old one to stop at the same time.

    Raises:
        NotFound, DeployedModelGone, ModelNotReady: see :func:`start`.
        DependencyFailed, ModelMissing: see :func:`start`.
        DeploymentWaiting: while the deployment waits for other tasks, because a new server would
            not wait for them.
    """
    locked = _lock_model(session, context, uuid)
    deployment, task, _ = _lock(session, context, uuid)
    if task is not None and not TaskStatus(task.status).is_final and task.scheduling.blockers:
        raise DeploymentWaiting
    _start_server(session, context, deployment, locked, AuditAction.DEPLOYMENT_RESTARTED)
    # The old run no longer belongs to the deployment, so its end changes nothing here.
    _cancel(session, context, task)
    return deployment


def update(
    session: Session,
    context: ProjectContext,
    uuid: UUID,
    meant: UUID | str,
    *,
    follows: str | None = None,
) -> Deployment:
    """Serve another model under the same name, without a gap.

    A server with the new model starts beside the current one and takes over when it is ready. If it
    fails to start, the current one continues. A deployment that is down is started with the new
    model. From now on the deployment follows the alias ``follows``, or no alias.

    Raises:
        PermissionDenied: when the caller may not read models.
        NotFound: for a deployment or a model that the project may not use.
        ModelNotReady: while the model's files are being imported.
        DeploymentUpdating: while another update is under way.
        WrongDeploymentState: while the deployment is stopping.
        NoWorkerCanRun: when its queue has become the script queue.
        NotAnAlias: when ``follows`` is not an alias.
    """
    require_readable(context, InferenceSpec(model=meant))
    if follows is not None:
        registry.lock_alias(session, context, follows)
    model = registry.resolve_model(session, context, meant)
    assert model is not None, "only the model of a training task can be missing"
    deployment, _, following = _lock(session, context, uuid)
    if following is not None:
        raise DeploymentUpdating(model=_next_name(session, deployment), task=following.uuid)
    if deployment.status == S.STOPPING:
        raise WrongDeploymentState(state=deployment.status, action="updated", action_zh="更新")
    former = None if deployment.model_id is None else session.get(Model, deployment.model_id)
    deployment.update_error = None
    deployment.follows = follows
    record(
        session,
        context.actor,
        AuditAction.DEPLOYMENT_UPDATE_REQUESTED,
        deployment,
        context.project_uuid,
        model=model.uuid,
        model_name=f"{model.name}@{model.version}",
        former_model=None if former is None else former.uuid,
        follows=follows,
    )
    if deployment.status in INACTIVE:
        set_model(deployment, model)
        change_status(session, deployment, S.STARTING)
        deployment.restarts, deployment.error = 0, None
        start_run(session, deployment, context.actor, context.project_uuid)
        return deployment
    if follows is not None and former is model:
        session.flush()  # The version is served already, so only the alias changes.
        return deployment
    spec = InferenceSpec.model_validate({**deployment.spec, "model": str(model.uuid)})
    task = queue_server(session, deployment, spec, model, context.actor, context.project_uuid)
    deployment.next_task_id, deployment.next_model_id = task.id, model.id
    deployment.next_spec = spec.model_dump(mode="json")
    session.flush()
    return deployment


def _next_name(session: Session, deployment: Deployment) -> str:
    model = None
    if deployment.next_model_id is not None:
        model = session.get(Model, deployment.next_model_id)
    return "another model" if model is None else f"{model.name}@{model.version}"


def stop(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Stop a deployment, which ends its responses in progress, and cancel its task.

    Raises:
        NotFound: when the project has no such deployment.
        WrongDeploymentState: when it is already stopping or down.
    """
    deployment, task, following = _lock(session, context, uuid)
    if deployment.status in INACTIVE or deployment.status == S.STOPPING:
        raise WrongDeploymentState(state=deployment.status, action="stopped", action_zh="停止")
    forget_update(session, deployment)
    _cancel(session, context, following)
    change_status(session, deployment, S.STOPPING)
    record(session, context.actor, AuditAction.DEPLOYMENT_STOPPED, deployment, context.project_uuid)
    if task is None or TaskStatus(task.status).is_final:
        change_status(session, deployment, S.STOPPED)
    else:
        _cancel(session, context, task)
    return deployment


def delete_deployment(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Stop and delete a deployment. Its task and the task's log are kept.

    Raises:
        NotFound: when the project has no such deployment.
    """
    deployment, task, following = _lock(session, context, uuid)
    record(session, context.actor, AuditAction.DEPLOYMENT_DELETED, deployment, context.project_uuid)
    session.delete(deployment)
    session.flush()
    _cancel(session, context, following)
    _cancel(session, context, task)


def refuse_shared_names(session: Session, project: Project, owner: User) -> None:
    """Refuse a new owner whose own projects have deployments with the same names.

    A bare name in a chat request means a deployment of the caller's own projects. After the
    transfer, another deployment could answer, or the name would be ambiguous.

    Raises:
        DeploymentNamesShared: when there are such names; the error lists some of them.
    """
    names = queries.shared_names(session, project.id, owner.id)
    if names:
        raise DeploymentNamesShared(
            project=project.name, username=owner.username, names=", ".join(names)
        )


@dataclass(frozen=True, slots=True)
class _LockedModel:
    """A deployment's model, or the training task that will produce it, locked against deletion."""

    model: Model | None
    needs: Sequence[Dependency]


def _lock_model(session: Session, context: ProjectContext, uuid: UUID) -> _LockedModel:
    """Lock the deployment's model against deletion, before the deployment itself is locked.

    The deletion of a model locks the model first and then its deployments. In the opposite order,
    the two could wait for each other.
    """
    deployment = queries.get_deployment(session, context, uuid)
    spec = InferenceSpec.model_validate(deployment.spec)
    if deployment.model_id is None and source_training(spec) is None:
        raise DeployedModelGone
    try:
        needs = dependencies.lock_required_tasks(
            session, context.project_id, dependencies.required_tasks(spec)
        )
        return _LockedModel(registry.resolve_model(session, context, spec.model), needs)
    except NotFound as error:
        raise DeployedModelGone from error


def _start_server(
    session: Session,
    context: ProjectContext,
    deployment: Deployment,
    locked: _LockedModel,
    action: AuditAction,
) -> None:
    if locked.model is not None:
        set_model(deployment, locked.model)
    running = deployment.status not in INACTIVE
    change_status(session, deployment, S.RESTARTING if running else S.STARTING)
    deployment.restarts, deployment.error = 0, None
    record(session, context.actor, action, deployment, context.project_uuid)
    start_run(session, deployment, context.actor, context.project_uuid, needs=locked.needs)


def _lock(
    session: Session, context: ProjectContext, uuid: UUID
) -> tuple[Deployment, Task | None, Task | None]:
    """Lock and return a deployment, the task of its server, and the task of its update."""
    return lock_deployment(session, queries.get_deployment(session, context, uuid).id)


def _cancel(session: Session, context: ProjectContext, task: Task | None) -> None:
    if task is not None and not TaskStatus(task.status).is_final:
        request_cancel(session, context.actor, task, project=context.project_uuid)
