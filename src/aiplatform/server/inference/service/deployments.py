"""Making deployments, starting, stopping and deleting them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.protocol.references import After
from aiplatform.protocol.specs import InferenceSpec, made_by
from aiplatform.server.core.errors import NameTaken, NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.inference import queries
from aiplatform.server.inference.errors import (
    DeployedModelGone,
    DeploymentNamesShared,
    DeploymentUpdating,
    DeploymentWaits,
    WrongDeploymentState,
)
from aiplatform.server.inference.models import Deployment
from aiplatform.server.inference.rules import DOWN
from aiplatform.server.inference.service.running import (
    become,
    forget_update,
    queue_server,
    record,
    run,
    serve,
)
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import Project
from aiplatform.server.registry import service as registry
from aiplatform.server.registry.models import Model
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.service import dependencies, request_cancel, require_readable
from aiplatform.server.tasks.service.dependencies import Needs
from aiplatform.server.tasks.service.entering import require_fitting_queue
from aiplatform.server.tasks.service.queue import lock

S = DeploymentStatus


def create_deployment(
    session: Session,
    context: ProjectContext,
    name: str,
    spec: InferenceSpec,
    *,
    after: Sequence[After] = (),
) -> Deployment:
    """Serve a model under a name, once the tasks of ``after`` and the one that makes it are done.

    Raises:
        PermissionDenied: when the caller may not read models.
        NotFound: for a model or task that the project may not use.
        ModelNotReady: while its files are still coming in.
        MakesNoModel, MadeNoModel: see ``registry.service.model_meant``.
        DependencyFailed: when a task that must succeed has failed already.
        NameTaken: when the project has a deployment of that name.
        NoWorkerCanRun: for the queue of scripts.
    """
    require_fitting_queue(spec.type, spec.queue)
    require_readable(context, spec)
    needs = dependencies.look_up(session, context.project_id, dependencies.needs_of(spec, after))
    model = registry.model_meant(session, context, spec.model)
    if model is not None:
        spec = spec.model_copy(update={"model": model.uuid})
    deployment = Deployment(
        project_id=context.project_id,
        name=name,
        model_id=None if model is None else model.id,
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
        after=[need.task.uuid for need in needs],
    )
    run(session, deployment, context.actor, context.project_uuid, needs=needs)
    return deployment


def start(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Start it after it stopped or crashed. Of the tasks that it once waited for, it waits for the
    one that makes its model.

    Raises:
        NotFound, WrongDeploymentState, DeployedModelGone, ModelNotReady: see there.
        DependencyFailed, MadeNoModel: when its model was never made, or is gone.
        NoWorkerCanRun: when its queue has become the queue of scripts.
    """
    held = _hold_model(session, context, uuid)
    deployment, _, _ = _lock(session, context, uuid)
    if deployment.status not in DOWN:
        raise WrongDeploymentState(
            state=deployment.status, action="started", action_zh="启动", wanted="starting"
        )
    _start_anew(session, context, deployment, held, AuditAction.DEPLOYMENT_STARTED)
    return deployment


def restart(session: Session, context: ProjectContext, uuid: UUID) -> Deployment:
    """Replace the server by a new one; the old one is told to stop at the same time.

    Raises:
        NotFound, DeployedModelGone, ModelNotReady: see there.
        DependencyFailed, MadeNoModel: see :func:`start`.
        DeploymentWaits: while it waits for other tasks, which a new run would not.
    """
    held = _hold_model(session, context, uuid)
    deployment, task, _ = _lock(session, context, uuid)
    if task is not None and not TaskStatus(task.status).is_final and task.scheduling.blockers:
        raise DeploymentWaits
    _start_anew(session, context, deployment, held, AuditAction.DEPLOYMENT_RESTARTED)
    # The old run is nobody's any more, so its end changes nothing here.
    _cancel(session, context, task)
    return deployment


