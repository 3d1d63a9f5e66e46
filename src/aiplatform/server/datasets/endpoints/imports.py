"""The route that imports rows, which the platform itself fetches from another server."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response, status

from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.server.core.description import sends_headers
from aiplatform.server.datasets import access
from aiplatform.server.datasets.endpoints.uploads import PROBLEMS
from aiplatform.server.datasets.schemas import ImportRequest
from aiplatform.server.datasets.service import imports
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.endpoints import render as render_task

router = APIRouter(prefix="/api/v1")


@router.post(
    "/projects/{project}/dataset-imports",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Import a dataset",
    responses={409: PROBLEMS[409], 422: PROBLEMS[422]},
)
@sends_headers("Location")
def import_dataset(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    response: Response,
    body: ImportRequest,
) -> TaskOut:
    """Queue a task that fetches rows from a URL, an S3 store or a hub, and commits them.

    The task's `result` names the dataset and the version. The platform connects only to public
    addresses, the hub named in the settings, and networks that an administrator allowed. The task
    can be cancelled. A broken download is resumed where it stopped, if the source supports that.
    """
    task = imports.request_import(session, context, body.spec())
    response.headers["Location"] = f"/api/v1/tasks/{task.uuid}"
    return render_task(session, context, task)
