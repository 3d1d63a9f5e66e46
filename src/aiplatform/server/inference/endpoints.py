"""Routes for deployments."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.models import DeploymentOptions, DeploymentOut, DeploymentUpdateOut
from aiplatform.protocol.specs import InferenceSpec
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.inference import access, queries, service
from aiplatform.server.inference.models import Deployment
from aiplatform.server.inference.schemas import DeploymentIn, DeploymentUpdateIn
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1", tags=["deployments"])
CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "The name or the state does not allow it"}
}


def _render(context: ProjectContext, row: Any) -> DeploymentOut:
    deployment: Deployment = row[0]
    spec = InferenceSpec.model_validate(deployment.spec)
    model_name = None if row.model_name is None else f"{row.model_name}@{row.model_version}"
    return DeploymentOut(
        uuid=deployment.uuid,
        project=context.project_uuid,
        name=deployment.name,
        model=row.model_uuid,
        model_name=model_name,
        follows=deployment.follows,
        status=DeploymentStatus(deployment.status),
        task=row.task_uuid,
        restarts=deployment.restarts,
        error=deployment.error,
        updating=None
        if row.next_task_uuid is None
        else DeploymentUpdateOut(
            model=row.next_model_uuid,
            model_name=None
            if row.next_model_name is None
            else f"{row.next_model_name}@{row.next_model_version}",
            task=row.next_task_uuid,
        ),
        update_error=deployment.update_error,
        options=DeploymentOptions(
            engine=spec.engine,
            max_length=spec.max_length,
            max_batch_size=spec.max_batch_size,
            precision=spec.precision,
        ),
        resources=spec.resources,
        queue=spec.queue,
        author=None
        if row.author_uuid is None
        else UserRef(uuid=row.author_uuid, username=row.author_name),
        created_at=deployment.created_at,
        updated_at=deployment.updated_at,
    )


def _show(session: Session, context: ProjectContext, deployment: Deployment) -> DeploymentOut:
    return _render(context, queries.display_row(session, context, deployment))


@router.get("/projects/{project}/deployments", summary="List deployments")
def list_deployments(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[str | None, Query(max_length=100, description="exact name")] = None,
) -> Page[DeploymentOut]:
    """List the project's deployments, newest first."""
    statement = queries.list_deployments(context, name=name)
    rows, following = page_by_id(session, statement, Deployment.id, limit=limit, cursor=cursor)
    return render_page(rows, following, lambda row: _render(context, row))


@router.post(
    "/projects/{project}/deployments",
    status_code=status.HTTP_201_CREATED,
    summary="Deploy a model",
    responses=CONFLICT,
)
def create_deployment(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    body: DeploymentIn,
) -> DeploymentOut:
    """Serve a model under a name. Once `ready`, it answers at `/v1/chat/completions`.

    With `after`, or with the model of an unfinished training task, the deployment is `starting`
    until those tasks have completed. If one of them fails, the deployment becomes `stopped`, and
    `error` contains the reason. With `follow`, the deployment is updated, as by `update`, whenever
    the alias in `model` moves.
    """
    deployment = service.create_deployment(
        session, context, body.name, body.spec(), after=body.after, follows=body.followed
    )
    return _show(session, context, deployment)


@router.get("/deployments/{deployment}", summary="Read a deployment")
def get_deployment(
    deployment: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
) -> DeploymentOut:
    """Return a deployment."""
    return _show(session, context, queries.get_deployment(session, context, deployment))


@router.delete(
    "/deployments/{deployment}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Stop and delete a deployment",
)
def delete_deployment(
    deployment: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
) -> Response:
    """Stop and delete a deployment. Open responses end within a second; task and log are kept."""
    service.delete_deployment(session, context, deployment)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.post(
    "/deployments/{deployment}/start",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Start a deployment",
    responses=CONFLICT,
)
def start_deployment(
    deployment: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
) -> DeploymentOut:
    """Start a deployment that was stopped or has crashed."""
    return _show(session, context, service.start(session, context, deployment))


@router.post(
    "/deployments/{deployment}/stop",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Stop a deployment",
    responses=CONFLICT,
)
def stop_deployment(
    deployment: UUID,
    context: Annotated[ProjectContext, Depends(access.STOP)],
    session: SessionDep,
) -> DeploymentOut:
    """Stop a deployment. Open responses end within a second."""
    return _show(session, context, service.stop(session, context, deployment))


@router.post(
    "/deployments/{deployment}/restart",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Restart a deployment",
    responses=CONFLICT,
)
def restart_deployment(
    deployment: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
) -> DeploymentOut:
    """Replace the deployment's server with a new one, or start it if it is down."""
    return _show(session, context, service.restart(session, context, deployment))


@router.post(
    "/deployments/{deployment}/update",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Serve another model without a gap",
    responses=CONFLICT,
)
def update_deployment(
    deployment: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
    body: DeploymentUpdateIn,
) -> DeploymentOut:
    """Start a server with another model; it replaces the current server once it is ready.

    Until then, `updating` describes the new server. The replaced server finishes the responses in
    progress, for ten minutes at most, and then stops. If the new server fails to start, the current
    one continues, and `update_error` contains the reason. To return to the previous model, update
    again. A deployment that is down is started with the new model. Without `follow`, a deployment
    that followed an alias stops following it.
    """
    updated = service.update(session, context, deployment, body.model, follows=body.followed)
    return _show(session, context, updated)
