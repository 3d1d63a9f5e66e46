"""Routes for external runs, which report from a notebook, a cluster or a script on a laptop."""

import time
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response, status

from aiplatform.protocol.shapes.tasks import AcceptedOut, TaskOut
from aiplatform.protocol.specs import ExternalSpec
from aiplatform.server.execution.schemas import BeatIn, BeatOut, EndIn, ExternalRunIn, LinesIn
from aiplatform.server.execution.service import external
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import access, queries
from aiplatform.server.queue.endpoints.tasks import render, render_new

router = APIRouter(prefix="/api/v1")


@router.post(
    "/projects/{project}/runs",
    status_code=status.HTTP_201_CREATED,
    summary="Start an external run",
    responses={
        status.HTTP_200_OK: {
            "model": TaskOut,
            "description": "The existing run with this `client_id`",
        }
    },
)
def begin_run(
    context: Annotated[ProjectContext, Depends(access.SUBMIT)],
    session: SessionDep,
    response: Response,
    body: ExternalRunIn,
) -> TaskOut:
    """Create a task of type external. It counts as running immediately, and no worker claims it.

    If a run with this `client_id` already exists, it is returned with status 200. A run fails if it
    reports nothing for `AIPLATFORM_RUN_SILENCE_SECONDS`.
    """
    task, new = external.begin(
        session,
        context,
        ExternalSpec(config=body.config, facts=body.facts),
        name=body.name,
        experiment=body.experiment,
        client_id=body.client_id,
        started_at=body.started_at,
    )
    if new:
        return render_new(session, context, task)
    response.status_code = status.HTTP_200_OK
    return render(session, context, task)


@router.post("/tasks/{task}/heartbeat", summary="Send a heartbeat of a run")
def beat(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.CANCEL)],
    session: SessionDep,
    body: BeatIn,
) -> BeatOut:
    """Record a heartbeat and return the run's status. `cancelling` means that it should stop."""
    found = queries.get_task(session, context, task)
    return BeatOut(status=external.heartbeat(session, found, progress=body.progress))


@router.post("/tasks/{task}/logs", summary="Add lines to a run's log")
def report_log(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.UPDATE)],
    session: SessionDep,
    body: LinesIn,
) -> AcceptedOut:
    """Append lines to the log of an external run.

    `writer` and `first` number the lines in the same way as metric points. Lines that exceed the
    log's rate limit are dropped; the platform adds a line that says how many bytes were lost.
    """
    found = queries.get_task(session, context, task)
    lines = external.log_lines(body.lines, time.time())
    accepted, dropped, taken, now = external.write_log(
        session, found, lines, writer=body.writer, first=body.first
    )
    return AcceptedOut(accepted=accepted, dropped_bytes=dropped, taken=taken, status=now)


@router.post("/tasks/{task}/end", summary="End a run")
def end_run(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.CANCEL)],
    session: SessionDep,
    body: EndIn,
) -> TaskOut:
    """End an external run. Reporting the same end again is not an error.

    A run that had failed because it was silent for too long gets the status reported here.
    """
    found = queries.get_task(session, context, task)
    ended = external.end(
        session,
        context,
        found,
        body.status,
        result=body.result,
        error=body.error,
        ended_at=body.ended_at,
    )
    return render(session, context, ended)
