"""HTTP routes: ``tasks`` requests and answers, ``watch`` the live stream, ``health`` figures."""

from fastapi import APIRouter

from aiplatform.server.tasks.endpoints.health import router as health_router
from aiplatform.server.tasks.endpoints.tasks import render
from aiplatform.server.tasks.endpoints.tasks import router as tasks_router
from aiplatform.server.tasks.endpoints.watch import router as watch_router

router = APIRouter()
router.include_router(health_router)
router.include_router(tasks_router, tags=["tasks"])
router.include_router(watch_router, tags=["tasks"])

__all__ = ["render", "router"]
