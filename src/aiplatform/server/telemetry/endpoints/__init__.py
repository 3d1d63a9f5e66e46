"""HTTP routes for metrics, logs, resource usage, event streams, retention and health."""

from fastapi import APIRouter

from aiplatform.server.telemetry.endpoints.health import router as health_router
from aiplatform.server.telemetry.endpoints.logs import router as logs_router
from aiplatform.server.telemetry.endpoints.metrics import ingest_router
from aiplatform.server.telemetry.endpoints.metrics import router as metrics_router
from aiplatform.server.telemetry.endpoints.prometheus import router as prometheus_router
from aiplatform.server.telemetry.endpoints.retention import router as retention_router
from aiplatform.server.telemetry.endpoints.telemetry import router as telemetry_router
from aiplatform.server.telemetry.endpoints.watch import router as watch_router

router = APIRouter()
router.include_router(health_router)
router.include_router(prometheus_router)
router.include_router(logs_router, tags=["tasks"])
router.include_router(telemetry_router)
router.include_router(retention_router)
router.include_router(metrics_router, tags=["tasks"])
router.include_router(watch_router, tags=["tasks"])

__all__ = ["ingest_router", "router"]
