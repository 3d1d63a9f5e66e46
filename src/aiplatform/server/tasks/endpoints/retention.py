"""What a project keeps of tasks that have ended, and what the next sweep frees."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.rules import stored_retention
from aiplatform.server.tasks.service import retention

router = APIRouter(prefix="/api/v1")
Reader = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_READ))]


class FreedOut(BaseModel):
    """Tasks and checkpoints that are concerned, and bytes."""

    log_tasks: int
    log_bytes: int
    telemetry_tasks: int
    telemetry_bytes: int
    checkpoints: int
    checkpoint_bytes: int


class RetentionOut(BaseModel):
    """Days after a task's end (null: for good), checkpoints that are kept, and what goes next."""

    log_days: int | None
    telemetry_days: int | None
    checkpoint_days: int | None
    checkpoints_last: int
    checkpoints_best: int
    frees: FreedOut

    model_config = ConfigDict(from_attributes=True)


def _render(session: Session, project: Project) -> RetentionOut:
    policy = retention.policy_of(project.config, get_settings())
    own = stored_retention(project.config)
    freed = retention.preview(session, project)
    return RetentionOut(
        log_days=policy.log_days,
        telemetry_days=policy.telemetry_days,
        checkpoint_days=policy.checkpoint_days,
        checkpoints_last=own.get("checkpoints_last") or retention.CHECKPOINTS_LAST,
        checkpoints_best=own.get("checkpoints_best") or 0,
        frees=FreedOut.model_validate(freed, from_attributes=True),
    )


@router.get("/projects/{project}/retention", tags=["projects"], summary="See what retention frees")
def get_retention(context: Reader, session: SessionDep) -> RetentionOut:
    """The policy that holds, from the project's `config.retention` and the platform's settings, and
    what the next hourly sweep frees by it. Nothing is changed.
    """
    return _render(session, session.get_one(Project, context.project_id))
