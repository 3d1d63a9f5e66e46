"""Imports: rows that the platform fetches itself."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from aiplatform.server.core.description import sends
from aiplatform.server.datasets import access
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS
from aiplatform.server.datasets.schemas import ImportRequest
from aiplatform.server.datasets.service import imports
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks.endpoints import render as render_task
from aiplatform.server.tasks.schemas import TaskOut

router = APIRouter(prefix="/api/v1")


@router.post(
    "/projects/{project}/dataset-imports",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Import a dataset",
    responses={409: PROBLEMS[409], 422: PROBLEMS[422]},
)
@sends("Location")
def import_dataset(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    response: Response,
    body: ImportRequest,
) -> TaskOut:
    """Queue a task that fetches rows from an address, an S3 store or a hub, and commits them.

    Its `result` names dataset and version. Only public addresses are fetched from, besides the hub
    that the settings name and networks that an administrator opened. The task can be cancelled; a
    connection that breaks is taken up where it broke, where the source allows it.
    """
    task = imports.start(session, context, body.spec())
    response.headers["Location"] = f"/api/v1/tasks/{task.uuid}"
    return render_task(session, context, task)