def update(session: Session, context: ProjectContext, uuid: UUID, model_uuid: UUID) -> Deployment:
    """Serve another model under the same name, without a gap.

    A server of the new model starts beside the present one and takes over when it is ready; if it
    fails to start, the present one goes on. A deployment that is down is started with the model.

    Raises:
        PermissionDenied: when the caller may not read models.
        NotFound: for a deployment or a model that the project may not use.
        ModelNotReady: while the model's files are still coming in.
        DeploymentUpdating: while another update is under way.
        WrongDeploymentState: while the deployment is stopping.
        NoWorkerCanRun: when its queue has become the queue of scripts.
    """
    require_readable(context, InferenceSpec(model=model_uuid))
    model = registry.model_meant(session, context, model_uuid)
    assert model is not None, "a model that is named by its uuid is there"
    deployment, _, following = _lock(session, context, uuid)
    if following is not None:
        raise DeploymentUpdating(model=_next_name(session, deployment), task=following.uuid)
    if deployment.status == S.STOPPING:
        raise WrongDeploymentState(state=deployment.status, action="updated", action_zh="更新")
    former = None if deployment.model_id is None else session.get(Model, deployment.model_id)
    deployment.update_error = None
    record(
        session,
        context.actor,
        AuditAction.DEPLOYMENT_UPDATE_REQUESTED,
        deployment,
        context.project_uuid,
        model=model.uuid,
        model_name=f"{model.name}@{model.version}",
        former_model=None if former is None else former.uuid,
    )
    if deployment.status in DOWN:
        serve(deployment, model)
        become(session, deployment, S.STARTING)
        deployment.restarts, deployment.error = 0, None
        run(session, deployment, context.actor, context.project_uuid)
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
    """Stop it; its server is given its grace period to finish what it is answering.

    Raises:
        NotFound: when the project has no such deployment.
        WrongDeploymentState: when it is stopping or down already.
    """
    deployment, task, following = _lock(session, context, uuid)
    if deployment.status in DOWN or deployment.status == S.STOPPING:
        raise WrongDeploymentState(state=deployment.status, action="stopped", action_zh="停止")
    forget_update(session, deployment)
    _cancel(session, context, following)
    become(session, deployment, S.STOPPING)
    record(session, context.actor, AuditAction.DEPLOYMENT_STOPPED, deployment, context.project_uuid)
    if task is None or TaskStatus(task.status).is_final:
        become(session, deployment, S.STOPPED)
    else:
        _cancel(session, context, task)
    return deployment


def delete_deployment(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Stop it and forget it; its task stays, with its log.

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
    """Refuse to give a project to somebody in whose own projects it would share deployment names.

    A bare name in chat requests means a deployment of one's own projects, so a foreign one would
    come to answer, or make the name ambiguous.

    Raises:
        DeploymentNamesShared: it names some of them.
    """
    names = queries.names_shared(session, project.id, owner.id)
    if names:
        raise DeploymentNamesShared(
            project=project.name, username=owner.username, names=", ".join(names)
        )


@dataclass(frozen=True, slots=True)
class _Held:
    """A deployment's model, or the training that has yet to make it; neither can vanish now."""

    model: Model | None
    needs: Sequence[Needs]


def _hold_model(session: Session, context: ProjectContext, uuid: UUID) -> _Held:
    """Keep the deployment's model from being deleted, before the deployment itself is locked.

    Deleting a model locks it first and its deployments after; the other way round, the two could
    wait for each other.
    """
    deployment = queries.get_deployment(session, context, uuid)
    spec = InferenceSpec.model_validate(deployment.spec)
    if deployment.model_id is None and made_by(spec) is None:
        raise DeployedModelGone
    try:
        needs = dependencies.look_up(session, context.project_id, dependencies.needs_of(spec))
        return _Held(registry.model_meant(session, context, spec.model), needs)
    except NotFound as error:
        raise DeployedModelGone from error


def _start_anew(
    session: Session,
    context: ProjectContext,
    deployment: Deployment,
    held: _Held,
    action: AuditAction,
) -> None:
    if held.model is not None:
        serve(deployment, held.model)
    running = deployment.status not in DOWN
    become(session, deployment, S.RESTARTING if running else S.STARTING)
    deployment.restarts, deployment.error = 0, None
    record(session, context.actor, action, deployment, context.project_uuid)
    run(session, deployment, context.actor, context.project_uuid, needs=held.needs)


def _lock(
    session: Session, context: ProjectContext, uuid: UUID
) -> tuple[Deployment, Task | None, Task | None]:
    """Return the deployment, the task of its run, and that of an update's; locked and as they are.

    The younger task is locked first: whoever lets a new server take over has its task already, and
    locks that of the old one then.
    """
    while True:
        with session.begin_nested() as attempt:
            seen = queries.get_deployment(session, context, uuid)
            expected = (seen.task_id, seen.next_task_id)
            following, task = (
                None if task_id is None else lock(session, task_id)
                for task_id in (expected[1], expected[0])
            )
            deployment = queries.get_deployment(session, context, uuid, lock=True)
            if (deployment.task_id, deployment.next_task_id) == expected:
                return deployment, task, following
            # It got another run meanwhile; that one's task comes first again.
            attempt.rollback()


def _cancel(session: Session, context: ProjectContext, task: Task | None) -> None:
    if task is not None and not TaskStatus(task.status).is_final:
        request_cancel(session, context.actor, task, project=context.project_uuid)
