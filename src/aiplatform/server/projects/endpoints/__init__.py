"""HTTP routes for projects, their members, quotas, bin, views and webhooks, and for API keys."""

from fastapi import APIRouter

from aiplatform.server.projects.endpoints import bin as bin_routes
from aiplatform.server.projects.endpoints import (
    invitations,
    keys,
    members,
    projects,
    quotas,
    views,
    webhooks,
)

router = APIRouter()
for part in (projects, members, invitations, keys, webhooks, quotas, views, bin_routes):
    router.include_router(part.router)

__all__ = ["router"]
