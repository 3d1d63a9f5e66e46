"""Routes for secrets. No route returns the value of a secret."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Response, status

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import SecretOut
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep, SignedIn
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.secrets import queries, service
from aiplatform.server.secrets.models import Secret
from aiplatform.server.secrets.schemas import SecretIn

router = APIRouter(
    prefix="/api/v1",
    tags=["secrets"],
    responses={
        409: {"model": ProblemDocument, "description": "Too many secrets, or an archived project"},
        503: {"model": ProblemDocument, "description": "The server's key file is out of order"},
    },
)
ReadProject = Annotated[ProjectContext, Depends(ProjectGuard(Permission.TASKS_READ))]
ChangeProject = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_WRITE))]
SecretName = Annotated[
    str, Path(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
]
CREATED: dict[int | str, dict[str, Any]] = {
    201: {"model": SecretOut, "description": "Stored for the first time"}
}


@router.get("/users/me/secrets", summary="List your secrets")
def list_my_secrets(
    principal: SignedIn, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[SecretOut]:
    """List the names of your secrets and when they were used, never their values."""
    statement = queries.list_secrets(queries.of_user(principal.user_id))
    rows, following = page_by_id(session, statement, Secret.id, limit=limit, cursor=cursor)
    return render_page(rows, following, SecretOut.model_validate)


@router.put("/users/me/secrets/{secret}", summary="Store a secret of yours", responses=CREATED)
def set_my_secret(
    secret: SecretName,
    body: SecretIn,
    principal: SignedIn,
    session: SessionDep,
    response: Response,
) -> SecretOut:
    """Store a value under the name, replacing an earlier one. Only your own tasks can use it."""
    owner = queries.of_user(principal.user_id)
    value = body.value.get_secret_value()
    stored, new = service.set_secret(session, principal.actor, owner, secret, value, body.kind)
    response.status_code = status.HTTP_201_CREATED if new else status.HTTP_200_OK
    return SecretOut.model_validate(stored)


@router.delete(
    "/users/me/secrets/{secret}",
    summary="Remove a secret of yours",
    status_code=status.HTTP_204_NO_CONTENT,
)
def remove_my_secret(secret: SecretName, principal: SignedIn, session: SessionDep) -> None:
    """Delete one of your secrets. Waiting tasks that name it will fail."""
    owner = queries.of_user(principal.user_id)
    service.remove_secret(session, principal.actor, owner, secret)


@router.get("/projects/{project}/secrets", summary="List a project's secrets")
def list_project_secrets(
    context: ReadProject, session: SessionDep, limit: Limit = 50, cursor: Cursor = None
) -> Page[SecretOut]:
    """List the names of the project's secrets and when they were used, never their values."""
    statement = queries.list_secrets(queries.of_project(context))
    rows, following = page_by_id(session, statement, Secret.id, limit=limit, cursor=cursor)
    return render_page(rows, following, SecretOut.model_validate)


@router.put(
    "/projects/{project}/secrets/{secret}",
    summary="Store a secret of a project",
    responses=CREATED,
)
def set_project_secret(
    secret: SecretName,
    body: SecretIn,
    context: ChangeProject,
    session: SessionDep,
    response: Response,
) -> SecretOut:
    """Store a value under the name, replacing an earlier one.

    Tasks of every user who may start tasks in the project can use it.
    """
    stored, new = service.set_secret(
        session,
        context.actor,
        queries.of_project(context),
        secret,
        body.value.get_secret_value(),
        body.kind,
        project=context.project_uuid,
    )
    response.status_code = status.HTTP_201_CREATED if new else status.HTTP_200_OK
    return SecretOut.model_validate(stored)


@router.delete(
    "/projects/{project}/secrets/{secret}",
    summary="Remove a secret of a project",
    status_code=status.HTTP_204_NO_CONTENT,
)
def remove_project_secret(secret: SecretName, context: ChangeProject, session: SessionDep) -> None:
    """Delete one of the project's secrets. Waiting tasks that name it will fail."""
    service.remove_secret(
        session, context.actor, queries.of_project(context), secret, project=context.project_uuid
    )
