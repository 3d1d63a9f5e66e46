"""HTTP routes for workers, external runs and artifacts."""

from fastapi import APIRouter

from aiplatform.server.execution.endpoints.artifacts import router as artifacts_router
from aiplatform.server.execution.endpoints.runs import router as runs_router
from aiplatform.server.execution.endpoints.workers import router as workers_router

router = APIRouter()
router.include_router(artifacts_router, tags=["tasks"])
router.include_router(runs_router, tags=["tasks"])
router.include_router(workers_router, tags=["workers"])

__all__ = ["router"]
