"""HTTP routes for the registry: ``entries`` for models, ``files`` for their files."""

from fastapi import APIRouter

from aiplatform.server.registry.endpoints.entries import router as entries_router
from aiplatform.server.registry.endpoints.files import router as files_router

router = APIRouter(tags=["models"])
router.include_router(entries_router)
router.include_router(files_router)

__all__ = ["router"]
