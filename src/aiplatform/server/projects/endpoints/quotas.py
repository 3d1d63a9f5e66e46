"""Routes for a project's quotas and usage."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.projects import CountUsage, ProjectUsageOut, StorageUsage
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.projects.schemas import QuotaIn
from aiplatform.server.projects.service import quotas
from aiplatform.server.projects.service.quotas import Usage

router = APIRouter(prefix="/api/v1/projects/{project}", tags=["quotas"])

Read = Annotated[ProjectContext, Depends(ProjectGuard(Permission.PROJECTS_READ))]
Set = Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_WRITE))]


def _render(usage: Usage) -> ProjectUsageOut:
    stored, quota = usage.stored, usage.quota
    return ProjectUsageOut(
        storage=StorageUsage(
            datasets=stored.datasets,
            models=stored.models,
            checkpoints=stored.checkpoints,
            artifacts=stored.artifacts,
            bin=stored.bin,
            total=stored.total,
            limit=quota.storage_bytes,
        ),
        tasks=CountUsage(used=usage.running_tasks, limit=quota.concurrent_tasks),
        gpus=CountUsage(used=usage.leased_gpus, limit=quota.gpus),
        max_priority=quota.max_priority,
    )


@router.get("/usage", summary="Read what a project uses")
def get_usage(context: Read, session: SessionDep) -> ProjectUsageOut:
    """Return storage, running tasks and GPUs, each with its limit.

    The contents of the bin count until they are purged.
    """
    return _render(quotas.usage_of(session, context.project_id))


@router.put("/quota", summary="Set a project's quotas")
def set_quota(project: UUID, body: QuotaIn, principal: Set, session: SessionDep) -> ProjectUsageOut:
    """Replace the project's own limits. Usage beyond a new limit is kept, but nothing can be added.

    Waiting tasks keep their priority.
    """
    return _render(quotas.set_quota(session, principal, project, body.model_dump()))
