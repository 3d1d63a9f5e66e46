"""HTTP routes for sweeps."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.experiments import SweepDetailOut, SweepOut, TrialOut
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.sweeps import SweepSpec, SweepStatus, TrialState
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext, require_additional
from aiplatform.server.sweeps import access, queries, service
from aiplatform.server.sweeps.models import Sweep
from aiplatform.server.sweeps.schemas import RegisterBestIn, RegisteredOut, SweepIn
from aiplatform.server.sweeps.service.next_step import best_of

router = APIRouter(prefix="/api/v1", tags=["sweeps"])


def _problem(status_code: int, description: str) -> dict[int | str, dict[str, Any]]:
    return {status_code: {"model": ProblemDocument, "description": description}}


def _fields(context: ProjectContext, row: Any) -> dict[str, Any]:
    sweep: Sweep = row.Sweep
    author = None
    if row.author_uuid is not None:
        author = UserRef(uuid=row.author_uuid, username=row.author_name)
    return {
        "uuid": sweep.uuid,
        "project": context.project_uuid,
        "experiment": row.experiment_uuid,
        "name": sweep.name,
        "status": SweepStatus(sweep.status),
        "error": sweep.error,
        "spec": sweep.spec,
        "author": author,
        "created_at": sweep.created_at,
        "ended_at": sweep.ended_at,
    }


def _show(session: Session, context: ProjectContext, uuid: UUID) -> SweepDetailOut:
    row = queries.get_sweep_row(session, context, uuid)
    rows = queries.trial_rows(session, row.Sweep)
    trials = [
        TrialOut(
            number=found.SweepTrial.number + 1,
            state=TrialState(found.SweepTrial.state),
            params=found.SweepTrial.params,
            value=found.SweepTrial.value,
            task=found.task,
            model=found.model,
            progress=found.progress,
            error=found.SweepTrial.error,
        )
        for found in rows
    ]
    spec = SweepSpec.model_validate(row.Sweep.spec)
    best = best_of(spec, [found.SweepTrial for found in rows])
    return SweepDetailOut(
        **_fields(context, row),
        trials=trials,
        best=None if best is None else trials[best.number],
    )


@router.get("/projects/{project}/sweeps", summary="List sweeps")
def list_sweeps(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[str | None, Query(max_length=200, description="exact name")] = None,
) -> Page[SweepOut]:
    """List the project's sweeps, newest first."""
    statement = queries.list_sweeps(context, name=name)
    rows, following = page_by_id(session, statement, Sweep.id, limit=limit, cursor=cursor)
    return render_page(rows, following, lambda row: SweepOut(**_fields(context, row)))


@router.post(
    "/projects/{project}/sweeps",
    status_code=status.HTTP_201_CREATED,
    summary="Begin a sweep",
    responses=_problem(409, "The name is taken, or the experiment is archived"),
)
def create_sweep(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    request: Request,
    body: SweepIn,
) -> SweepDetailOut:
    """Search for the best parameters of an experiment; each trial is a run of the experiment.

    `override_gate` requires the permission `datasets:override`, now and whenever a trial starts.
    """
    if body.spec.override_gate is not None:
        require_additional(session, context, Permission.DATASETS_OVERRIDE, request)
    sweep = service.create_sweep(session, context, name=body.name, spec=body.spec)
    return _show(session, context, sweep.uuid)


@router.get("/sweeps/{sweep}", summary="Read a sweep with its trials")
def get_sweep(
    sweep: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
) -> SweepDetailOut:
    """Return a sweep with its trials and the best of them."""
    return _show(session, context, sweep)


@router.post(
    "/sweeps/{sweep}/cancel",
    summary="Cancel a sweep",
    responses=_problem(409, "It has ended"),
)
def cancel_sweep(
    sweep: UUID,
    context: Annotated[ProjectContext, Depends(access.CANCEL)],
    session: SessionDep,
) -> SweepDetailOut:
    """Cancel a sweep: start no more trials, and stop those that are running."""
    service.cancel_sweep(session, context, sweep)
    return _show(session, context, sweep)


@router.post(
    "/sweeps/{sweep}/register",
    status_code=status.HTTP_201_CREATED,
    summary="Register the best model",
    responses={
        200: {"model": RegisteredOut, "description": "The version that it is already"},
        **_problem(409, "No trial has succeeded, or its model is gone"),
    },
)
def register_best(
    sweep: UUID,
    context: Annotated[ProjectContext, Depends(access.REGISTER)],
    session: SessionDep,
    response: Response,
    body: RegisterBestIn,
) -> RegisteredOut:
    """Register the best trial's model as the next version under the given name.

    If it already has a version under that name, that version is returned with status 200.
    """
    model, new = service.register_best(session, context, sweep, name=body.name)
    if not new:
        response.status_code = status.HTTP_200_OK
    return RegisteredOut(model=model.uuid, name=model.name, version=model.version or "")
