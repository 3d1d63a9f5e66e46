"""HTTP routes that submit, list and control tasks."""

from fastapi import APIRouter

from aiplatform.server.queue.endpoints.tasks import render, submit_router
from aiplatform.server.queue.endpoints.tasks import router as tasks_router

router = APIRouter()
router.include_router(tasks_router, tags=["tasks"])

__all__ = ["render", "router", "submit_router"]
