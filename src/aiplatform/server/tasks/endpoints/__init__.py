"""HTTP routes for tasks, their logs, metrics and artifacts, for workers, and for health."""

from fastapi import APIRouter

from aiplatform.server.tasks.endpoints.artifacts import router as artifacts_router
from aiplatform.server.tasks.endpoints.health import router as health_router
from aiplatform.server.tasks.endpoints.logs import router as logs_router
from aiplatform.server.tasks.endpoints.metrics import ingest_router
from aiplatform.server.tasks.endpoints.metrics import router as metrics_router
from aiplatform.server.tasks.endpoints.prometheus import router as prometheus_router
from aiplatform.server.tasks.endpoints.retention import router as retention_router
from aiplatform.server.tasks.endpoints.runs import router as runs_router
from aiplatform.server.tasks.endpoints.submit import submit_router
from aiplatform.server.tasks.endpoints.tasks import render
from aiplatform.server.tasks.endpoints.tasks import router as tasks_router
from aiplatform.server.tasks.endpoints.telemetry import router as telemetry_router
from aiplatform.server.tasks.endpoints.watch import router as watch_router
from aiplatform.server.tasks.endpoints.workers import router as workers_router

router = APIRouter()
router.include_router(health_router)
router.include_router(prometheus_router)
router.include_router(tasks_router, tags=["tasks"])
router.include_router(logs_router, tags=["tasks"])
router.include_router(telemetry_router)
router.include_router(artifacts_router, tags=["tasks"])
router.include_router(retention_router)
router.include_router(runs_router, tags=["tasks"])
router.include_router(metrics_router, tags=["tasks"])
router.include_router(watch_router, tags=["tasks"])
router.include_router(workers_router, tags=["workers"])

__all__ = ["ingest_router", "render", "router", "submit_router"]
