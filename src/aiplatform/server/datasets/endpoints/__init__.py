"""HTTP routes of datasets: ``heads`` for datasets, ``versions`` for what was committed to them,
``uploads`` for the body that both take.
"""

from fastapi import APIRouter

from aiplatform.server.datasets.endpoints.heads import router as heads_router
from aiplatform.server.datasets.endpoints.versions import router as versions_router

router = APIRouter(prefix="/api/v1", tags=["datasets"])
router.include_router(heads_router)
router.include_router(versions_router)

__all__ = ["router"]
