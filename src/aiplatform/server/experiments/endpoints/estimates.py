"""Routes for training estimates."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, status
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.shapes.estimates import EstimateOut, TrainingEstimate
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.experiments import access, queries, service
from aiplatform.server.experiments.schemas import EstimateIn
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext

router = APIRouter(prefix="/api/v1")

NOT_READY: dict[int | str, dict[str, Any]] = {
    409: {
        "model": ProblemDocument,
        "description": "The base model is not ready",
    }
}


def _render(session: Session, context: ProjectContext, uuid: UUID) -> EstimateOut:
    row = queries.get_estimate_row(session, context, uuid)
    author = None
    if row.author_uuid is not None:
        author = UserRef(uuid=row.author_uuid, username=row.author_name)
    return EstimateOut(
        uuid=row.uuid,
        project=context.project_uuid,
        status=TaskStatus(row.status),
        config=row.config["training"],
        result=TrainingEstimate.model_validate(row.result) if row.result else None,
        error_message=row.error_message,
        author=author,
        created_at=row.created_at,
        completed_at=row.completed_at,
    )


@router.post(
    "/projects/{project}/training-estimates",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Estimate a training",
    responses=NOT_READY,
)
def estimate_training(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    body: EstimateIn,
) -> EstimateOut:
    """Queue an estimate of a training run: its rows, tokens, steps, memory and time.

    Nothing is trained: at most, a few steps are measured and discarded.
    """
    task = service.submit_estimate(session, context, body.config)
    return _render(session, context, task.uuid)


@router.get("/training-estimates/{estimate}", summary="Read an estimate of a training")
def get_estimate(
    estimate: UUID,
    context: Annotated[ProjectContext, Depends(access.READ_ESTIMATE)],
    session: SessionDep,
) -> EstimateOut:
    """Return the estimate's status and, if it is completed, its result."""
    return _render(session, context, estimate)
