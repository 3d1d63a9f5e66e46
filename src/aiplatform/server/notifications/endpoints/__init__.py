"""Routes for the caller's inbox."""

from fastapi import APIRouter

from aiplatform.server.notifications.endpoints.inbox import router as inbox_router
from aiplatform.server.notifications.endpoints.stream import router as stream_router

router = APIRouter(tags=["notifications"])
router.include_router(inbox_router)
router.include_router(stream_router)
