"""The route that shows a project's retention policy and what the next clean-up will delete."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.tasks import FreedOut, RetentionOut
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.rules import stored_retention
from aiplatform.server.telemetry.service import retention

router = APIRouter(prefix="/api/v1")
Reader = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_READ))]


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


@router.get(
    "/projects/{project}/retention", tags=["projects"], summary="Show what retention will delete"
)
def get_retention(context: Reader, session: SessionDep) -> RetentionOut:
    """Return the retention policy and what the next hourly clean-up will delete under it.

    The policy consists of the project's `config.retention` and the platform's settings. This
    request changes nothing.
    """
    return _render(session, session.get_one(Project, context.project_id))
